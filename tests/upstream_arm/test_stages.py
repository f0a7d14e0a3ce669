"""What takes a while says so, and nothing else does."""

from __future__ import annotations

import io
import threading
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


def test_a_bar_in_a_log_is_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LOGGED", 0.1)
    place = io.StringIO()
    with stages.bar(None, "train", 1000, initial=900, stream=place) as bar:
        for step in range(100):
            time.sleep(0.004)
            bar.set_postfix(loss=f"{step}", refresh=False)
            bar.update(1)
    first, *between, last = place.getvalue().splitlines()
    assert first.startswith("train: 900 of 1000, 00:00 gone, ? left")
    assert len(between) >= 2 and all(" left, " in line and "loss=" in line for line in between)
    # What was done before is no part of the rate: 1000 steps in half a second would be 2000 a second.
    rate = float(last.split(", ")[3].removesuffix("it/s"))
    assert last.startswith("train: 1000 of 1000, 00:00 gone, 00:00 left") and 5 < rate < 260
    assert "\r" not in place.getvalue() and "\n\n" not in place.getvalue()
    inner = io.StringIO()
    with stages.bar(None, "outer", 2, stream=inner):
        assert list(stages.bar([1], "inner", 1, stream=inner)) == [1]
    assert [line.split(":")[0] for line in inner.getvalue().splitlines()] == [
        "outer",
        "inner",
        "inner",
        "outer",
    ]
    # What is over at once is not spoken of.
    quick = io.StringIO()
    assert list(stages.bar([1, 2], "files", 2, stream=quick, delay=5.0)) == [1, 2]
    assert list(stages.bar([1, 2], "files", 2, stream=quick, disable=True)) == [1, 2]
    assert quick.getvalue() == ""


def test_a_log_goes_on_where_the_pace_slows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "LOGGED", 0.1)
    place = io.StringIO()
    for number in stages.bar(range(60), "files", 60, stream=place):
        time.sleep(0.004 if number < 50 else 0.12)
    counts = [int(line.split()[1]) for line in place.getvalue().splitlines()]
    assert len([count for count in counts if 50 < count <= 60]) >= 8, counts
    assert len(set(counts[:-1])) == len(counts[:-1]), "no number twice but for the last"


def test_a_bar_on_a_terminal_is_one() -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    place = Terminal()
    assert list(stages.bar([1, 2], "files", 2, stream=place)) == [1, 2]
    assert "\rfiles:   0%|" in place.getvalue() and place.getvalue().endswith("\r")


def test_what_fails_has_begun_and_did_not_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stages, "SECONDS", 0.05)
    place = io.StringIO()
    with pytest.raises(ValueError), stages.stage("bad", place):
        time.sleep(0.3)
        raise ValueError
    assert place.getvalue() == "bad ...\n"


def test_a_stage_is_told_also_where_its_thread_comes_too_late(monkeypatch: pytest.MonkeyPatch) -> None:
    class Late(threading.Thread):
        def start(self) -> None:
            """Begin when somebody waits for it."""

        def join(self, timeout: float | None = None) -> None:
            super().start()
            super().join(timeout)

    monkeypatch.setattr(stages, "SECONDS", 0.0)
    monkeypatch.setattr(threading, "Thread", Late)
    said = io.StringIO()
    with stages.stage("read", said):
        pass
    assert said.getvalue() == "read ...\nread: 0 s\n"
