"""Audio SNIPS as SUPERB prepares it: where it is, whether it is whole, its slots and speakers.

Layout: `<root>/{train,valid,test}/**/<speaker>-snips-<split>-<number>.wav`, `all.iob.snips.txt` with one line
`ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT` an utterance, and `slots.txt` with one slot a line, the first `O`.
Sources: s3prl's preprocess/snips_preprocess.py, downstream/ctc/corpus/snips.py and snips.yaml.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import folders, markers, wavs
from upstream_arm.common.errors import UsageError

TRANSCRIPTS = "all.iob.snips.txt"
SLOTS = "slots.txt"

SPEAKERS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "train": ("Ivy", "Joanna", "Joey", "Justin", "Kendra", "Kimberly", "Matthew", "Salli"),
        "valid": ("Aditi", "Amy", "Geraint", "Nicole"),
        "test": ("Brian", "Emma", "Raveena", "Russell"),
    }
)
"""The voices of each split (snips.yaml); the folders hold all sixteen, a split uses its own only."""

OFFICIAL_UTTERANCES: Mapping[str, int] = MappingProxyType(
    {"train": 8 * 13_084, "valid": 4 * 700, "test": 4 * 700}
)
"""Speakers times sentences; the sentences as counted in snips_preprocess.py."""

CHARACTERS: tuple[str, ...] = (" ", *"ABCDEFGHIJKLMNOPQRSTUVWXYZ", "'")
"""What the head spells words with, in the order of s3prl's vocab/character.txt."""

_SILENT = "?!.,;-"
"""Marks that s3prl's tokenizer passes over, each a word of its own (downstream/ctc/text.py)."""

_CHECKED_FILES = 20


@dataclass(frozen=True)
class Utterance:
    """One wav file: its path, the same relative to the root, its size in bytes, its line without the id."""

    path: Path
    relative: str
    size: int
    line: str

    @property
    def name(self) -> str:
        """The utterance's id, such as `Amy-snips-valid-12`."""
        return self.path.name.partition(".wav")[0]


@dataclass(frozen=True)
class Snips:
    """A checked corpus; `slots` without the leading `O`."""

    root: Path
    slots: tuple[str, ...]
    splits: Mapping[str, tuple[Utterance, ...]]
    standing: Standing


def speaker(utterance: str) -> str:
    """The voice of an utterance, the first part of its id."""
    return utterance.partition("-")[0]


def find_root(data: Path) -> Path:
    """The root in `data`: DATA/SNIPS, or DATA itself if it holds the transcripts. UsageError for neither."""
    data = folders.place(data)
    for candidate in (data / "SNIPS", data):
        if (candidate / TRANSCRIPTS).is_file() or markers.marks(candidate):
            return candidate
    found = "that folder does not exist" if not data.is_dir() else "neither has it"
    raise UsageError(
        f"no Audio SNIPS in {data}: looked for {TRANSCRIPTS} in {data / 'SNIPS'} and in {data}, and {found}; "
        "unpack the archive that s3prl's downstream/docs/superb.md links under SF there, or try the whole "
        "path on synthetic speech with --demo"
    )


def load(root: Path, parts: Sequence[str] = tuple(SPEAKERS), partial: bool = False) -> Snips:
    """Check the corpus and list the utterances of `parts`. UsageError with the first problem found.

    Any number of utterances will do where `partial` allows it.
    """
    if markers.marks(root) and not any(markers.read_manifest(root, mark) for mark in markers.marks(root)):
        raise UsageError(f"{root} is a half made corpus (no readable manifest); delete it and make it again")
    slots = read_slots(root / SLOTS)
    lines = read_transcripts(root / TRANSCRIPTS)
    splits = {part: tuple(_utterances(root, part, lines)) for part in parts}
    deviations: list[str] = []
    standing = _standing(root, splits, partial)
    for part, utterances in splits.items():
        deviations += _check_lines(root, part, utterances, slots)
        _check_audio(utterances)
    return Snips(root, slots, splits, standing.and_also(deviations))


def _standing(root: Path, splits: Mapping[str, Sequence[Utterance]], partial: bool) -> Standing:
    if markers.marks(root) or not all(splits.values()):
        for part, utterances in splits.items():
            _check_count(root, part, len(utterances))
    counts = [markers.Count(part, len(found), OFFICIAL_UTTERANCES[part]) for part, found in splits.items()]
    return markers.standing(root, counts, partial, "unpack Audio SNIPS again")


