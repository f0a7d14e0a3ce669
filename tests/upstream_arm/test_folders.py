"""The one rule for what belongs to a folder of recordings."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from upstream_arm import folders
from upstream_arm.common.errors import UpstreamError
from upstream_arm.distillation import data


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """a/1.wav, a/b/2.wav, c.wav and what does not belong."""
    root = tmp_path / "root"
    (root / "a" / "b").mkdir(parents=True)
    for name in ("c.wav", "a/1.wav", "a/b/2.wav", "a/._1.wav", "a/.1.wav", "a/notes.txt"):
        (root / name).write_bytes(b"x")
    for hidden in (".git", "a/.ipynb_checkpoints", "__MACOSX", "a/like.wav"):
        (root / hidden).mkdir()
    for hidden in (".git", "a/.ipynb_checkpoints", "__MACOSX"):
        (root / hidden / "0.wav").write_bytes(b"x")
    return root


def names(root: Path, found: object) -> list[str]:
    return [path.relative_to(root).as_posix() for path in found]  # type: ignore[attr-defined]


def test_what_belongs(root: Path) -> None:
    assert names(root, folders.walk(root, ".wav")) == ["c.wav", "a/1.wav", "a/b/2.wav"]
    assert names(root, folders.files(root / "a", (".wav", ".txt"))) == ["a/1.wav", "a/notes.txt"]
    assert names(root, folders.subfolders(root)) == ["a"]
    hidden = root.parent / ".data"
    root.rename(hidden)  # what the user names is not judged
    assert names(hidden, folders.walk(hidden, ".wav")) == ["c.wav", "a/1.wav", "a/b/2.wav"]


def test_links(root: Path, tmp_path: Path) -> None:
    (root / "a").rename(tmp_path / "elsewhere")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    (root / "c.wav").rename(tmp_path / "other name")
    (root / "c.wav").symlink_to(tmp_path / "other name")
    (root / "a" / "b" / "up").symlink_to(root)
    (root / "a" / "itself").symlink_to("itself")
    assert names(root, folders.walk(root, ".wav")) == ["c.wav", "a/1.wav", "a/b/2.wav"]
    (root / "gone.wav").symlink_to("nowhere")
    (root / "round.wav").symlink_to("round.wav")
    assert names(root, folders.files(root, ".wav")) == ["c.wav", "gone.wav", "round.wav"]
    (root / "d").symlink_to("a")
    with pytest.raises(UpstreamError, match=r"root/d and .*root/a are one folder, .* count twice; remove"):
        list(folders.walk(root, ".wav"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (b"\xe9.wav", r"\\xe9"),
        (b"a\nb.wav", r"\\n"),
        (b"\x07.wav", r"\\x07"),
        ("\u2028.wav".encode(), r"\\x80\\xa8"),
    ],
)
def test_names_that_cannot_be_written(root: Path, name: bytes, shown: str) -> None:
    path = os.fsencode(root) + b"/" + name
    with open(path, "wb"):
        pass
    with pytest.raises(
        UpstreamError, match=rf"{shown}.* in .* has a name that no result file can hold"
    ) as caught:
        list(folders.walk(root, ".wav"))
    assert str(caught.value).isprintable()
    assert folders.files(root, ".flac") == []  # it is not asked for
    os.unlink(path)
    os.mkdir(path)
    with pytest.raises(UpstreamError, match=shown):
        folders.subfolders(root)


def test_names_that_can(root: Path) -> None:
    for name in ("é.wav", "a b.wav", "日本.wav", "a\u00a0b.wav"):
        (root / name).write_bytes(b"x")
    assert len(folders.files(root, ".wav")) == 5


def test_a_folder_that_cannot_be_read(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stock = os.scandir

    def scandir(folder: Path) -> object:
        if Path(folder).name == "b":  # root, who may read everything, runs tests too
            raise PermissionError(13, "Permission denied")
        return stock(folder)

    monkeypatch.setattr(os, "scandir", scandir)
    with pytest.raises(UpstreamError, match=r"cannot list .*a/b \(permission denied\); make it readable"):
        list(folders.walk(root, ".wav"))


def test_distillation_follows_it(root: Path, tmp_path: Path) -> None:
    (root / "a").rename(tmp_path / "elsewhere")
    (root / "a").symlink_to(tmp_path / "elsewhere")
    assert names(root, data._recordings(root, ".")) == ["a/1.wav", "a/b/2.wav", "c.wav"]
