"""Audio SNIPS as SUPERB prepares it.

Layout: `<root>/{train,valid,test}/**/<speaker>-snips-<split>-<number>.wav`, `all.iob.snips.txt` with one line
`ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT` an utterance, and `slots.txt` with one slot a line, the first `O`.
Sources: s3prl's preprocess/snips_preprocess.py, downstream/ctc/corpus/snips.py and snips.yaml.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Split
from downstream_runs.corpora import folders, texts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from upstream_arm.common.errors import UsageError

TRANSCRIPTS = "all.iob.snips.txt"
SLOTS = "slots.txt"

SPEAKERS: Mapping[str, tuple[str, ...]] = {
    "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
    "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
    "test": ("Brian", "Emma", "Raveena", "Russell"),
}
"""The voices of each split (snips.yaml); the folders hold all sixteen, a split uses its own only."""

CHARACTERS: tuple[str, ...] = (" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'")
"""What the head spells words with, in the order of s3prl's vocab/character.txt."""

_SILENT = "?!.,;-"
"""Marks that s3prl's tokenizer passes over, each a word of its own (downstream/ctc/text.py)."""

GET = "unpack the archive of Audio SNIPS that s3prl's downstream/docs/superb.md links under SF"


@dataclass(frozen=True)
class Texts:
    """The slots without the leading `O`, and each utterance's line without its id."""

    slots: tuple[str, ...]
    lines: Mapping[str, str]


def speaker(utterance: str) -> str:
    """The voice of an utterance, the first part of its id."""
    return utterance.partition("-")[0]


def name_of(path: Path) -> str:
    """The id of a file's utterance, such as `Amy-snips-valid-12`."""
    return path.name.partition(".wav")[0]


def read_slots(path: Path) -> tuple[str, ...]:
    """The slots without the `O` of the first line, empty lines left out. UsageError for a bad file.

    s3prl drops the first line whatever it says, and takes an empty last line for a slot.
    """
    first, *slots = [line.strip() for _, line in texts.lines(path, f"{GET} again")]
    if first != "O":
        raise UsageError(
            f"{path} begins with {first!r}, expected 'O' (no slot): s3prl drops the first line unread; "
            "put a line O before the slots"
        )
    named = tuple(slot for slot in slots if slot)
    for slot in named:
        # s3prl's scorer joins values and slots with these and splits them again.
        if any(mark in slot for mark in " \t:;") or named.count(slot) > 1 or slot == "O":
            raise UsageError(
                f"{path} has the slot {slot!r}, expected each slot once and without spaces, ':' and ';'; "
                "correct that line"
            )
    if not named:
        raise UsageError(f"{path} names no slot after O; {GET} again")
    return named


def read_transcripts(path: Path) -> dict[str, str]:
    """Each utterance's line without its id, as `BOS WORDS EOS<TAB>O SLOT TAGS INTENT`."""
    parts = (line.strip().partition(" ") for _, line in texts.lines(path, f"{GET} again"))
    return {name: rest for name, _, rest in parts if name}


def split_line(line: str) -> tuple[list[str], list[str]]:
    """Words without BOS and EOS, and their tags without the first O and the intent.

    Raises ValueError if the line is not words, one tab, tags.
    """
    words, tags = line.split("\t")
    return words.split(" ")[1:-1], tags.split(" ")[1:-1]


