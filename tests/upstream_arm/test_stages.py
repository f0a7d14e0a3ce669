"""What takes a while says so, and nothing else does."""

from __future__ import annotations

import io
import time

import pytest

from upstream_arm.common import stages


def test_only_what_takes_a_while_is_spoken_of(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with stages.stage("short"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(stages, "SECONDS", 0.05)
    with stages.stage("long"):
        time.sleep(0.3)
        assert capsys.readouterr().err == "long ...\n"
    assert capsys.readouterr().err == "long: 0 s\n"


def test_what_fails_has_begun_and_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SECONDS", 0.05)
    place = io.StringIO()
    with pytest.raises(ValueError), stages.stage("bad", place):
        time.sleep(0.3)
        raise ValueError
    assert place.getvalue() == "bad ...\n"
