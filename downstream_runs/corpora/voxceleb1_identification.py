"""VoxCeleb1 as speaker identification reads it: one list of all files, which names each one's split.

Its lines are `SPLIT idNNNNN/<video>/NNNNN.wav` (1 train, 2 dev, 3 test).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Split
from downstream_runs.corpora import texts, voxceleb1
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
        if fields[1] in seen:
            raise UsageError(f"{place} gives {fields[1]} a second time; restore the list")
        seen.add(fields[1])
        splits[_SPLITS[fields[0]]].append(fields[1])
    return splits


def present_of(splits: Splits, names: Collection[str]) -> dict[str, list[str]]:
    """What a part of the corpus has of a list: its own files, and in dev and test only trained speakers."""
    found = {split: [name for name in listed if name in names] for split, listed in splits.items()}
    trained = {name[:7] for name in found["train"]}
    return {split: [name for name in listed if name[:7] in trained] for split, listed in found.items()}


def require_classes(splits: Splits, source: Path) -> None:
    """UsageError for a split without an utterance, and for a speaker that no head could name.

    s3prl has a class for number - 10001, of 1,251 classes, and each must be trained on.
    """
    trained = {name[:7] for name in splits["train"]}
    for split, names in splits.items():
        if not names:
            raise UsageError(
                f"{source} has no utterance for {split} that is there, expected lines of 1 (train), 2 (dev) "
                f"and 3 (test); restore it from {META}/{SPLIT_LIST[0]}, or name the utterances that there are"
            )
        for name in names:
            if not 10001 <= int(name[2:7]) <= 11251:
                raise UsageError(
                    f"{source} lists {name}, whose speaker is none of id10001 to id11251; s3prl has classes "
                    "for those only: rename the speaker's folder and its lines in the list"
                )
            if name[:7] not in trained:
                raise UsageError(
                    f"{source} has {name} in {split}, and nothing of its speaker in train; "
                    f"restore it from {META}/{SPLIT_LIST[0]}"
                )


def other_list(root: Path, path: Path) -> tuple[str, ...]:
    """A sentence where a real corpus has a list that is not s3prl's; its line ends may be others."""
    if labels(root):
        return ()
    lines = path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
    ids = [bytes_id(lines), bytes_id(lines + b"\n")]
    if PINNED.blob in ids:
        return ()
    return (
        f"the speaker identification list {path.name} is not SUPERB's: its git hash is {ids[1][:8]}, "
        f"{PINNED.blob[:8]} was expected",
    )


def _listed(request: Request) -> Listing[tuple[Groups, Splits]]:
    """What the list names; of the archives alone where the list would have to be downloaded."""
    root, cache = request.root, request.cache and request.cache.resolve() / "voxceleb1"
    archives = voxceleb1.list_archives(request)
    partial = bool(CORPUS.standing(archives, request.partial).partial)
    present = voxceleb1.present_lists(root, SPLIT_LIST)
    source = present[0] if present else voxceleb1.fetch_list(root, SPLIT_LIST[0], PINNED, cache)
    if source is None:
        return Listing(root, archives.counts, archives.audio, (archives.content, {}))
    splits = read_list(source)
    files = [file for found in archives.audio.values() for file in found]
    if partial:
        splits = present_of(splits, {file.name for file in files})
    listed = voxceleb1.require_listed(files, [name for names in splits.values() for name in names], source)
    require_classes(splits, source)
    return Listing(
        root,
        {split: len(names) for split, names in splits.items()},
        {split: [listed[name] for name in names] for split, names in splits.items()},
        (archives.content, splits),
        deviations=other_list(root, source),
        again=f"restore the list of speaker identification from {META}",
    )


def _written(listing: Listing[tuple[Groups, Splits]], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Show the corpus to s3prl in its own layout, with a list without blank lines, over which it falls."""
    cache = cache.resolve() / "voxceleb1"
    groups, splits = listing.content
    everyone = {speaker: folder for members in groups.values() for speaker, folder in members.items()}
    number = {name: digit for digit, name in _SPLITS.items()}
    text = "".join(f"{number[split]} {name}\n" for split, names in splits.items() for name in names)
    listed = texts.write_once(cache, "identification", text)
    return PreparedData(
        root=listing.root,
        settings={
            "datarc.file_path": str(voxceleb1.view({"all": everyone}, cache)),
            "datarc.meta_data": str(listed),
        },
        utterances=listing.counts,
        sha256=voxceleb1.content_hash([file for files in listing.audio.values() for file in files], listed),
    )


CORPUS = CheckedCorpus(
    **voxceleb1.FACTS,
    splits={
        "train": Split.of_mean(138_361, voxceleb1.MEAN_SECONDS),
        "dev": Split.of_mean(6_904, voxceleb1.MEAN_SECONDS),
        "test": Split.of_mean(8_251, voxceleb1.MEAN_SECONDS),
    },
    # The splits as the corpus's site counts them.
    official={**voxceleb1.ARCHIVES, "train": 138_361, "dev": 6_904, "test": 8_251},
    listed=_listed,
    written=_written,
    decoded=4,
)
