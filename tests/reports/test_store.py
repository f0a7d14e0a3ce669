"""Finding results, and saying which ones cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.core.results import Result, write
from reports import store
from upstream_arm.common.errors import ReportError

Make = Callable[..., Result]


def test_finds_sorted_and_passes_over_hidden_and_temporary(tmp_path: Path, make: Make) -> None:
    for folder in ("b/asr", "a", ".hidden", "a/.parts", "tmp", "c.tmp"):
        write(tmp_path / folder / "result.json", make())
    (tmp_path / "a" / ".result.json.1.tmp").write_text("half")
    found = store.find([tmp_path])
    assert [path.relative_to(tmp_path).as_posix() for path, _ in found.results] == [
        "a/result.json",
        "b/asr/result.json",
    ]
    assert found.problems == ()


def test_an_unusable_result_does_not_hide_the_others(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "good" / "result.json", make())
    bad = tmp_path / "bad" / "result.json"
    bad.parent.mkdir()
    bad.write_text("{")
    found = store.find([tmp_path])
    assert len(found.results) == 1
    [sentence] = found.problems
    assert "is not JSON" in sentence and str(bad) in sentence


def test_a_file_counts_once_and_may_have_any_name(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "result.json", make())
    write(tmp_path / "kept.json", make(seed=2))
    found = store.find([tmp_path, tmp_path / "result.json", tmp_path / "kept.json"])
    assert sorted(result.seed for _, result in found.results) == [2, 1337]


def test_without_places_runs_is_searched_if_it_exists(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert store.find() == store.Search((), ())
    write(tmp_path / "runs" / "x" / "result.json", make())
    [(path, _)] = store.find().results
    assert path == Path("runs/x/result.json")


def test_an_absent_place(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match=r"does not exist.*run_superb"):
        store.find([tmp_path / "nothing"])


def test_a_failed_run_is_a_hole_with_its_reason(tmp_path: Path, make: Make) -> None:
    write(tmp_path / "good" / "result.json", make())
    outcome = '{"said": "the loss is nan\\nat step 3", "time": "2026-01-01"}'
    for place in ("bad", "er/fold1", "sweep/rates/one", "good"):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        (tmp_path / place / "outcome.json").write_text(outcome)
    (tmp_path / "odd").mkdir()
    (tmp_path / "odd" / "outcome.json").write_text("[]")
    found = store.find([tmp_path])
    assert len(found.results) == 1
    bad, er, odd = found.unfinished
    assert bad == f"{tmp_path / 'bad'}: no number; failed: the loss is nan at step 3"
    assert "0 of its folds are done" in er and er.endswith("; failed: the loss is nan at step 3")
    assert odd == f"{tmp_path / 'odd'}: no number"


def test_linked_folders_are_searched_once_and_loops_end(tmp_path: Path, make: Make) -> None:
    out, elsewhere = tmp_path / "runs", tmp_path / "other disk"
    write(out / "a" / "asr" / "superb-1" / "result.json", make())
    write(elsewhere / "asr" / "superb-2" / "result.json", make(seed=2))
    (out / "b").symlink_to(elsewhere)
    (elsewhere / "asr" / "loop").symlink_to(elsewhere)
    (out / "a" / "up").symlink_to(tmp_path)
    (out / "a" / "itself").symlink_to(out / "a" / "itself")
    (out / "a" / "across").symlink_to(elsewhere)
    (elsewhere / "back").symlink_to(out / "a")
    # The second name of a run, and one that comes first: the folder's own name is taken.
    (out / "0").symlink_to(out / "a")
    (out / "nowhere").symlink_to(tmp_path / "absent")
    found = store.find([out])
    assert [path.relative_to(out).as_posix() for path, _ in found.results] == [
        "a/asr/superb-1/result.json",
        "b/asr/superb-2/result.json",
    ]
    assert found.problems == ()
    visited = [folder.path.resolve() for folder in store.walk(out)]
    assert len(visited) == len(set(visited))


@pytest.mark.parametrize("kind", ["pipe", "zero", "folder", "huge"])
def test_what_is_no_regular_file_is_told_and_not_waited_for(tmp_path: Path, make: Make, kind: str) -> None:
    write(tmp_path / "good" / "result.json", make())
    bad = tmp_path / "bad" / "result.json"
    bad.parent.mkdir()
    if kind == "pipe":
        os.mkfifo(bad)
    elif kind == "zero":
        bad.symlink_to("/dev/zero")
    elif kind == "folder":
        bad.mkdir()
    else:
        with bad.open("wb") as file:
            file.truncate(1 << 40)  # sparse: it takes no space
    found = store.find([tmp_path])
    assert len(found.results) == 1
    said = {"pipe": "a named pipe", "zero": "a device", "huge": "1,099,511,627,776 bytes"}
    if kind == "folder":
        assert found.problems == ()
    else:
        [sentence] = found.problems
        assert said[kind] in sentence and sentence.startswith(str(bad))


def test_a_piped_outcome_gives_no_reason(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    os.mkfifo(tmp_path / "bad" / "outcome.json")
    [sentence] = store.find([tmp_path]).unfinished
    assert sentence == f"{tmp_path / 'bad'}: no number"
