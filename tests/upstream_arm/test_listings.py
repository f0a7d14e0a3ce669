"""What a command remembers of folders and files: asked for once, and never taken for what has changed."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

from upstream_arm import folders, listings


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """`a.wav`, `in/b.wav` and `in/c.wav`, in folders that have not changed for a while."""
    (tmp_path / "corpus" / "in").mkdir(parents=True)
    for name in ("a.wav", "in/b.wav", "in/c.wav"):
        (tmp_path / "corpus" / name).write_bytes(b"x")
    return settled(tmp_path / "corpus")


def settled(root: Path) -> Path:
    for folder in (root, root / "in"):
        os.utime(folder, (time.time() - 100,) * 2)
    return root


@pytest.fixture
def asked(root: Path, monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each file's status and each folder's names were asked for."""
    found: Counter[str] = Counter()
    stat, scandir = os.stat, os.scandir

    def count_stat(path: object, **options: object) -> object:
        if str(path).endswith(".wav"):
            found[Path(str(path)).name] += 1
        return stat(path, **options)  # type: ignore[call-overload]

    def count_scandir(path: object) -> object:
        found[f"{Path(str(path)).name}/"] += 1
        return scandir(path)  # type: ignore[call-overload]

    monkeypatch.setattr(os, "stat", count_stat)
    monkeypatch.setattr(os, "scandir", count_scandir)
    return found


def sizes(root: Path) -> dict[str, int]:
    """One look: every file below the root and its bytes."""
    listings.look_again()
    return {path.name: listings.status(path).size for path in folders.walk(root, ".wav")}


ONCE = {"corpus/": 1, "in/": 1, "a.wav": 1, "b.wav": 1, "c.wav": 1}


def test_a_command_asks_once(root: Path, asked: Counter[str]) -> None:
    with listings.remembering():
        first = sizes(root)
        assert asked == ONCE and first == {"a.wav": 1, "b.wav": 1, "c.wav": 1}
        assert sizes(root) == first and asked == ONCE
    with listings.remembering():  # the next command asks itself
        sizes(root)
    sizes(root)  # and without a command nothing is remembered
    assert set(asked.values()) == {3}


def test_what_is_added_removed_and_renamed_is_seen(root: Path) -> None:
    with listings.remembering():
        sizes(root)
        (root / "in" / "d.wav").write_bytes(b"four")
        assert sizes(root)["d.wav"] == 4
        settled(root)
        sizes(root)
        (root / "in" / "b.wav").unlink()
        assert sizes(root).keys() == {"a.wav", "c.wav", "d.wav"}
        (root / "in" / "new").write_bytes(b"another")
        os.replace(root / "in" / "new", root / "in" / "c.wav")
        assert sizes(root)["c.wav"] == 7
        assert not listings.is_file(root / "in" / "b.wav")


def test_a_folder_that_changed_just_now_is_asked_again(root: Path, asked: Counter[str]) -> None:
    """A second change within one step of the file system's clock would leave no sign."""
    os.utime(root / "in")
    with listings.remembering():
        sizes(root)
        sizes(root)
    assert asked == {**ONCE, "in/": 2, "b.wav": 2, "c.wav": 2}


def test_what_is_written_over_is_seen_by_the_next_command(root: Path) -> None:
    with listings.remembering():
        sizes(root)
        (root / "a.wav").write_bytes(b"longer")
    with listings.remembering():
        assert sizes(root)["a.wav"] == 6


def test_another_process_of_the_command_asks_only_for_folders(
    root: Path, tmp_path: Path, asked: Counter[str]
) -> None:
    file = tmp_path / "cache" / "seen.json"
    with listings.remembering() as memory:
        first = sizes(root)
        memory.save(file)
    with listings.remembering(file):
        assert sizes(root) == first and asked == ONCE
    (root / "in" / "d.wav").write_bytes(b"four")
    with listings.remembering(file):
        assert sizes(root)["d.wav"] == 4
    assert asked["a.wav"] == 1 and asked["b.wav"] == 2


@pytest.mark.parametrize("spoil", ["cut", "changed", "empty", "absent"])
def test_a_damaged_file_counts_for_nothing(
    root: Path, tmp_path: Path, asked: Counter[str], spoil: str
) -> None:
    file = tmp_path / "seen.json"
    with listings.remembering() as memory:
        first = sizes(root)
        memory.save(file)
    whole = file.read_bytes()
    damaged = {"cut": whole[:-9], "changed": whole.replace(b"[1, ", b"[9, "), "empty": b"", "absent": b""}
    assert damaged[spoil] != whole
    file.write_bytes(damaged[spoil])
    if spoil == "absent":
        file.unlink()
    with listings.remembering(file):
        assert sizes(root) == first
    assert set(asked.values()) == {2}


def test_two_commands_at_once_leave_a_whole_file(root: Path, tmp_path: Path) -> None:
    file = tmp_path / "seen.json"

    def save() -> None:
        for _ in range(20):
            memory.save(file)

    with listings.remembering() as memory:
        first = sizes(root)
        others = [threading.Thread(target=save) for _ in range(3)]
        for one in others:
            one.start()
        while any(one.is_alive() for one in others):
            if file.exists():
                read = listings.Memory()
                read.load(file)
                assert read
        for one in others:
            one.join()
    with listings.remembering(file):
        assert sizes(root) == first
    assert [path.name for path in tmp_path.iterdir() if path.suffix == ".tmp"] == []