def audio_files(folder: Path) -> list[Path]:
    """The wav files of a split's folder at any depth, in the order in which its folders are walked."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; {GET} again, or try --demo first")
    return list(folders.walk(folder, ".wav"))


def _utterances(root: Path, part: str, lines: Mapping[str, str]) -> Iterator[AudioFile]:
    seen: dict[str, Path] = {}
    for path in audio_files(root / part):
        name = name_of(path)
        if not name.startswith(SPEAKERS[part]):
            continue
        if name in seen:
            raise UsageError(f"{path} and {seen[name]} are both {name}, one was expected; remove one of them")
        seen[name] = path
        if name not in lines:
            raise UsageError(
                f"{path} has no line in {root / TRANSCRIPTS}, and s3prl would pass it over; restore that line"
            )
        yield AudioFile.at(path, root)


def _listed(request: Request) -> Listing[Texts]:
    root = request.root
    found = Texts(read_slots(root / SLOTS), read_transcripts(root / TRANSCRIPTS))
    files = {part: list(_utterances(root, part, found.lines)) for part in SPEAKERS}
    problems = [
        f"{root / part} has no utterance of {', '.join(SPEAKERS[part])}"
        for part, listed in files.items()
        if not listed
    ]
    uneven = {part: _count_uneven(root, part, listed, found) for part, listed in files.items() if listed}
    deviations = [
        f"{number} of {len(files[part])} transcripts of {part} have unequal words and tags, cut by s3prl"
        for part, number in uneven.items()
        if number
    ]
    counts = {part: len(listed) for part, listed in files.items()}
    return Listing(root, counts, files, found, problems, deviations=deviations)


def _count_uneven(root: Path, part: str, files: Sequence[AudioFile], found: Texts) -> int:
    """How many lines have another number of words than of tags; UsageError where s3prl would crash."""
    slotted = uneven = letters = strange = 0
    for name in (name_of(file.path) for file in files):
        words, tags = _checked_line(root, name, found.lines[name], found.slots)
        uneven += len(words) != len(tags)
        slotted += any(tag != "O" for tag in tags)
        letters += sum(len(word) for word in words)
        strange += sum(character not in CHARACTERS for word in words for character in word)
    if not slotted:
        raise UsageError(f"no utterance of {part} in {root / TRANSCRIPTS} has a slot; {GET} again")
    if strange * 2 > letters:
        raise UsageError(
            f"{root / TRANSCRIPTS}: {strange:,} of {letters:,} characters of {part} are not A-Z or an "
            "apostrophe, and the head spells with those only; write the words in capitals, as SUPERB's "
            "preparation does"
        )
    return uneven


def _checked_line(root: Path, name: str, line: str, slots: Sequence[str]) -> tuple[list[str], list[str]]:
    def bad(what: str) -> UsageError:
        return UsageError(
            f"{root / TRANSCRIPTS}: the line of {name} {what}; expected "
            "'ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT', correct it"
        )

    try:
        words, tags = split_line(line)
    except ValueError:
        raise bad("has not exactly one tab between words and tags") from None
    if not "".join(words).strip(_SILENT):
        raise bad("has no words between BOS and EOS")
    unknown = next((tag for tag in tags if tag != "O" and tag not in slots), None)
    if unknown is not None:
        raise bad(f"has the slot {unknown!r}, which {SLOTS} does not name")
    if len(words) > len(tags) and tags and tags[-1] != "O":
        raise bad(f"has {len(words)} words and {len(tags)} tags")
    return words, tags


def slots_text(slots: Sequence[str]) -> str:
    """slots.txt as s3prl reads it without harm: `O` first, no newline at the end."""
    return "\n".join(("O", *slots))


def _written(listing: Listing[Texts], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the characters and slots that s3prl reads."""
    corpus, digest = config["downstream_expert"]["corpus"], _content_hash(listing)
    characters = "".join(f"{character}\n" for character in CHARACTERS)
    slots = texts.write(cache / f"snips-slots-{digest[:12]}.txt", slots_text(listing.content.slots))
    return PreparedData(
        root=listing.root,
        settings={
            "corpus.path": str(listing.root),
            "text.vocab_file": str(texts.write(cache / "snips-characters.txt", characters)),
            "text.slots_file": str(slots),
        },
        utterances={
            split: sum(listing.counts[part] for part in corpus[split]) for split in ("train", "dev", "test")
        },
        sha256=digest,
    )


def _content_hash(listing: Listing[Texts]) -> str:
    """Over slots, utterances, sizes and lines: all that decides a run but the samples."""
    digest = hashlib.sha256("\n".join(listing.content.slots).encode())
    for part in sorted(listing.audio):
        for file in listing.audio[part]:
            line = listing.content.lines[name_of(file.path)]
            digest.update(f"{file.name}\t{file.size}\t{line}\n".encode())
    return digest.hexdigest()


def _is_root(root: Path) -> bool:
    return (root / TRANSCRIPTS).is_file()


CORPUS = CheckedCorpus(
    name="Audio SNIPS as prepared for SUPERB",
    licence="the corpus's own, see aws-samples/aws-lex-noisy-spoken-language-understanding",
    size="231,744 wav files",
    url="https://github.com/s3prl/s3prl/blob/main/s3prl/downstream/docs/superb.md",
    # s3prl's lists; 3 seconds each is an assumption of this project, since no source for its hours is known.
    splits={
        "train": Split.of_mean(104_672, 3.0),
        "dev": Split.of_mean(2_800, 3.0),
        "test": Split.of_mean(2_800, 3.0),
    },
    demo="downstream_runs.corpora.demo.snips",
    title="Audio SNIPS",
    get=GET,
    places=("SNIPS",),
    holds=_is_root,
    sign=TRANSCRIPTS,
    # Speakers times sentences, as counted in snips_preprocess.py.
    official={"train": 8 * 13_084, "valid": 4 * 700, "test": 4 * 700},
    listed=_listed,
    written=_written,
    decoded=20,
)
