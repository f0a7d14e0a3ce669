"""Archives that a stranger packed: what is whole is unpacked, all else is refused in one sentence."""

from __future__ import annotations

import gzip
import io
import os
import resource
import tarfile
import zipfile
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.corpora.fetching import archives
from downstream_runs.corpora.fetching.archives import BadArchive, unpack
from upstream_arm.common.errors import UsageError

MOST = 1_000_000
Member = tuple[str, bytes | None, dict[str, Any]]
FOLDER, LINK, HARD = {"type": tarfile.DIRTYPE}, tarfile.SYMTYPE, tarfile.LNKTYPE


def tar(*members: Member, mode: str = "w:gz") -> bytes:
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode=mode) as archive:
        for name, content, fields in members:
            member = tarfile.TarInfo(name)
            for field, value in fields.items():
                setattr(member, field, value)
            member.size = len(content or b"")
            archive.addfile(member, io.BytesIO(content or b""))
    return file.getvalue()


def zipped(*members: tuple[str | zipfile.ZipInfo, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return file.getvalue()


def unpacked(content: bytes, folder: Path, parts: int = 1, most: int = MOST) -> dict[str, bytes]:
    """What came of an archive, cut into parts."""
    paths = []
    for number in range(parts):
        path = folder / f"part{number}"
        path.write_bytes(content[number * len(content) // parts : (number + 1) * len(content) // parts])
        paths.append(path)
    target = folder / "target"
    unpack(paths, target, most, "unpack")
    return {str(path.relative_to(target)): path.read_bytes() for path in target.rglob("*") if path.is_file()}


def link_in_a_zip() -> zipfile.ZipInfo:
    link = zipfile.ZipInfo("link")
    link.external_attr = 0o120777 << 16
    return link


def record_of(size: int) -> bytes:
    """A tar whose first record claims that many bytes for a name."""
    claim = tarfile.TarInfo("x")
    claim.type, claim.size = tarfile.XHDTYPE, size
    return gzip.compress(claim.tobuf(tarfile.GNU_FORMAT) + bytes(10_000))


NOISE = os.urandom(30_000)
TAR = tar(("./", None, FOLDER), ("./a/b.wav", NOISE, {}), ("./c", b"c", {}))
PLAIN = tar(("a/b.wav", NOISE, {}), ("c", b"c", {}), mode="w")
ZIP = zipped(("a/b.wav", NOISE), ("empty/", b""), ("c", b"c"))
WHOLE = {"a/b.wav": NOISE, "c": b"c"}


@pytest.mark.parametrize("parts", [1, 4])
@pytest.mark.parametrize("content", [TAR, PLAIN, ZIP], ids=["tar.gz", "tar", "zip"])
def test_whole_archives_in_one_file_or_parts(content: bytes, parts: int, tmp_path: Path) -> None:
    assert unpacked(content, tmp_path, parts) == WHOLE


@pytest.mark.parametrize("kept", [0, 10, 300, 0.3, 0.7, -1])
@pytest.mark.parametrize("content", [TAR, PLAIN, ZIP], ids=["tar.gz", "tar", "zip"])
def test_truncated_archives_are_not_whole(content: bytes, kept: float, tmp_path: Path) -> None:
    size = int(kept * len(content)) if 0 < kept < 1 else int(kept) % len(content)
    if content is PLAIN and kept == -1:
        size = len(content) - tarfile.RECORDSIZE  # what ends it is gone, and no member's content
    with pytest.raises(BadArchive, match="part0 is no") as caught:
        unpacked(content[:size], tmp_path)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (tar(("../a", b"x", {})), "leads out of its folder"),
        (tar(("a/../../b", b"x", {})), "leads out of its folder"),
        (tar(("/etc/a", b"x", {})), "leads out of its folder"),
        (zipped(("../a", b"x")), "leads out of its folder"),
        (zipped(("C:/a", b"x")), "leads out of its folder"),
        (zipped(("a\\..\\..\\b", b"x")), "leads out of its folder"),
        (tar(("a", None, {"type": LINK, "linkname": "../b"})), "'a', a link, leads out of its folder"),
        (tar(("a", None, {"type": LINK, "linkname": "/etc/passwd"})), "a link, leads out of its folder"),
        (tar(("a", None, {"type": HARD, "linkname": "../../b"})), "a link, leads out of its folder"),
        (tar(("a", None, {"type": LINK, "linkname": "b"})), "the link 'a' to 'b', which is no file of it"),
        (tar(("d", None, FOLDER), ("a", None, {"type": LINK, "linkname": "d"})), "no file of it"),
        (zipped((link_in_a_zip(), b"/etc/passwd")), "neither a file nor a folder"),
        (tar(("a", None, {"type": tarfile.CHRTYPE})), "neither a file nor a folder"),
        (tar(("a", None, {"type": tarfile.FIFOTYPE})), "neither a file nor a folder"),
        (tar(("a", b"1", {}), ("a", b"2", {})), "holds 'a' twice"),
        (tar(("a", b"1", {}), ("a/b", b"2", {})), "as a file and as a folder"),
        (tar(("a\nb", b"1", {})), "control characters"),
        (tar(("a", bytes(2 * MOST), {})), "more than the 1,000,000 bytes"),
        (zipped(("a", bytes(2 * MOST))), "unpacks to 2,000,000 bytes"),
        (gzip.compress(bytes(2 * MOST)), "no zip, tar or tar.gz|more than the|is no whole"),
        (record_of(1 << 32), "a record of 4,294,967,296 bytes"),
        (b"<html>log in</html>" * 99, "is no zip, tar or tar.gz archive"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_no_corpus_holds_is_refused(content: bytes, what: str, tmp_path: Path) -> None:
    with pytest.raises(BadArchive, match=what):
        unpacked(content, tmp_path)
    outside = [path.name for path in tmp_path.iterdir() if path.name not in ("part0", "target")]
    assert not outside and not any(path.is_symlink() for path in tmp_path.rglob("*"))
    written = [path.stat().st_size for path in (tmp_path / "target").rglob("*") if path.is_file()]
    assert sum(written) <= MOST


def test_a_flipped_bit_is_found(tmp_path: Path) -> None:
    for number, content in enumerate((TAR, ZIP)):
        (folder := tmp_path / str(number)).mkdir()
        damaged = bytearray(content)
        damaged[len(content) // 2] ^= 1
        with pytest.raises(BadArchive):
            unpacked(bytes(damaged), folder)


def test_links_inside_become_files_and_foreign_names_are_left_out(tmp_path: Path) -> None:
    content = tar(
        ("b", b"1", {}),
        ("s/a", None, {"type": LINK, "linkname": "../b"}),
        ("h", None, {"type": HARD, "linkname": "b"}),
        ("._b", b"mac", {}),
        ("__MACOSX/b", b"mac", {}),
    )
    assert unpacked(content, tmp_path) == {"b": b"1", "s/a": b"1", "h": b"1"}


def test_too_many_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "MOST_NAMES", 3)
    with pytest.raises(BadArchive, match="more than 3 names"):
        unpacked(zipped(*((f"{number}", b"") for number in range(5))), tmp_path)


def test_a_password(tmp_path: Path) -> None:
    locked = bytearray(ZIP)
    at = ZIP.index(b"PK\x01\x02")
    locked[at + 8] |= 1
    locked[6] |= 1
    with pytest.raises(BadArchive, match="password"):
        unpacked(bytes(locked), tmp_path)


def test_a_disk_that_takes_no_more_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "archive").write_bytes(TAR)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(UsageError, match=r"archive cannot be unpacked into .*too large\); make room"):
            unpack([tmp_path / "archive"], tmp_path / "target", MOST, "unpack")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
