"""LibriSpeech's transcript files, `<speaker>-<chapter>.trans.txt`, and the characters that ASR spells with.

The PyPI package of s3prl leaves `downstream/asr/char.dict`, the list of the characters, out. A symbol's place
in it is its output in the head, so the order has to be that of s3prl's git tree: most frequent first in
LibriSpeech's 960 hours of training transcripts, `|` standing for the space between words.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import texts
from downstream_runs.corpora.audio import RESTORE
from upstream_arm.common.errors import UsageError

WORD_BOUNDARY = "|"

SYMBOLS: tuple[str, ...] = (WORD_BOUNDARY, *"ETAONIHSRDLUMCWFGYPBVK'XJQZ")
"""The 28 symbols in s3prl's order; fairseq's dictionary puts `<s> <pad> </s> <unk>` before them."""

LETTERS: frozenset[str] = frozenset(SYMBOLS) - {WORD_BOUNDARY}
"""What a transcript may hold beside spaces."""


def char_dict() -> str:
    """The text of char.dict, one `symbol count` a line, as s3prl's fairseq-style Dictionary.load reads it.

    s3prl keeps the counts but computes nothing from them. Here they fall by one a line rather than
    repeat the corpus counts, so that sorting by them keeps the order.
    """
    return "".join(f"{symbol} {len(SYMBOLS) - index}\n" for index, symbol in enumerate(SYMBOLS))


class TranscriptProblem(ValueError):
    """A transcript line that cannot be used; says what was found, without the file's name."""


def parse_line(line: str) -> tuple[str, str]:
    """Split one line `ID TRANSCRIPT` into the utterance id and the words, joined by single spaces.

    Any white space separates, as in s3prl's reader (downstream/asr/dataset.py). Raises TranscriptProblem for
    a blank line (s3prl ends with an IndexError there), an empty transcript, and a character for which the
    ASR vocabulary has no symbol (s3prl would add one that the head has no output for).
    """
    words = line.split()
    if not words:
        raise TranscriptProblem("is blank")
    utterance, transcript = words[0], " ".join(words[1:])
    shortly = utterance[:60]
    if not transcript:
        raise TranscriptProblem(f"gives no transcript for {shortly}")
    strange = sorted(set(transcript) - set(LETTERS) - {" "})
    if strange:
        shown = ", ".join(repr(character) for character in strange)
        raise TranscriptProblem(
            f"has {shown} in the transcript of {shortly}, not in the ASR vocabulary A-Z, apostrophe, space"
        )
    return utterance, transcript


def format_line(utterance: str, transcript: str) -> str:
    """One line of a transcript file, with its newline."""
    return f"{utterance} {transcript}\n"


def path(chapter: Path) -> Path:
    """The transcript file of a chapter's folder."""
    return chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"


def check_chapter(folder: Path, utterances: Iterable[str], partial: bool = False) -> list[Problem]:
    """The problems between a chapter's transcript file and the ids of its flac files, one sentence each.

    With `partial` a line may be without audio: it is of an utterance that this part of the corpus lacks.
    """
    audio, file = set(utterances), path(folder)
    if not file.is_file():
        what = f"{file} is missing: {len(audio):,} flac files of the chapter have no transcript"
        return [Problem(what, RESTORE)] if audio else []
    try:
        lines = texts.lines(file, "")
    except UsageError as error:
        return [Problem(str(error).removesuffix("; "), RESTORE)]
    problems: list[Problem] = []
    seen: set[str] = set()
    for place, line in lines:
        # The id counts as seen even if its words are bad: one line, one problem.
        known = line.split()[:1]
        if known and known[0] in seen:
            problems.append(Problem(f"{place} gives {known[0]} a second time", "delete that line"))
        elif known and known[0] not in audio and not partial:
            what = f"{place} is for {known[0]}, which has no flac file in that folder"
            problems.append(Problem(what, "restore that flac file"))
        else:
            try:
                parse_line(line)
            except TranscriptProblem as problem:
                problems.append(Problem(f"{place} {problem}", "correct that line"))
        seen.update(known)
    return problems + [
        Problem(f"{folder / name}.flac has no line in {file.name}", "restore that line")
        for name in sorted(audio - seen)
    ]


def read(chapters: Iterable[Path]) -> dict[str, str]:
    """The words of every utterance of some chapter folders, which `check_chapter` has found good."""
    return dict(parse_line(line) for folder in sorted(chapters) for _, line in texts.lines(path(folder), ""))