def read_slots(path: Path) -> tuple[str, ...]:
    """The slots without the `O` of the first line, empty lines left out. UsageError for a bad file.

    s3prl drops the first line whatever it says, and takes an empty last line for a slot.
    """
    first, *slots = [line.strip() for line in _text(path).split("\n")]
    if first != "O":
        raise UsageError(
            f"{path} begins with {first!r}, expected 'O' (no slot): s3prl drops the first line unread; "
            "put a line O before the slots"
        )
    named = [slot for slot in slots if slot]
    for slot in named:
        # s3prl's scorer joins values and slots with these and splits them again.
        if any(mark in slot for mark in " \t:;") or named.count(slot) > 1 or slot == "O":
            raise UsageError(
                f"{path} has the slot {slot!r}, expected each slot once and without spaces, ':' and ';'; "
                "correct that line"
            )
    if not named:
        raise UsageError(f"{path} names no slot after O; take it from the prepared corpus again")
    return tuple(named)


def write_slots(path: Path, slots: Sequence[str]) -> Path:
    """Write slots.txt as s3prl reads it without harm: `O` first, no newline at the end."""
    from upstream_arm.common.files import atomic_write_text

    atomic_write_text(path, "\n".join(("O", *slots)))
    return path


def write_characters(path: Path) -> Path:
    """Write the characters, one a line, as s3prl's tokenizer reads them."""
    from upstream_arm.common.files import atomic_write_text

    atomic_write_text(path, "".join(f"{character}\n" for character in CHARACTERS))
    return path


def read_transcripts(path: Path) -> dict[str, str]:
    """Each utterance's line without its id, as `BOS WORDS EOS<TAB>O SLOT TAGS INTENT`."""
    lines = {}
    for line in _text(path).split("\n"):
        name, _, rest = line.strip().partition(" ")
        if name:
            lines[name] = rest
    return lines


def split_line(line: str) -> tuple[list[str], list[str]]:
    """Words without BOS and EOS, and their tags without the first O and the intent.

    Raises ValueError if the line is not words, one tab, tags.
    """
    words, tags = line.split("\t")
    return words.split(" ")[1:-1], tags.split(" ")[1:-1]


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UsageError(
            f"cannot read {path} ({reason}), a text file of the prepared Audio SNIPS was expected; take it "
            "from the archive again"
        ) from None


def _utterances(root: Path, part: str, lines: Mapping[str, str]) -> Iterator[Utterance]:
    wanted = SPEAKERS[part]
    seen: dict[str, Path] = {}
    for path in audio_files(root / part):
        size = path.stat().st_size if path.exists() else 0
        name = path.name.partition(".wav")[0]
        if not name.startswith(wanted):
            continue
        if name in seen:
            raise UsageError(f"{path} and {seen[name]} are both {name}, one was expected; remove one of them")
        seen[name] = path
        if name not in lines:
            raise UsageError(
                f"{path} has no line in {root / TRANSCRIPTS}, and s3prl would pass it over; restore that line"
            )
        if not size:
            raise UsageError(f"{path} is empty (0 bytes); copy it again from the archive")
        yield Utterance(path, path.relative_to(root).as_posix(), size, lines[name])


def audio_files(folder: Path) -> list[Path]:
    """The wav files of a split's folder at any depth, in the order in which its folders are walked."""
    if not folder.is_dir():
        raise UsageError(f"there is no folder {folder}; unpack Audio SNIPS again, or try --demo first")
    return folders.walk(folder, ".wav")


def _check_count(root: Path, part: str, found: int) -> None:
    expected = OFFICIAL_UTTERANCES[part]
    for mark in markers.marks(root):
        files = (markers.read_manifest(root, mark) or {}).get("files", {})
        expected = sum(name.startswith(f"{part}/") and name.endswith(".wav") for name in files)
    if found != expected or not found:
        raise UsageError(
            f"{part} has {found:,} of {expected:,} utterances of {', '.join(SPEAKERS[part])} in "
            f"{root / part}; unpack Audio SNIPS again, or try --demo first"
        )


