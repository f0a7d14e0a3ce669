"""VoxCeleb1: which speakers and files its archives have, for both of its tasks.

The layout is `<place>/idNNNNN/<video>/NNNNN.wav`. The place is `dev/wav` and `test/wav`, as s3prl wants them,
or `wav` alone, as both archives unpack into one folder; `view` shows s3prl any of them in its own layout.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from downstream_runs.corpora import folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import PinnedFile, obtain
from upstream_arm.common.errors import UsageError

PLACES = ("dev/wav", "test/wav", "wav", "vox1_dev_wav/wav", "vox1_test_wav/wav", "dev", "test", ".")
"""Where speaker folders may lie under the root; both archives hold a folder `wav`."""

TEST_SPEAKERS = frozenset(f"id{number}" for number in range(10270, 10310))
"""The forty speakers of the archive `test`: those whose names begin with E (the corpus's site)."""

META = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta"

# Without the signs of patterns, since s3prl looks for the files by glob.
NAME = re.compile(r"id\d{5}/[^/\s*?\[]+/[^/\s*?\[]+\.wav")
_SPEAKER = re.compile(r"id\d{5}")

Groups = Mapping[str, Mapping[str, Path]]
"""The folders of speakers, by the archive that they are of."""


def part(speaker: str) -> str:
    """The archive that a speaker belongs to: `dev` or `test`."""
    return "test" if speaker in TEST_SPEAKERS else "dev"


def speakers(root: Path) -> dict[str, Path]:
    """Every speaker and its folder, in the order of the names; UsageError if one has two folders."""
    found: dict[str, Path] = {}
    for place in PLACES:
        for folder in folders.subfolders(root / place) if (root / place).is_dir() else ():
            if not _SPEAKER.fullmatch(folder.name):
                continue
            other = found.setdefault(folder.name, folder)
            if other is not folder and not other.samefile(folder):
                raise UsageError(
                    f"speaker {folder.name} has two folders, {other} and {folder}, one was expected; "
                    "move one of them out of the corpus, then start again"
                )
    return dict(sorted(found.items()))


def recordings(members: Mapping[str, Path]) -> list[AudioFile]:
    """All wav files of the given speakers by `idNNNNN/<video>/NNNNN.wav`, in the order of these names."""
    found = [
        AudioFile.at(path, name=f"{speaker}/{video.name}/{path.name}")
        for speaker, folder in members.items()
        for video in folders.subfolders(folder)
        for path in folders.files(video, ".wav")
    ]
    return sorted(found, key=lambda file: file.name)


def list_archives(corpus: CheckedCorpus, request: Request) -> tuple[Listing[Groups], bool]:
    """What there is of both archives, and whether it is a part; UsageError where it cannot be used."""
    groups: dict[str, dict[str, Path]] = {"dev": {}, "test": {}}
    for speaker, folder in speakers(request.root).items():
        groups[part(speaker)][speaker] = folder
    files = {f"part {name}": recordings(members) for name, members in groups.items()}
    problems = []
    for name in (name for name in groups if not files[f"part {name}"]):
        lying = ((folder, folders.what_lies_there(folder)) for folder in groups[name].values())
        problems += [
            f"part {name} has no wav file: {folder} holds {lies}, idNNNNN/<video>/NNNNN.wav of 16 kHz and "
            "one channel was expected"
            for folder, lies in lying
            if lies
        ]
    listing: Listing[Groups] = Listing(request.root, files, groups, problems)
    return listing, bool(corpus.standing(listing, request.partial).partial)


def cache_of(cache: Path) -> Path:
    """The corpus's folder in the cache of all corpora."""
    return cache.resolve() / "voxceleb1"


def view(groups: Groups, cache: Path) -> Path:
    """A folder `<group>/wav/<speaker>` of links to the speakers' folders; s3prl knows no other layout."""
    links = [
        (group, speaker, folder.resolve())
        for group, members in sorted(groups.items())
        for speaker, folder in sorted(members.items())
    ]
    digest = texts.digest(f"{group}\t{speaker}\t{folder}\n" for group, speaker, folder in links)
    target = cache / f"view-{digest[:16]}"
    with texts.writing(target):
        for group, speaker, folder in links:
            link = target / group / "wav" / speaker
            if not link.is_symlink():
                link.parent.mkdir(parents=True, exist_ok=True)
                with contextlib.suppress(FileExistsError):  # another run makes the same view
                    link.symlink_to(folder, target_is_directory=True)
    return target


def find_list(
    request: Request,
    partial: bool,
    names: Sequence[str],
    site: str,
    pinned: PinnedFile,
    is_official: Callable[[Path], bool] = lambda path: True,
) -> Path | None:
    """The first official list of these names, in the corpus's folder or the one above it; else s3prl's own.

    A made corpus has lists of its own, and a part may have. UsageError, which names the list
    `site` of the corpus's site, where none can be had. None where it would have to be downloaded without a
    cache.
    """
    root = request.root
    present = [folder / name for folder in (root, root.parent) for name in names if (folder / name).is_file()]
    for path in present:
        if labels(root) or is_official(path):
            return path
    if present and partial:
        return present[0]
    there = f" ({present[0]} is another one)" if present else ""
    missing = f"{root / site} is not there{there}"
    if labels(root):
        raise UsageError(f"{missing}; delete {root} and make the {' and '.join(labels(root))} corpus again")
    if request.cache is None:
        return None
    try:
        return obtain(pinned, cache_of(request.cache))
    except UsageError as error:
        raise UsageError(
            f"{missing}, and s3prl's copy could not be had ({error}); download {META}/{site} to {root}"
        ) from error


def list_fields(path: Path) -> list[tuple[str, list[str]]]:
    """Place and fields of every line that is not blank; s3prl itself falls over a blank one."""
    found = texts.lines(path, f"restore it from {META}")
    return [(place, line.split()) for place, line in found if line.strip()]


def require_listed(archives: Listing[Groups], names: Sequence[str], source: Path) -> list[AudioFile]:
    """The files of `names`, in their order; UsageError names the first that is not there."""
    known = archives.by_name
    absent = [name for name in names if name not in known]
    if absent:
        raise UsageError(
            f"{source} lists {absent[0]} (and {len(absent) - 1:,} more) and the corpus has no such file; "
            "unpack both archives of VoxCeleb1 again, then start this again"
        )
    return [known[name] for name in names]


def content_hash(files: Sequence[AudioFile], *lists: Path) -> str:
    """Over the files' names and sizes and the lists' bytes: all that decides a run but the samples."""
    return texts.digest([*(file.line for file in files), *(path.read_bytes() for path in lists)])
