"""LibriSpeech's transcript files, `<speaker>-<chapter>.trans.txt`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from downstream_runs.corpora.problems import Problem
from downstream_runs.corpora.vocabulary import LETTERS

BACK = "restore that file from the corpus"


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


def check_chapter(folder: Path, utterances: Iterable[str], partial: bool = False) -> tuple[str, ...]:
    """The problems between a chapter's transcript file and the ids of its flac files, one sentence each.

    With `partial` a line may be without audio: it is of an utterance that this part of the corpus lacks.
    """
    audio = set(utterances)
    path = folder / f"{folder.parent.name}-{folder.name}.trans.txt"
    if not path.is_file():
        return (
            (
                Problem(
                    f"{path} is missing: {len(audio):,} flac files of the chapter have no transcript", BACK
                ),
            )
            if audio
            else ()
        )
    try:
        # Not splitlines(): it breaks at separators that a text file's lines do not end at.
        lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    except (OSError, UnicodeDecodeError) as error:
        return (Problem(f"{path} cannot be read as UTF-8 text ({error})", BACK),)
    problems: list[str] = []
    seen: set[str] = set()
    for number, line in enumerate(lines, start=1):
        # The id counts as seen even if its words are bad: one line, one problem.
        known = line.split()[:1]
        if known and known[0] in seen:
            problems.append(
                Problem(f"{path} line {number} gives {known[0]} a second time", "delete that line")
            )
        elif known and known[0] not in audio and not partial:
            what = f"{path} line {number} is for {known[0]}, which has no flac file in that folder"
            problems.append(Problem(what, "restore that flac file"))
        else:
            try:
                parse_line(line)
            except TranscriptProblem as problem:
                problems.append(Problem(f"{path} line {number} {problem}", "correct that line"))
        seen.update(known)
    problems.extend(
        Problem(f"{folder / name}.flac has no line in {path.name}", "restore that line")
        for name in sorted(audio - seen)
    )
    return tuple(problems)


def read(chapters: Iterable[Path]) -> dict[str, str]:
    """The words of every utterance of some chapter folders, which `check_chapter` has found good."""
    found = {}
    for folder in sorted(chapters):
        path = folder / f"{folder.parent.name}-{folder.name}.trans.txt"
        for line in path.read_text(encoding="utf-8").removesuffix("\n").split("\n"):
            utterance, transcript = parse_line(line)
            found[utterance] = transcript
    return found
