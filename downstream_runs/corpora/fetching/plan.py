"""What `data` will do before it does it: what is there, what is fetched, and the disk that it takes."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from downstream_runs.corpora.fetching.sources import Archive, Source
from upstream_arm.common.errors import UsageError

WORK = ".superb-data"
"""The folder in the data folder for what is not whole yet; hidden, so that it belongs to no corpus."""
SHELF = "archives"
"""The folder in the data folder where archives that were asked for may be put."""
SPARE_BYTES = 100_000_000
"""What is left free."""

State = Literal["there", "given", "to fetch", "to request"]


@dataclass(frozen=True)
class Step:
    """What is done with one archive. paths: where somebody has put it, of one to request what there is."""

    source: Source
    archive: Archive
    state: State
    paths: Sequence[Path] = ()

    @classmethod
    def of(cls, source: Source, archive: Archive, data: Path) -> Step:
        """What is to be done in a data folder."""
        paths = archive.on((data / SHELF, data))
        if archive.is_there(data):
            return cls(source, archive, "there")
        if paths and (len(paths) == len(archive.files) or paths[0].name in archive.whole):
            return cls(source, archive, "given", paths)
        return cls(source, archive, "to fetch" if archive.is_served else "to request", paths)

    @property
    def is_done(self) -> bool:
        """Whether this command does something with it."""
        return self.state in ("given", "to fetch")

    @property
    def is_hashed(self) -> bool:
        """Whether there is a published checksum to hold it against."""
        names = {path.name for path in self.paths} or {file.name for file in self.archive.files}
        return names <= {file.name for file in self.archive.files if file.sha256}

    @property
    def missing(self) -> str:
        """The files of an archive in parts that are not there yet, where some are."""
        there = {path.name for path in self.paths}
        absent = [file.name for file in self.archive.files if file.name not in there]
        return f": {', '.join(absent)} missing" if self.paths and absent else ""

    def fetched(self, work: Path) -> int:
        """Bytes that are still to be fetched."""
        if self.state != "to fetch":
            return 0
        kept = (work / name for file in self.archive.files for name in (file.name, f"{file.name}.part"))
        return max(0, self.archive.bytes - sum(path.stat().st_size for path in kept if path.is_file()))


def steps(sources: Sequence[Source], data: Path) -> list[Step]:
    """What is to be done for all archives of the sources."""
    return [Step.of(source, archive, data) for source in sources for archive in source.archives]


def lines(every: Sequence[Step], data: Path) -> Iterator[str]:
    """The plan in words: a block for each source, then the disk."""
    work = data / WORK
    for source in dict.fromkeys(step.source.name for step in every):
        listed = [step for step in every if step.source.name == source]
        about = listed[0].source
        yield f"{about.title} ({', '.join(about.tasks)}), {about.licence}"
        for step in listed:
            yield f"  {step.archive.place.to}: {_state(step, work)}"
        if about.makes:
            yield f"  {about.makes}: made of this and LibriSpeech (about {_gb(about.makes_gb * 1e9)})"
        if any(step.state == "to request" for step in listed):
            yield f"  {about.page}: {about.request}"
            yield f"  put it into {data / SHELF} and run the same command again"
    yield from _disk(every, data)


def require_room(every: Sequence[Step], data: Path) -> None:
    """UsageError where the disk has no room for what is to be done."""
    peak, free = _peak(every, data / WORK), _free(data)
    if peak and peak + SPARE_BYTES > free:
        raise UsageError(
            f"{data} has {_gb(free)} free, about {_gb(peak)} are needed (archives are removed one by one as "
            "they are unpacked); make room, name another folder with --data, or fewer tasks"
        )


def _state(step: Step, work: Path) -> str:
    archive = step.archive
    if step.state == "there":
        return "there"
    size = _gb(archive.bytes)
    size = size if all(file.bytes for file in archive.files) else f"about {size}"
    if step.state == "to request":
        names = ", ".join(file.name for file in archive.files)
        return f"to request: {names} ({size}){step.missing}"
    checked = "published SHA-256"
    if not step.is_hashed:
        checked = "no published checksum known: its own are checked, and every file is decoded"
    if step.state == "given":
        return f"unpacked from {step.paths[0]} ({checked})"
    left = step.fetched(work)
    there = f", {_gb(archive.bytes - left)} are here" if left < archive.bytes else ""
    return f"fetched from {archive.files[0].urls[0]} ({size}{there}; {checked})"


def _disk(every: Sequence[Step], data: Path) -> Iterator[str]:
    work, free = data / WORK, _free(data)
    kept = sum(_unpacked(step) for step in every if step.is_done) + _made(every)
    if kept:
        yield (
            f"{_gb(sum(step.fetched(work) for step in every))} to fetch; {_gb(free)} of the disk are free at "
            f"{data}, about {_gb(_peak(every, work))} are taken at most, {_gb(max(0, free - kept))} are free "
            "afterwards"
        )


def _peak(every: Sequence[Step], work: Path) -> int:
    """Of the disk, at most: what is unpacked so far, and the archive that is unpacked next."""
    peak = kept = 0
    for step in every:
        if step.is_done:
            kept += _unpacked(step)
            peak = max(peak, kept + step.fetched(work))
    return max(peak, kept + _made(every))


def _made(every: Sequence[Step]) -> int:
    """Bytes of what is made of the archives."""
    return round(1e9 * sum({step.source.makes: step.source.makes_gb for step in every}.values()))


def _unpacked(step: Step) -> int:
    return round(step.archive.unpacked_gb * 1e9)


def _free(data: Path) -> int:
    folder = next(place for place in (data, *data.parents) if place.is_dir())
    return shutil.disk_usage(folder).free


def _gb(number: float) -> str:
    return f"{number / 1e9:.3g} GB" if number >= 1e9 else f"{number / 1e6:.3g} MB"


def need_agreement(every: Sequence[Step], agreed: Mapping[str, str]) -> list[Source]:
    """The sources whose archives are to be fetched, and whose terms nobody has agreed to."""
    asked = {step.source.name: step.source for step in every if step.state == "to fetch"}
    return [source for name, source in asked.items() if source.agree and name not in agreed]
