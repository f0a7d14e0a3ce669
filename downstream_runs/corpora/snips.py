"""Audio SNIPS as SUPERB prepares it.

Layout: `<root>/{train,valid,test}/**/<speaker>-snips-<split>-<number>.wav`, `all.iob.snips.txt` with one line
`ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT` an utterance, and `slots.txt` with one slot a line, the first `O`.
Sources: s3prl's preprocess/snips_preprocess.py, downstream/ctc/corpus/snips.py and snips.yaml.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import checks, folders, texts
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
    first, *slots = [line.strip() for _, line in texts.lines(path, f"{CORPUS.get} again")]
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
        raise UsageError(f"{path} names no slot after O; {CORPUS.get} again")
    return named


def read_transcripts(path: Path) -> dict[str, str]:
    """Each utterance's line without its id, as `BOS WORDS EOS<TAB>O SLOT TAGS INTENT`."""
    parts = (line.strip().partition(" ") for _, line in texts.lines(path, f"{CORPUS.get} again"))
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
        raise UsageError(f"there is no folder {folder}; {CORPUS.get} again, or try --demo first")
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
    problems, deviations = [], []
    for part, listed in files.items():
        if not listed:
            problems.append(f"{root / part} has no utterance of {', '.join(SPEAKERS[part])}")
        elif uneven := _count_uneven(root, part, listed, found):
            what = f"{uneven} of {len(listed)} transcripts of {part} have unequal words and tags"
            deviations.append(f"{what}, cut by s3prl")
    return Listing(root, files, found, problems, deviations=deviations)


def _count_uneven(root: Path, part: str, files: Sequence[AudioFile], found: Texts) -> int:
    """How many lines have another number of words than of tags; UsageError where s3prl would crash."""
    names = [name_of(file.path) for file in files]
    lines = [_checked_line(root, name, found.lines[name], found.slots) for name in names]
    if all(tag == "O" for _, tags in lines for tag in tags):
        raise UsageError(f"no utterance of {part} in {root / TRANSCRIPTS} has a slot; {CORPUS.get} again")
    letters = "".join(word for words, _ in lines for word in words)
    strange = sum(character not in CHARACTERS for character in letters)
    if strange * 2 > len(letters):
        raise UsageError(
            f"{root / TRANSCRIPTS}: {strange:,} of {len(letters):,} characters of {part} are not A-Z or an "
            "apostrophe, and the head spells with those only; write the words in capitals, as SUPERB's "
            "preparation does"
        )
    return sum(len(words) != len(tags) for words, tags in lines)


def _checked_line(root: Path, name: str, line: str, slots: Sequence[str]) -> tuple[list[str], list[str]]:
    """The words and tags of a line; UsageError for one that s3prl would read wrongly."""
    bad, words, tags = "", list[str](), list[str]()
    try:
        words, tags = split_line(line)
    except ValueError:
        bad = "has not exactly one tab between words and tags"
    unknown = next((tag for tag in tags if tag != "O" and tag not in slots), None)
    if unknown is not None:
        bad = f"has the slot {unknown!r}, which {SLOTS} does not name"
    elif not bad and not "".join(words).strip(_SILENT):
        bad = "has no words between BOS and EOS"
    elif len(words) > len(tags) and tags and tags[-1] != "O":
        bad = f"has {len(words)} words and {len(tags)} tags"
    if bad:
        raise UsageError(
            f"{root / TRANSCRIPTS}: the line of {name} {bad}; expected "
            "'ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT', correct it"
        )
    return words, tags


def slots_text(slots: Sequence[str]) -> str:
    """slots.txt as s3prl reads it without harm: `O` first, no newline at the end."""
    return "\n".join(("O", *slots))


def _written(listing: Listing[Texts], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the characters and slots that s3prl reads."""
    corpus, content = config["downstream_expert"]["corpus"], listing.content
    pieces = ["\n".join(content.slots)]
    for part in sorted(listing.audio):
        for file in listing.audio[part]:
            pieces.append(f"{file.name}\t{file.size}\t{content.lines[name_of(file.path)]}\n")
    digest = texts.digest(pieces)
    characters = "".join(f"{character}\n" for character in CHARACTERS)
    return listing.prepared(
        digest,
        {
            "corpus.path": listing.root,
            "text.vocab_file": texts.write(cache / "snips-characters.txt", characters),
            "text.slots_file": texts.write(
                cache / f"snips-slots-{digest[:12]}.txt", slots_text(content.slots)
            ),
        },
        utterances={
            split: sum(listing.counts[part] for part in corpus[split]) for split in ("train", "dev", "test")
        },
    )


CORPUS = CheckedCorpus(**checks.facts("snips"), listed=_listed, written=_written)
