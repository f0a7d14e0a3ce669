"""VoxCeleb1: which speakers and files its archives have, and how speaker identification reads it.

The layout is `<place>/idNNNNN/<video>/NNNNN.wav`. The place is `dev/wav` and `test/wav`, as s3prl wants them,
or `wav` alone, as both archives unpack into one folder; `view` shows s3prl any of them in its own layout.
Identification has one list of all files, which names each one's split: `SPLIT idNNNNN/<video>/NNNNN.wav`
(1 train, 2 dev, 3 test).
"""

from __future__ import annotations

import contextlib
import itertools
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import checks, folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import PinnedFile, bytes_id, obtain
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

SPLIT_LIST = ("iden_split.txt", "veri_test_class.txt")
"""The list, as the corpus's site and as s3prl call it."""

PINNED = PinnedFile(
    "s3prl/downstream/voxceleb1/veri_test_class.txt", "bff103cfe2b4e0ec42b2ed658ead99cea5e6cf51"
)

_SPLITS = {"1": "train", "2": "dev", "3": "test"}

Splits = Mapping[str, Sequence[str]]
"""The utterances of train, dev and test, by `idNNNNN/<video>/NNNNN.wav`."""


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
        for folder, lies in itertools.islice((pair for pair in lying if pair[1]), 1):
            problems.append(
                f"part {name} has no wav file: {folder} holds {lies}, idNNNNN/<video>/NNNNN.wav of 16 kHz "
                "and one channel was expected"
            )
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

    A made corpus has lists of its own, and a part may have. UsageError, which names the list `site` of the
    corpus's site, where none can be had. None where it would have to be downloaded without a cache.
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
    absent = [f"{source} lists {name}, no such file is there" for name in names if name not in known]
    checks.require_none(absent, "unpack both archives of VoxCeleb1 again, then start this again")
    return [known[name] for name in names]


def content_hash(files: Sequence[AudioFile], *lists: Path) -> str:
    """Over the files' names and sizes and the lists' bytes: all that decides a run but the samples."""
    return texts.digest([*(file.line for file in files), *(path.read_bytes() for path in lists)])


def read_list(path: Path) -> dict[str, list[str]]:
    """The utterances of each split in the order of the file; UsageError names a bad line."""
    splits: dict[str, list[str]] = {name: [] for name in _SPLITS.values()}
    seen: set[str] = set()
    for place, fields in list_fields(path):
        if len(fields) != 2 or fields[0] not in _SPLITS or not NAME.fullmatch(fields[1]):
            raise UsageError(
                f"{place} is {' '.join(fields)!r}, expected such as '1 id10003/na8-QEFmj44/00003.wav' with "
                f"1, 2 or 3 in front; restore it from {META}"
            )
        split, name = _SPLITS[fields[0]], fields[1]
        if name in seen:
            raise UsageError(f"{place} gives {name} a second time; restore the list")
        seen.add(name)
        splits[split].append(name)
    return splits


def require_classes(splits: Splits, source: Path) -> None:
    """UsageError for a split without an utterance, and for a speaker that no head could name.

    s3prl has a class for number - 10001, of 1,251 classes, and each must be trained on.
    """
    trained, again = {name[:7] for name in splits["train"]}, f"restore it from {META}/{SPLIT_LIST[0]}"
    for split, names in splits.items():
        if not names:
            raise UsageError(
                f"{source} has no utterance for {split} that is there, expected lines of 1 (train), 2 (dev) "
                f"and 3 (test); {again}, or name the utterances that there are"
            )
        for name in names:
            if not 10001 <= int(name[2:7]) <= 11251:
                raise UsageError(
                    f"{source} lists {name}, whose speaker is none of id10001 to id11251; s3prl has classes "
                    "for those only: rename the speaker's folder and its lines in the list"
                )
            if name[:7] not in trained:
                raise UsageError(
                    f"{source} has {name} in {split}, and nothing of its speaker in train; {again}"
                )


def other_list(root: Path, path: Path) -> tuple[str, ...]:
    """A sentence where a real corpus has a list that is not s3prl's; its line ends may be others."""
    lines = path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
    ids = [bytes_id(lines), bytes_id(lines + b"\n")]
    if labels(root) or PINNED.blob in ids:
        return ()
    return (
        f"the speaker identification list {path.name} is not SUPERB's: its git hash is {ids[1][:8]}, "
        f"{PINNED.blob[:8]} was expected",
    )


def _listed(request: Request) -> Listing[tuple[Groups, Splits]]:
    """What the list names; of the archives alone where the list would have to be downloaded.

    A part of the corpus has its own files of the list, and in dev and test only trained speakers.
    """
    root, (archives, partial) = request.root, list_archives(CORPUS, request)
    source = find_list(request, partial, SPLIT_LIST, SPLIT_LIST[0], PINNED)
    if source is None:
        return Listing(root, archives.audio, (archives.content, {}))
    splits = read_list(source)
    if partial:
        known = archives.by_name
        splits = {split: [name for name in names if name in known] for split, names in splits.items()}
        trained = {name[:7] for name in splits["train"]}
        splits = {split: [name for name in names if name[:7] in trained] for split, names in splits.items()}
    files = {split: require_listed(archives, names, source) for split, names in splits.items()}
    require_classes(splits, source)
    return Listing(
        root,
        files,
        (archives.content, splits),
        deviations=other_list(root, source),
        again=f"restore the list of speaker identification from {META}",
    )


def _written(listing: Listing[tuple[Groups, Splits]], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Show the corpus to s3prl in its own layout, with a list without blank lines, over which it falls."""
    cache = cache_of(cache)
    groups, splits = listing.content
    everyone = {speaker: folder for members in groups.values() for speaker, folder in members.items()}
    number = {name: digit for digit, name in _SPLITS.items()}
    text = "".join(f"{number[split]} {name}\n" for split, names in splits.items() for name in names)
    listed = texts.write_once(cache, "identification", text)
    return listing.prepared(
        content_hash(listing.files, listed),
        {"datarc.file_path": view({"all": everyone}, cache), "datarc.meta_data": listed},
    )


CORPUS = CheckedCorpus(**checks.facts("voxceleb1"), listed=_listed, written=_written)
