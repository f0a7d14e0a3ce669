"""Names of upstreams, read without importing s3prl."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs.cli import list as list_command
from downstream_runs.upstreams import names as listing
from upstream_arm.common.errors import UsageError


def test_the_names_of_s3prl_are_read_as_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hubconf = tmp_path / "upstream" / "made" / "hubconf.py"
    hubconf.parent.mkdir(parents=True)
    hubconf.write_text("raise SystemExit\ndef made_base(): ...\ndef _hidden(): ...\nclass Other: ...\n")
    monkeypatch.setattr(listing, "s3prl_folder", lambda: tmp_path)
    assert listing.s3prl_names() == ("made_base",)


def test_the_installed_s3prl_has_the_known_names() -> None:
    pytest.importorskip("s3prl")
    assert {"fbank", "hubert_base", "wav2vec2_base_960", "wavlm_base_plus", "hubert_local"} <= set(
        listing.s3prl_names()
    )


def test_without_s3prl_our_own_names_are_still_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listing, "s3prl_folder", lambda: None)
    listing.check_upstream("armhubert_random")
    with pytest.raises(UsageError, match="no upstream 'fbank'"):
        listing.check_upstream("fbank")
    assert "the first run installs it" in list_command.text()


def test_the_list_names_everything_once() -> None:
    text = list_command.text()
    for part in (
        "armhubert ",
        "ARMHuBERT-960h.ckpt",
        "maskhubert",
        "_random (seeded, untrained)",
        "fbank",
        "asr",
    ):
        assert part in text
    assert "superb, paper, demo" in text
    assert max(map(len, text.splitlines())) <= 110
