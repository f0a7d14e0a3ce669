"""VoxCeleb1: where it is, which speakers and files it has, and whether it is whole.

The layout is `<place>/idNNNNN/<video>/NNNNN.wav`. The place is `dev/wav` and `test/wav`, as s3prl wants them,
or `wav` alone, as both archives unpack into one folder; `view` shows s3prl any of them in its own layout.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from downstream_runs.corpora import folders as listing
from downstream_runs.corpora import wavs
from downstream_runs.corpora.audio import RESTORE, AudioProblem
from downstream_runs.corpora.audio import decode as decode_file
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.librispeech import CorpusReport, SplitReport
from downstream_runs.corpora.markers import (
    Count,
    Standing,
    labels,
    marks,
    read_manifest,
    standing,
)
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.problems import Problem
from upstream_arm.common.errors import UsageError

__all__ = [
    "PARTS",
    "Recording",
    "archives",
    "check",
    "content_hash",
    "find_root",
    "labels",
    "recordings",
    "require_good",
    "require_listed",
    "speakers",
    "view",
]

FOLDERS = ("VoxCeleb1", "Voxceleb1", "voxceleb1", "VoxCeleb")
PLACES = ("dev/wav", "test/wav", "wav", "vox1_dev_wav/wav", "vox1_test_wav/wav", "dev", "test", ".")
"""Where speaker folders may lie under the root; both archives hold a folder `wav`."""

TEST_SPEAKERS = frozenset(f"id{number}" for number in range(10270, 10310))
"""The forty speakers of the archive `test`: those whose names begin with E (the corpus's site)."""

PARTS: Mapping[str, int] = MappingProxyType({"dev": 148_642, "test": 4_874})
"""The two archives and their utterances, as the corpus's site counts them."""

SITE = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html"

_SPEAKER = re.compile(r"id\d{5}")


@dataclass(frozen=True)
class Recording:
    """One wav: its `path`, its `name` `idNNNNN/<video>/NNNNN.wav`, its bytes and its time of change."""

    path: Path
    name: str
    size: int
    changed_ns: int


def find_root(data: Path) -> Path:
    """The VoxCeleb1 root in `data`: DATA/VoxCeleb1, or DATA itself if speaker folders are in it.

    Raises UsageError if there is none.
    """
    data = listing.place(data)
    for candidate in (*(data / name for name in FOLDERS), data):
        if any(_speakers_in(candidate / place) for place in PLACES):
            return candidate
    found = "that folder does not exist" if not data.is_dir() else "none of them holds a folder idNNNNN"
    raise UsageError(
        f"no VoxCeleb1 in {data}: looked for speakers such as dev/wav/id10001 or wav/id10001 in "
        f"{data / FOLDERS[0]} and in {data}, and {found}; unpack vox1_dev_wav and vox1_test_wav ({SITE}) "
        f"into {data / FOLDERS[0]}/dev and /test, or try the whole path on synthetic speech with --demo"
    )


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


def recordings(folders: Mapping[str, Path]) -> list[Recording]:
    """All wav files of the given speakers, in the order of their names."""
    found = []
    for speaker, folder in folders.items():
        for video in listing.subfolders(folder):
            for path in listing.files(video, ".wav"):
                # A dangling link must be reported with its name later, not end the listing here.
                status = path.stat() if path.exists() else path.lstat()
                name = f"{speaker}/{video.name}/{path.name}"
                found.append(Recording(path, name, status.st_size, status.st_mtime_ns))
    return sorted(found, key=lambda recording: recording.name)


def part(speaker: str) -> str:
    """The archive that a speaker belongs to: `dev` or `test`."""
    return "test" if speaker in TEST_SPEAKERS else "dev"


def archives(root: Path) -> dict[str, dict[str, Path]]:
    """The speakers of `dev` and of `test`, and their folders."""
    groups: dict[str, dict[str, Path]] = {name: {} for name in PARTS}
    for speaker, folder in speakers(root).items():
        groups[part(speaker)][speaker] = folder
    return groups


def view(groups: Mapping[str, Mapping[str, Path]], cache: Path) -> Path:
    """A folder `<group>/wav/<speaker>` of links to the speakers' folders; s3prl knows no other layout."""
    lines = [
        f"{group}\t{speaker}\t{folder.resolve()}\n"
        for group, members in sorted(groups.items())
        for speaker, folder in sorted(members.items())
    ]
    target = cache / f"view-{hashlib.sha256(''.join(lines).encode()).hexdigest()[:16]}"
    with writing(target):
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


def require_listed(files: Sequence[Recording], names: Sequence[str], source: Path) -> list[Recording]:
    """The recordings of `names`, in their order; UsageError names the first that is not there."""
    by_name = {file.name: file for file in files}
    absent = [name for name in names if name not in by_name]
    if absent:
        others = f" (and {len(absent) - 1:,} more)" if len(absent) > 1 else ""
        raise UsageError(
            f"{source} lists {absent[0]}{others} and the corpus has no such file; "
            f"unpack both archives of VoxCeleb1 ({SITE}) again, then start this again"
        )
    return [by_name[name] for name in names]


def content_hash(files: Sequence[Recording], *lists: Path) -> str:
    """Over the files' names and sizes and the lists' bytes: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for recording in files:
        digest.update(f"{recording.name}\t{recording.size}\n".encode("utf-8", "surrogateescape"))
    for path in lists:
        digest.update(path.read_bytes())
    return digest.hexdigest()


def check(root: Path, parts: Sequence[str], *, decode: int | None, partial: bool = False) -> CorpusReport:
    """Compare `parts` (of `PARTS`) under `root` with what VoxCeleb1 holds, and decode audio.

    Every file is counted and none may be empty. `decode` files of each part, spread evenly, are decoded
    whole; None decodes all. Counts are the official ones, but those of the manifest where the root is marked
    as a demo or sample corpus; with `partial` any number will do. Problems are collected, never raised: see
    `require_good`.
    """
    groups = archives(root)
    reports = {name: _check_part(root, name, recordings(groups[name]), decode, partial) for name in parts}
    return CorpusReport(root, labels(root), reports)


def require_good(report: CorpusReport, partial: bool = False) -> Standing:
    """Raise UsageError with the first problem and the number of others, if there are any.

    Returns what the archives are; UsageError also if they are not whole, unless `partial` allows it.
    """
    if report.labels:
        advice = f"delete {report.root} and make the {' and '.join(report.labels)} corpus again"
    else:
        named = " and ".join(f"vox1_{name}_wav" for name, found in report.splits.items() if found.problems)
        advice = f"unpack {named} ({SITE}) again, or try the path first with --demo"
        if not all(found.utterances for found in report.splits.values()):
            wavs.require_good(report.problems, advice)
    counts = [Count(f"part {name}", found.utterances, PARTS[name]) for name, found in report.splits.items()]
    found = standing(report.root, counts, partial, f"unpack vox1_dev_wav and vox1_test_wav ({SITE}) again")
    wavs.require_good(report.problems, advice)
    return found


def _check_part(
    root: Path, name: str, files: list[Recording], decode: int | None, partial: bool
) -> SplitReport:
    if not files and (other := _other_audio(root, name)):
        return SplitReport(name, 0, 0, None, (other,))
    problems: list[str] = [
        Problem(f"{file.path} is empty (0 bytes)", RESTORE) for file in files if file.size == 0
    ]
    step = 1 if decode is None else max(len(files) // max(decode, 1), 1)
    chosen = [file for file in files if file.size][::step][: len(files) if decode is None else decode]
    seconds = 0.0
    small = [file for file in files if 0 < file.size < wavs.SMALL and file not in chosen]
    for file in (*chosen, *small):
        try:
            seconds += decode_file(file.path) / SAMPLE_RATE
        except AudioProblem as problem:
            problems.append(Problem(str(problem), RESTORE))
    whole = len(chosen) == len(files) and not problems
    expected, manifest_problem = _expected(root, name)
    if manifest_problem:
        problems.insert(0, manifest_problem)
    elif len(files) != expected and (marks(root) or not partial):
        problems.insert(0, f"part {name} has {len(files):,} of {expected:,} utterances in {root}")
    return SplitReport(name, len(files), len(chosen), seconds if whole else None, tuple(problems))


def _other_audio(root: Path, name: str) -> str:
    """A sentence on the audio that a part holds instead of wav files, as VoxCeleb's m4a; empty if none."""
    for folder in archives(root)[name].values():
        if lies := listing.what_lies_there(folder):
            return (
                f"part {name} has no wav file in {root}: {folder} holds {lies}, "
                "idNNNNN/<video>/NNNNN.wav of 16 kHz and one channel was expected"
            )
    return ""


def _expected(root: Path, name: str) -> tuple[int, str | None]:
    for mark in marks(root):
        manifest = read_manifest(root, mark)
        if manifest is None:
            return 0, f"{root} is a half made {mark.label} corpus: it has no readable {mark.stem}.json"
        listed = manifest.get("files")
        wavs = [Path(file) for file in listed if file.endswith(".wav")] if isinstance(listed, dict) else []
        return sum(part(wav.parts[-3]) == name for wav in wavs if len(wav.parts) > 2), None
    return PARTS[name], None


def _speakers_in(place: Path) -> list[Path]:
    if not place.is_dir():
        return []
    return [folder for folder in listing.subfolders(place) if _SPEAKER.fullmatch(folder.name)]
