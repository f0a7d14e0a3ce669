"""Where each corpus is published, from sources.json: archives, addresses, checksums, and where they go."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.corpora import checks, folders
from upstream_arm.common.errors import UsageError

FILE = Path(__file__).with_name("sources.json")


@dataclass(frozen=True)
class File:
    """A file as it is published. sha256: empty, bytes: 0, where nobody has published them."""

    name: str
    sha256: str = ""
    bytes: int = 0
    urls: Sequence[str] = ()


@dataclass(frozen=True)
class Place:
    """A folder of a corpus: `to`, where it belongs in the data folder, and how it is told from others.

    holds: patterns, one of which is in it. lacks: a name that is not in it, if any. named: whether it has the
    name that `to` ends in.
    """

    to: str
    holds: Sequence[str]
    lacks: str = ""
    named: bool = False

    def found(self, top: Path, depth: int, but: Path | None = None) -> Path | None:
        """The first such folder in `top` or at most `depth` below it, those above before those below.

        Not looked at are `but`, and what cannot be read.
        """
        level = [top]
        for _ in range(depth + 1):
            for folder in level:
                if self._is(folder):
                    return folder
            level = [inner for folder in level for inner in _subfolders(folder) if inner != but]
        return None

    def _is(self, folder: Path) -> bool:
        if self.named and folder.name != Path(self.to).name:
            return False
        if self.lacks and (folder / self.lacks).exists():
            return False
        return any(True for pattern in self.holds for _ in folder.glob(pattern))


def _subfolders(folder: Path) -> list[Path]:
    with contextlib.suppress(UsageError):
        return folders.subfolders(folder)
    return []


@dataclass(frozen=True)
class Archive:
    """Files that make one archive, in their order, and the place of what is in it.

    whole: other names under which people have it, as one file. instead: where its content may lie besides.
    """

    files: Sequence[File]
    place: Place
    unpacked_gb: float
    about_gb: float = 0.0
    whole: Sequence[str] = ()
    instead: Sequence[str] = ()

    @property
    def name(self) -> str:
        """Of its first file."""
        return self.files[0].name

    @property
    def is_served(self) -> bool:
        """Whether everybody may download it."""
        return all(file.urls for file in self.files)

    @property
    def bytes(self) -> int:
        """Of the archive; about as many, where nobody has published them."""
        return sum(file.bytes for file in self.files) or round(self.about_gb * 1e9)

    def is_there(self, data: Path) -> bool:
        """Whether its content lies in the data folder: it comes there whole or not at all."""
        return any((data / place).exists() for place in (self.place.to, *self.instead))

    def on(self, shelves: Sequence[Path]) -> list[Path]:
        """Its files where somebody has put them; some parts only, if no shelf has all."""
        names = [file.name for file in self.files]
        for shelf in shelves:
            for listed in (names, *([name] for name in self.whole)):
                if all((shelf / name).is_file() for name in listed):
                    return [shelf / name for name in listed]
        return [shelf / name for shelf in shelves for name in names if (shelf / name).is_file()]


@dataclass(frozen=True)
class Source:
    """A corpus: the tasks that read it, its terms, and its archives.

    agree: whether its terms must be agreed to first. request: how to come by it, where it is not served.
    links: further places that a lab may have, none of which must be. makes: the corpus that is made of it.
    """

    name: str
    title: str
    tasks: Sequence[str]
    licence: str
    page: str
    archives: Sequence[Archive]
    agree: bool = False
    request: str = ""
    links: Sequence[Place] = ()
    makes: str = ""
    makes_gb: float = 0.0


def load() -> Iterator[Source]:
    """All sources, in the order of the file; title, licence and page are those of corpora.json."""
    listed: Mapping[str, Mapping[str, Any]] = json.loads(FILE.read_text("utf-8"))
    for name, said in listed.items():
        if name:
            known = checks.facts(said.get("like", name))
            about = {"title": known["title"], "licence": known["licence"], "page": known["url"], **said}
            about = {key: value for key, value in about.items() if key not in ("like", "note")}
            archives = [_archive(one) for one in about.pop("archives")]
            links = [Place(**one) for one in about.pop("links", ())]
            yield Source(name, archives=archives, links=links, **about)


def _archive(said: Mapping[str, Any]) -> Archive:
    place = {key: said[key] for key in ("to", "holds", "lacks", "named") if key in said}
    others = {key: value for key, value in said.items() if key not in (*place, "files")}
    return Archive([File(**file) for file in said["files"]], Place(**place), **others)
