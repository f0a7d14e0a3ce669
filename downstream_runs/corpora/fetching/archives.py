"""Archives, read as if a stranger had packed them: zip, tar and tar.gz, whole or in parts.

Only regular files and folders are written, below one new folder. Refused are names that lead out of it, links
that do (others become a second name of the file that they lead to), devices, a name given twice, and more
bytes or names than were expected, as soon as they are met.
"""

from __future__ import annotations

import bisect
import contextlib
import gzip
import io
import os
import re
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate
from pathlib import Path, PurePosixPath
from typing import IO, Any

from upstream_arm.common.errors import UsageError, reason
from upstream_arm.folders import belongs, is_writable

MOST_NAMES = 2_000_000
"""VoxCeleb1's dev archive, the largest of SUPERB by names, has 170,000."""

_BLOCK = 1 << 20
_LARGEST_READ = 64 << 20
"""Of an archive's own records, which tarfile reads whole: a name is far shorter."""


class BadArchive(UsageError):
    """An archive that is broken, or that holds what none of a corpus would."""


@dataclass(frozen=True)
class Entry:
    """A file, a folder, or a link: its name as the archive has it, and bytes. link: where it leads."""

    name: str
    size: int = 0
    is_folder: bool = False
    link: str | None = None
    content: IO[bytes] | None = None


def unpack(parts: Sequence[Path], target: Path, most_bytes: int, name: str) -> None:
    """Unpack the archive that `parts` make one after another into the new folder `target`.

    most_bytes: that it may hold. name: of the bar. BadArchive, or UsageError where the disk is full; what was
    written by then is left in `target`.
    """
    target.mkdir(parents=True)
    try:
        with Joined(parts) as source:
            _unpack(source, target, most_bytes, name)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, gzip.BadGzipFile) as error:
        raise BadArchive(f"{parts[0]} is no whole archive ({reason(error)})") from None
    except (NotImplementedError, RuntimeError) as error:  # zipfile's words for methods and passwords
        raise BadArchive(f"{parts[0]} cannot be read ({reason(error)})") from None
    except BadArchive as error:
        raise BadArchive(f"{parts[0]} {error}") from None
    except OSError as error:
        raise UsageError(
            f"{parts[0]} cannot be unpacked into {target} ({reason(error)}); make room, or name another "
            "folder, and run the same command again"
        ) from None


