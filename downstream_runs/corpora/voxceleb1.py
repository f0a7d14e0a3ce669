"""VoxCeleb1: which speakers and files its archives have, for both of its tasks.

The layout is `<place>/idNNNNN/<video>/NNNNN.wav`. The place is `dev/wav` and `test/wav`, as s3prl wants them,
or `wav` alone, as both archives unpack into one folder; `view` shows s3prl any of them in its own layout.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.corpora import folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import Listing, Request
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import PinnedFile, obtain
from upstream_arm.common.errors import UsageError

PLACES = ("dev/wav", "test/wav", "wav", "vox1_dev_wav/wav", "vox1_test_wav/wav", "dev", "test", ".")
"""Where speaker folders may lie under the root; both archives hold a folder `wav`."""

TEST_SPEAKERS = frozenset(f"id{number}" for number in range(10270, 10310))
"""The forty speakers of the archive `test`: those whose names begin with E (the corpus's site)."""

SITE = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"
META = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta"

# Without the signs of patterns, since s3prl looks for the files by glob.
NAME = re.compile(r"id\d{5}/[^/\s*?\[]+/[^/\s*?\[]+\.wav")
_SPEAKER = re.compile(r"id\d{5}")

Groups = Mapping[str, Mapping[str, Path]]
"""The folders of speakers, by the archive that they are of."""

ARCHIVES: Mapping[str, int] = {"part dev": 148_642, "part test": 4_874}
"""Utterances of the two archives, as the corpus's site counts them."""

MEAN_SECONDS = 8.2
"""Of an utterance (Nagrani et al. 2017)."""


def part(speaker: str) -> str:
    """The archive that a speaker belongs to: `dev` or `test`."""
    return "test" if speaker in TEST_SPEAKERS else "dev"


def speakers(root: Path) -> dict[str, Path]:
    """Every speaker and its folder, in the order of the names; UsageError if one has two folders."""
    found: dict[str, Path] = {}
    for place in PLACES:
        for folder in _speakers_in(root / place):
            other = found.setdefault(folder.name, folder)
            if other is not folder and not other.samefile(folder):
                raise UsageError(
                    f"speaker {folder.name} has two folders, {other} and {folder}, one was expected; "
                    "move one of them out of the corpus, then start again"
                )
    return dict(sorted(found.items()))


def _speakers_in(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return [folder for folder in folders.subfolders(place) if _SPEAKER.fullmatch(folder.name)]


def _is_root(root: Path) -> bool:
    return any(_speakers_in(root / place) for place in PLACES)


FACTS: dict[str, Any] = {
    "name": "VoxCeleb1",
    "licence": "CC BY 4.0 (metadata); the audio is YouTube's, for research",
    "size": "30 GB + 1 GB",
    "url": SITE,
    "demo": "downstream_runs.corpora.demo.voxceleb1",
    "title": "VoxCeleb1",
    "get": f"unpack vox1_dev_wav and vox1_test_wav ({SITE})",
    "places": ("VoxCeleb1", "Voxceleb1", "voxceleb1", "VoxCeleb"),
    "holds": _is_root,
    "sign": "speakers such as dev/wav/id10001 or wav/id10001",
}
"""What both tasks' corpora declare alike."""


def recordings(members: Mapping[str, Path]) -> list[AudioFile]:
    """All wav files of the given speakers by `idNNNNN/<video>/NNNNN.wav`, in the order of these names."""
    found = [
        AudioFile.named(path, f"{speaker}/{video.name}/{path.name}")
        for speaker, folder in members.items()
        for video in folders.subfolders(folder)
        for path in folders.files(video, ".wav")
    ]
    return sorted(found, key=lambda file: file.name)


def list_archives(request: Request) -> Listing[Groups]:
    """The files of both archives."""
    groups: dict[str, dict[str, Path]] = {"dev": {}, "test": {}}
    for speaker, folder in speakers(request.root).items():
        groups[part(speaker)][speaker] = folder
    files = {f"part {name}": recordings(members) for name, members in groups.items()}
    counts = {name: len(found) for name, found in files.items()}
    problems = [text for name, found in files.items() if not found for text in _other_audio(name, groups)]
    return Listing(request.root, counts, files, groups, problems)


def _other_audio(name: str, groups: Groups) -> Iterator[str]:
    """A sentence on the audio that a part holds instead of wav files, as VoxCeleb's m4a."""
    for folder in groups[name.removeprefix("part ")].values():
        if lies := folders.what_lies_there(folder):
            yield (
                f"{name} has no wav file: {folder} holds {lies}, idNNNNN/<video>/NNNNN.wav of 16 kHz and one "
                "channel was expected"
            )
            return


def view(groups: Groups, cache: Path) -> Path:
    """A folder `<group>/wav/<speaker>` of links to the speakers' folders; s3prl knows no other layout."""
    lines = [
        f"{group}\t{speaker}\t{folder.resolve()}\n"
        for group, members in sorted(groups.items())
        for speaker, folder in sorted(members.items())
    ]
    target = cache / f"view-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"
    with texts.writing(target):
        if target.is_dir():
            return target
        cache.mkdir(parents=True, exist_ok=True)
        making = Path(tempfile.mkdtemp(prefix=".view-", dir=cache))
        try:
            for line in lines:
                group, speaker, folder = line.rstrip("\n").split("\t")
                link = making / group / "wav" / speaker
                link.parent.mkdir(parents=True, exist_ok=True)
                link.symlink_to(folder, target_is_directory=True)
            making.chmod(0o755)
            # Another run may have made the same view meanwhile; it is the same then.
            if not target.is_dir():
                making.rename(target)
        finally:
            shutil.rmtree(making, ignore_errors=True)
    return target


def present_lists(root: Path, names: Sequence[str]) -> list[Path]:
    """The files of these names in the corpus's folder and in the one above it."""
    return [folder / name for folder in (root, root.parent) for name in names if (folder / name).is_file()]


def fetch_list(root: Path, name: str, file: PinnedFile, cache: Path | None, there: str = "") -> Path | None:
    """s3prl's copy of a list that the corpus lacks, beside which `there` may lie; None without a `cache`.

    Raises UsageError where it cannot be had, and for a made corpus, which has lists of its own.
    """
    missing = f"{root / name} is not there{f' ({there})' if there else ''}"
    if labels(root):
        raise UsageError(f"{missing}; delete {root} and make the {' and '.join(labels(root))} corpus again")
    if cache is None:
        return None
    try:
        return obtain(file, cache)
    except UsageError as error:
        raise UsageError(
            f"{missing}, and s3prl's copy could not be had ({error}); download {META}/{name} to {root}"
        ) from error


def list_fields(path: Path) -> list[tuple[str, list[str]]]:
    """Place and fields of every line that is not blank; s3prl itself falls over a blank one."""
    found = texts.lines(path, f"restore it from {META}")
    return [(place, line.split()) for place, line in found if line.strip()]


def require_listed(files: Sequence[AudioFile], names: Sequence[str], source: Path) -> dict[str, AudioFile]:
    """The files of `names`, in their order; UsageError names the first that is not there."""
    by_name = {file.name: file for file in files}
    absent = [name for name in names if name not in by_name]
    if absent:
        others = f" (and {len(absent) - 1:,} more)" if len(absent) > 1 else ""
        raise UsageError(
            f"{source} lists {absent[0]}{others} and the corpus has no such file; "
            f"unpack both archives of VoxCeleb1 ({SITE}) again, then start this again"
        )
    return {name: by_name[name] for name in names}


def content_hash(files: Sequence[AudioFile], *lists: Path) -> str:
    """Over the files' names and sizes and the lists' bytes: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.name}\t{file.size}\n".encode("utf-8", "surrogateescape"))
    for path in lists:
        digest.update(path.read_bytes())
    return digest.hexdigest()
