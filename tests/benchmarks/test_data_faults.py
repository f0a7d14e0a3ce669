"""A sample of benchmarks/data_faults.py: one try of each kind."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import data_faults

from downstream_runs.corpora.fetching import plan, sources
from upstream_arm.common import transfer


@pytest.mark.slow
def test_nothing_half_made_is_taken_for_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("espeakng_loader")
    for module, name in ((sources, "FILE"), (transfer, "PAUSES"), (plan, "SPARE_BYTES")):
        monkeypatch.setattr(module, name, getattr(module, name))  # to be put back
    monkeypatch.setenv("no_proxy", "*")
    tries = len(data_faults.KINDS)
    assert data_faults.main(["--place", str(tmp_path), "--tries", str(tries), "--seed", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[-1].startswith(f"| all | {tries} | ")
