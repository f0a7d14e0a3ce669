"""VoxCeleb1 as speaker identification reads it: one list of all files, which names each one's split.

Its lines are `SPLIT idNNNNN/<video>/NNNNN.wav` (1 train, 2 dev, 3 test).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import checks, texts, voxceleb1
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import PinnedFile, bytes_id
from downstream_runs.corpora.voxceleb1 import META, Groups
from upstream_arm.common.errors import UsageError

SPLIT_LIST = ("iden_split.txt", "veri_test_class.txt")
"""The list, as the corpus's site and as s3prl call it."""

PINNED = PinnedFile(
    "s3prl/downstream/voxceleb1/veri_test_class.txt", "bff103cfe2b4e0ec42b2ed658ead99cea5e6cf51"
)

_SPLITS = {"1": "train", "2": "dev", "3": "test"}

Splits = Mapping[str, Sequence[str]]
"""The utterances of train, dev and test, by `idNNNNN/<video>/NNNNN.wav`."""


def read_list(path: Path) -> dict[str, list[str]]:
    """The utterances of each split in the order of the file; UsageError names a bad line."""
    splits: dict[str, list[str]] = {name: [] for name in _SPLITS.values()}
    seen: set[str] = set()
    for place, fields in voxceleb1.list_fields(path):
        if len(fields) != 2 or fields[0] not in _SPLITS or not voxceleb1.NAME.fullmatch(fields[1]):
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
    root, (archives, partial) = request.root, voxceleb1.list_archives(CORPUS, request)
    source = voxceleb1.find_list(request, partial, SPLIT_LIST, SPLIT_LIST[0], PINNED)
    if source is None:
        return Listing(root, archives.audio, (archives.content, {}))
    splits = read_list(source)
    if partial:
        known = archives.by_name
        splits = {split: [name for name in names if name in known] for split, names in splits.items()}
        trained = {name[:7] for name in splits["train"]}
        splits = {split: [name for name in names if name[:7] in trained] for split, names in splits.items()}
    files = {split: voxceleb1.require_listed(archives, names, source) for split, names in splits.items()}
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
    cache = voxceleb1.cache_of(cache)
    groups, splits = listing.content
    everyone = {speaker: folder for members in groups.values() for speaker, folder in members.items()}
    number = {name: digit for digit, name in _SPLITS.items()}
    text = "".join(f"{number[split]} {name}\n" for split, names in splits.items() for name in names)
    listed = texts.write_once(cache, "identification", text)
    return listing.prepared(
        voxceleb1.content_hash(listing.files, listed),
        {"datarc.file_path": voxceleb1.view({"all": everyone}, cache), "datarc.meta_data": listed},
    )


CORPUS = CheckedCorpus(**checks.facts("voxceleb1_identification"), listed=_listed, written=_written)