class Joined(io.RawIOBase):
    """Files read as one, in their order."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._files = [path.open("rb") for path in paths]
        self._ends = list(accumulate(path.stat().st_size for path in paths))
        self._place = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._ends[-1]}[whence]
        self._place = max(0, base + offset)
        return self._place

    def tell(self) -> int:
        return self._place

    def readinto(self, buffer: Any) -> int:
        index = bisect.bisect_right(self._ends, self._place)
        if index == len(self._ends):
            return 0
        begin = self._ends[index - 1] if index else 0
        self._files[index].seek(self._place - begin)
        view = memoryview(buffer)[: self._ends[index] - self._place]
        count: int = self._files[index].readinto(view)
        self._place += count
        return count

    def close(self) -> None:
        for file in self._files:
            file.close()
        super().close()

    @property
    def size(self) -> int:
        return self._ends[-1]


class _Bounded:
    """What tarfile needs of a stream, forwards only, of at most `most` bytes."""

    def __init__(self, stream: io.BufferedIOBase, most: int) -> None:
        self._stream, self._most = stream, most

    def read(self, size: int) -> bytes:
        if size > _LARGEST_READ:
            raise BadArchive(f"has a record of {size:,} bytes, where a name was expected")
        data = self._stream.read(size)
        self._look()
        return data

    def seek(self, place: int) -> int:
        self._look(place)
        return self._stream.seek(place)

    def tell(self) -> int:
        return self._stream.tell()

    def _look(self, place: int = 0) -> None:
        if max(place, self._stream.tell()) > self._most:
            raise BadArchive(f"unpacks to more than the {self._most:,} bytes that were expected at most")


def _unpack(source: Joined, target: Path, most_bytes: int, name: str) -> None:
    from tqdm import tqdm

    links: dict[PurePosixPath, PurePosixPath] = {}
    with tqdm(total=source.size, desc=name, unit="B", unit_scale=True, disable=None) as bar:
        for number, entry in enumerate(_entries(source, most_bytes)):
            bar.update(source.tell() - bar.n)
            if number >= MOST_NAMES:
                raise BadArchive(f"holds more than {MOST_NAMES:,} names")
            place = _place(entry.name)
            if not all(map(belongs, place.parts)):
                continue
            if entry.link is not None:
                links[place] = _place(entry.link, f"{entry.name!a}, a link, leads")
            elif entry.is_folder:
                _folder(target / place)
            else:
                _write(entry, target / place)
    for place, leads in links.items():
        if not (target / leads).is_file():
            raise BadArchive(f"holds the link {str(place)!a} to {str(leads)!a}, which is no file of it")
        _folder((target / place).parent)
        with _once(place):
            os.link(target / leads, target / place)


def _place(name: str, what: str = "") -> PurePosixPath:
    """The path of a member below the target; BadArchive where it leads out of it, or cannot be written."""
    place = PurePosixPath(name.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or re.match("[A-Za-z]:", name):
        raise BadArchive(f"{what or f'holds {name!a}, which leads'} out of its folder")
    if not is_writable(name):
        raise BadArchive(f"holds {name!a}, a name that is not UTF-8 or has control characters")
    return place


def _folder(path: Path) -> None:
    try:
        path.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError):
        raise BadArchive(f"holds {path.name!a} as a file and as a folder") from None


@contextlib.contextmanager
def _once(place: PurePosixPath | Path) -> Iterator[None]:
    try:
        yield
    except (FileExistsError, IsADirectoryError):
        raise BadArchive(f"holds {place.name!a} twice") from None


def _write(entry: Entry, path: Path) -> None:
    _folder(path.parent)
    written = 0
    assert entry.content is not None
    with entry.content as content, _once(path), path.open("xb") as file:
        while block := content.read(_BLOCK):
            written += file.write(block)
            if written > entry.size:
                break
    if written != entry.size:
        raise BadArchive(f"is broken: {entry.name!a} has {written:,} bytes, {entry.size:,} were announced")


def _entries(source: Joined, most_bytes: int) -> Iterator[Entry]:
    """All entries in their order, each to be read before the next."""
    begin = source.read(512) or b""
    source.seek(0)
    if begin.startswith(b"PK"):
        yield from _of_zip(source, most_bytes)
    elif begin.startswith(b"\x1f\x8b"):
        with gzip.GzipFile(fileobj=io.BufferedReader(source, _BLOCK)) as plain:
            yield from _of_tar(plain, most_bytes)
            while plain.read(_BLOCK):  # to the checksum at its end
                if plain.tell() > most_bytes:
                    raise BadArchive(f"unpacks to more than the {most_bytes:,} bytes that were expected")
    elif begin[257:262] == b"ustar":
        source.seek(-512, os.SEEK_END)
        if source.read().strip(b"\0"):
            raise BadArchive("is no whole archive (its end is missing)")
        source.seek(0)
        yield from _of_tar(io.BufferedReader(source, _BLOCK), most_bytes)
    else:
        raise BadArchive("is no zip, tar or tar.gz archive")


def _of_zip(source: Joined, most_bytes: int) -> Iterator[Entry]:
    with zipfile.ZipFile(io.BufferedReader(source, _BLOCK)) as archive:
        total = sum(member.file_size for member in archive.infolist())
        if total > most_bytes:
            raise BadArchive(f"unpacks to {total:,} bytes, {most_bytes:,} were expected at most")
        for member in archive.infolist():
            kind = stat.S_IFMT(member.external_attr >> 16)
            if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
                raise BadArchive(f"holds {member.filename!a}, which is neither a file nor a folder")
            if member.is_dir():
                yield Entry(member.filename, is_folder=True)
            else:
                yield Entry(member.filename, member.file_size, content=archive.open(member))


def _of_tar(stream: io.BufferedIOBase, most_bytes: int) -> Iterator[Entry]:
    with tarfile.open(fileobj=_Bounded(stream, most_bytes), mode="r:") as archive:  # type: ignore[call-overload]
        while (member := archive.next()) is not None:
            archive.members = []  # else it keeps all of them
            if member.isdir():
                yield Entry(member.name, is_folder=True)
            elif member.issym():
                leads = os.path.join(os.path.dirname(member.name), member.linkname)
                yield Entry(member.name, link=os.path.normpath(leads))
            elif member.islnk():
                yield Entry(member.name, link=member.linkname)
            elif member.isreg() and (content := archive.extractfile(member)) is not None:
                yield Entry(member.name, member.size, content=content)
            else:
                raise BadArchive(f"holds {member.name!a}, which is neither a file nor a folder")