def _check_lines(
    root: Path, part: str, utterances: Sequence[Utterance], slots: Sequence[str]
) -> Iterator[str]:
    """What s3prl reads otherwise than it stands there, a sentence each; UsageError where it would crash."""
    known = frozenset(slots)
    slotted = uneven = letters = strange = 0
    for utterance in utterances:
        try:
            words, tags = split_line(utterance.line)
        except ValueError:
            raise _bad_line(root, utterance, "has not exactly one tab between words and tags") from None
        if not "".join(words).strip(_SILENT):
            raise _bad_line(root, utterance, "has no words between BOS and EOS")
        unknown = next((tag for tag in tags if tag != "O" and tag not in known), None)
        if unknown is not None:
            raise _bad_line(root, utterance, f"has the slot {unknown!r}, which {SLOTS} does not name")
        if len(words) > len(tags) and tags and tags[-1] != "O":
            raise _bad_line(root, utterance, f"has {len(words)} words and {len(tags)} tags")
        uneven += len(words) != len(tags)
        slotted += any(tag != "O" for tag in tags)
        letters += sum(len(word) for word in words)
        strange += sum(character not in CHARACTERS for word in words for character in word)
    if not slotted:
        raise UsageError(
            f"no utterance of {part} in {root / TRANSCRIPTS} has a slot; take the file from the archive again"
        )
    if strange * 2 > letters:
        raise UsageError(
            f"{root / TRANSCRIPTS}: {strange:,} of {letters:,} characters of {part} are not A-Z or an "
            "apostrophe, and the head spells with those only; write the words in capitals, as SUPERB's "
            "preparation does"
        )
    if uneven:
        yield f"{uneven} of {len(utterances)} transcripts of {part} have unequal words and tags, cut by s3prl"


def _bad_line(root: Path, utterance: Utterance, what: str) -> UsageError:
    return UsageError(
        f"{root / TRANSCRIPTS}: the line of {utterance.name} {what}; expected "
        "'ID BOS WORDS EOS<TAB>O SLOT TAGS INTENT', correct it"
    )


def _check_audio(utterances: Sequence[Utterance]) -> None:
    """Decode a few files, as rate and channels are wrong in all or in none, and all that may be too short."""
    from downstream_runs.corpora.audio import AudioProblem, decode

    step = max(len(utterances) // _CHECKED_FILES, 1)
    small = [utterance for utterance in utterances if utterance.size < wavs.SMALL]
    for utterance in (*utterances[::step], *small):
        try:
            decode(utterance.path)
        except AudioProblem as problem:
            raise UsageError(f"{problem}; copy it again from the archive") from None


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold Audio SNIPS under `data` against its transcripts and counts."""
    return _load(data, partial).standing


def _load(data: Path, partial: bool) -> Snips:
    return load(find_root(data).resolve(), partial=partial)


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find and check Audio SNIPS, and write the characters and slots that s3prl reads."""
    from downstream_runs.corpora.outputs import writing

    corpus = _load(data, partial)
    expert = config["downstream_expert"]["corpus"]
    parts = {split: expert[split] for split in ("train", "dev", "test")}
    digest = _content_hash(corpus)
    with writing(cache):
        characters = write_characters(cache / "snips-characters.txt").resolve()
        slots = write_slots(cache / f"snips-slots-{digest[:12]}.txt", corpus.slots).resolve()
    return PreparedData(
        root=corpus.root,
        settings={
            "corpus.path": str(corpus.root),
            "text.vocab_file": str(characters),
            "text.slots_file": str(slots),
        },
        utterances={split: sum(len(corpus.splits[part]) for part in names) for split, names in parts.items()},
        audio=tuple(utterance.path for part in corpus.splits.values() for utterance in part),
        sha256=digest,
        **corpus.standing.facts,
    )


def _content_hash(corpus: Snips) -> str:
    """Over slots, utterances, sizes and lines: all that decides a run but the samples."""
    digest = hashlib.sha256("\n".join(corpus.slots).encode())
    for part in sorted(corpus.splits):
        for utterance in corpus.splits[part]:
            digest.update(f"{utterance.relative}\t{utterance.size}\t{utterance.line}\n".encode())
    return digest.hexdigest()


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in Audio SNIPS' layout, made in `folder`."""
    from downstream_runs.corpora.demo import snips

    return snips.make(folder)


CORPUS = Corpus(
    name="Audio SNIPS as prepared for SUPERB",
    licence="the corpus's own, see aws-samples/aws-lex-noisy-spoken-language-understanding",
    size="231,744 wav files",
    url="https://github.com/s3prl/s3prl/blob/main/s3prl/downstream/docs/superb.md",
    splits={
        "train": Split.of_mean(104_672, 3.0),
        "dev": Split.of_mean(2_800, 3.0),
        "test": Split.of_mean(2_800, 3.0),
    },
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
