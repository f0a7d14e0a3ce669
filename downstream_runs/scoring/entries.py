"""What `python -m downstream_runs score` knows of each metric: definition, files, how to score them."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.scoring import (
    accuracy,
    der,
    eer,
    groundtruth,
    mtwv,
    notes,
    rttm,
    slots,
    stdlist,
    trials,
    wer,
)
from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.inputs import FINITE, NUMBER_LIMIT
from downstream_runs.scoring.names import ScoringError, first, same
from downstream_runs.scoring.notes import Texts
from downstream_runs.scoring.rttm import Turn

if TYPE_CHECKING:
    from downstream_runs.scoring.groundtruth import GroundTruth
    from downstream_runs.scoring.stdlist import Stdlist

S3PRL = "s3prl 0.4.18 (s3prl/metric/{file}.py) and the SUPERB leaderboard"
TRANSCRIPTS = (
    "The two files must hold the same utterances: s3prl's .ark or .txt (NAME TEXT ...), .tsv (NAME<TAB>TEXT) "
    "or .csv (NAME,TEXT; quotation marks around a cell are not read), also .gz. A first line of column names "
    "is left out, with a note. Text is compared as it stands; a note says what another way of writing costs."
)
EDITS = (
    "edit distance (substitutions + insertions + deletions) summed over all utterances / "
    "reference {unit} summed over all utterances; {split}"
)
SPACES = "split at every single space, so two spaces in a row enclose an empty {unit} that counts"

Found = dict[str, Any]


@dataclass(frozen=True)
class Entry:
    """One metric of the command.

    title, definition, source, files: texts for --help; definition and source also go into the output.
    run: from the parsed arguments to `rate` (a fraction), `counts` and what else is to be printed.
    ref, hyp: what the two arguments are. ref_needed: whether --ref must be given.
    """

    title: str
    definition: str
    source: str
    files: str
    run: Callable[[argparse.Namespace], Found]
    ref: str = "reference transcripts"
    hyp: str = "hypotheses"
    ref_needed: bool = True


def _texts(arguments: argparse.Namespace) -> tuple[Texts, Texts, list[str]]:
    """References, hypotheses, and what is to be noted of their files."""
    ref, header = notes.without_header(arguments.ref, wer.read_transcripts(arguments.ref))
    hyp, other = notes.without_header(arguments.hyp, wer.read_transcripts(arguments.hyp))
    if not ref or not hyp:
        raise ScoringError(f"{arguments.hyp if ref else arguments.ref} holds column names and nothing below")
    return ref, hyp, [*header, *other]


def _counted(
    counts: ErrorCounts, arguments: argparse.Namespace, said: list[str], wrong: bool = True
) -> Found:
    if counts.length == 0:
        raise ScoringError(
            f"{arguments.ref} holds only empty transcripts, so {arguments.metric} is undefined"
        )
    above = counts.errors if wrong else counts.length - counts.errors
    # The percentage is rounded once, not that of the rounded rate.
    return _printed(above / counts.length, counts.as_dict(), said, percent=100 * above / counts.length)


def _printed(rate: float, counts: Found, said: list[str], **more: object) -> Found:
    """What the command prints of every metric; more: what one has of its own."""
    return {"rate": rate, "percent": 100 * rate, "counts": counts, **more, "notes": said}


def _edits(arguments: argparse.Namespace, unit: wer.Unit, punctuation: bool = True) -> Found:
    ref, hyp, said = _texts(arguments)
    counts = wer.score(ref, hyp, unit)
    for path, texts in ((arguments.ref, ref), (arguments.hyp, hyp)) if unit == "word" else ():
        number = wer.empty_words(texts.values())
        if number:
            said.append(
                f"{number} transcripts of {path} have a leading or doubled space; "
                "each makes an empty word, which counts as a word"
            )

    said += notes.empty(arguments.ref, ref)
    said += notes.written_otherwise(ref, hyp, lambda one, two: wer.score(one, two, unit).errors, punctuation)
    return _counted(counts, arguments, said)


def _labels(arguments: argparse.Namespace) -> Found:
    ref, hyp, said = _texts(arguments)
    unlabelled = sorted(name for name, label in ref.items() if not label)
    if unlabelled:
        raise ScoringError(
            f"{len(unlabelled)} utterances of {arguments.ref} have no label ({first(unlabelled)}), one each "
            "was expected"
        )

    counts = accuracy.score(ref, hyp)
    said += notes.written_otherwise(ref, hyp, lambda *both: accuracy.score(*both).errors)
    return _counted(counts, arguments, said, wrong=False)


def _slots(arguments: argparse.Namespace) -> Found:
    ref, hyp, said = _texts(arguments)
    counts = slots.score(ref, hyp)
    names = ("type_f1", "value_cer", "value_wer", "edit_f1_full", "edit_f1_part")
    try:
        rates = {f"slot_{name}": getattr(counts, name) for name in names}
    except ValueError as error:
        raise ScoringError(f"{arguments.ref} and {arguments.hyp}: {error}") from None

    said += notes.written_otherwise(ref, hyp, lambda *both: slots.score(*both).cer_errors)
    return _printed(rates["slot_type_f1"], counts.as_dict(), said, rates=rates)


def _equal_error_rate(arguments: argparse.Namespace) -> Found:
    found = eer.score(*trials.read(arguments.hyp, arguments.ref))
    said = []
    if found.rate > 0.5:
        said.append(
            f"targets of {arguments.hyp} score lower than nontargets: are the labels exchanged, or the "
            "scores distances? higher means target"
        )
    return _printed(found.rate, found.as_dict(), said)


def _diarization(arguments: argparse.Namespace) -> Found:
    if not 0 <= arguments.collar <= rttm.LATEST:
        raise ScoringError(
            f"--collar {arguments.collar} is no time in seconds, 0 to {rttm.LATEST:.0f} was expected"
        )
    ref: Mapping[str, list[Turn]] = rttm.read(arguments.ref)
    hyp: Mapping[str, list[Turn]] = rttm.read(arguments.hyp)
    uem = None
    if arguments.uem is None:
        advice = (
            "where nobody was heard, RTTM has no line: name all files that are to be scored in --uem FILE"
        )
        same(ref, hyp, "reference files", "hypotheses", advice)
    else:
        uem = rttm.read_uem(arguments.uem)
        outside = sorted((ref.keys() | hyp.keys()) - uem.keys())
        if outside:
            raise ScoringError(
                f"{len(outside)} files with turns are not in {arguments.uem} ({first(outside)}), so nothing "
                "was scored: add their regions, or leave their turns out"
            )
        silent: dict[str, list[Turn]] = {name: [] for name in uem}
        ref, hyp = {**silent, **ref}, {**silent, **hyp}
    counts = der.score(ref, hyp, uem, arguments.collar, arguments.ignore_overlaps)
    said = _rounded(arguments.ref, ref) + _rounded(arguments.hyp, hyp)
    try:
        rate = counts.rate
    except ValueError as error:
        raise ScoringError(f"{arguments.ref}: {error}") from None
    settings = {"collar": arguments.collar, "ignore_overlaps": arguments.ignore_overlaps}
    regions = None if uem is None else str(arguments.uem)
    return _printed(rate, counts.as_dict(), said, **settings, uem=regions)


def _rounded(path: Path, turns: Mapping[str, Sequence[Turn]]) -> list[str]:
    number = rttm.finer(turns)
    note = f"{number} turns of {path} have times finer than a millisecond, rounded as dscore rounds them"
    return [note] if number else []


def _term_weighted_value(arguments: argparse.Namespace) -> Found:
    if not abs(arguments.default_score) <= NUMBER_LIMIT:
        raise ScoringError(f"--default-score is {arguments.default_score}, {FINITE}")
    system = stdlist.read(arguments.hyp)
    truth = groundtruth.read(arguments.ref)
    found = mtwv.score(truth, system.scores, system.accepted, default=arguments.default_score)
    said = _unsearched(arguments, truth, system)
    settings = {"beta": mtwv.BETA, "default_score": arguments.default_score}
    return _printed(found.rate, found.as_dict(), said, **settings)


def _unsearched(arguments: argparse.Namespace, truth: GroundTruth, system: Stdlist) -> list[str]:
    lacking = [query for query in truth.queries if truth.targets[query] and query not in system.scores]
    note = (
        f"{len(lacking)} of {len(truth.queries)} queries are not in {arguments.hyp} ({first(lacking)}): all "
        "their trials have the default score"
    )
    return [note] if lacking else []


ENTRIES: dict[str, Entry] = {
    "wer": Entry(
        "word error rate",
        EDITS.format(unit="words", split=f"words are {SPACES.format(unit='word')}"),
        S3PRL.format(file="common"),
        TRANSCRIPTS,
        partial(_edits, unit="word"),
    ),
    "cer": Entry(
        "character error rate",
        EDITS.format(unit="characters", split="spaces are characters too"),
        S3PRL.format(file="common"),
        TRANSCRIPTS,
        partial(_edits, unit="char"),
    ),
    "per": Entry(
        "phone error rate",
        EDITS.format(unit="phones", split=f"phones are {SPACES.format(unit='phone')}"),
        S3PRL.format(file="common"),
        TRANSCRIPTS,
        partial(_edits, unit="word", punctuation=False),  # PER is the WER of phones, see scoring/wer.py
    ),
    "acc": Entry(
        "accuracy",
        "utterances whose label equals the reference's / all utterances; all of the line after the name is "
        "the label, so for intents all slots must be right",
        S3PRL.format(file="common"),
        TRANSCRIPTS,
        _labels,
        ref="true labels",
        hyp="predicted labels",
    ),
    "der": Entry(
        "diarization error rate",
        "(missed + false alarm + confused speaker time) / reference speaker time, pooled over the files, "
        "under the best one-to-one mapping of speakers in each file; without --uem a file is scored from the "
        "first to the last time in reference or hypothesis",
        "dscore (github.com/nryant/dscore, md-eval 22), which s3prl's downstream/diarization/score.sh calls",
        "Both files are RTTM, also .gz, and must hold the same recordings.",
        _diarization,
        ref="reference turns (RTTM)",
        hyp="turns of the system (RTTM)",
    ),
    "eer": Entry(
        "equal error rate",
        "the rate at which the fractions of rejected targets and accepted nontargets are equal, on the ROC "
        "drawn straight between the distinct scores",
        "compute_eer of " + S3PRL.format(file="common"),
        "The file has a first line with the column names enroll, test (or item), label and score, "
        "tab-separated in .tsv, by commas in .csv, also .gz; the labels can stand in a file of their own "
        "(--ref).",
        _equal_error_rate,
        ref="labels, where --hyp has none",
        hyp="scored trials",
        ref_needed=False,
    ),
    "mtwv": Entry(
        "maximum term weighted value",
        "highest over thresholds of 1 - mean over queries of (P_miss + beta P_fa), with P_target 0.0008, "
        "C_fa 1, C_miss 100; queries without a target are left out, missing trials get the default score",
        "the scoring tool of the QUESST evaluation (MediaEvalQUESST2015.jar, effective prior .0741289)",
        "--ref is a ground truth folder with one *.tlist.xml, *.ecf.xml and *.rttm (or one of these files in "
        "it); --hyp is a *.stdlist.xml such as s3prl's benchmark.stdlist.xml.",
        _term_weighted_value,
        ref="ground truth folder",
        hyp="scored trials of the system",
    ),
    "sf": Entry(
        "slot-type F1 and slot-value CER",
        "slot-type F1: mean over utterances of the F1 of the sets of slot types; slot-value CER: character "
        "errors of the slot values / their characters; and s3prl's slot-value WER and slot edit F1",
        S3PRL.format(file="slot_filling"),
        TRANSCRIPTS + " Slots are marked as in 'B-rank TEN E-rank OF B-suit CLUBS E-suit'.",
        _slots,
    ),
}
