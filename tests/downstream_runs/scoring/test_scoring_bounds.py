"""Boundaries of the scorers, each held from both sides: what changed code must not pass unnoticed."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from downstream_runs.scoring import (
    accuracy,
    counts,
    der,
    eer,
    groundtruth,
    inputs,
    mtwv,
    rttm,
    slots,
    trials,
    wer,
)
from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.der import DiarizationCounts
from downstream_runs.scoring.groundtruth import GroundTruth
from downstream_runs.scoring.names import ScoringError, first, same
from downstream_runs.scoring.rttm import Turn
from downstream_runs.scoring.slots import SlotCounts

TRUTH = GroundTruth(("p", "q"), ("a", "b"), {"p": frozenset("a"), "q": frozenset("b")})


def test_constants() -> None:
    assert (inputs.LIMIT, inputs.LINE_LIMIT, inputs.NUMBER_LIMIT) == (268_435_456, 1_048_576, 1e300)
    assert (rttm.LATEST, slots.HOPELESS, mtwv.DEFAULT_SCORE) == (1e6, 100, -10.0)
    assert f"{mtwv.BETA:.6f}" == "12.490015"


def test_quoted_texts_are_cut_after_sixty_characters() -> None:
    assert inputs.short("a" * 60) == repr("a" * 60) and inputs.short("a" * 61) == repr("a" * 60 + "...")


def test_refused_files_are_closed(tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        with pytest.raises(ScoringError):
            wer.read_ark(tmp_path)
    assert len(os.listdir("/proc/self/fd")) == before


def test_five_names_are_shown() -> None:
    assert first(list("abcde")) == "a, b, c, d, e" and first(list("abcdef")) == "a, b, c, d, e, ..."
    same({"a", "b"}, {"b", "a"})
    with pytest.raises(ScoringError, match=r"^2 of 2 reference utterances have no hypothesis \(a, b\), so"):
        same({"b", "a"}, set())
    with pytest.raises(ScoringError, match=r"^2 hypotheses have no reference \(a, b\), so"):
        same(set(), {"b", "a"})


def test_the_largest_scores_are_taken_and_larger_ones_not() -> None:
    assert eer.score([1, 0], [1e300, -1e300]).rate == 0.0
    with pytest.raises(ScoringError, match=r"the score of trial 2 is 1\.1e"):
        eer.score([1, 0], [1.0, 1.1e300])
    found = mtwv.score(TRUTH, {"p": {"a": 1e300, "b": -1e300}, "q": {"b": 1e300, "a": -1e300}})
    assert found.rate == 1.0 and found.threshold == -1e300
    with pytest.raises(ScoringError, match="out of range"):
        mtwv.score(TRUTH, {"p": {"a": 1.0}}, default=-1.1e300)


def test_unknown_names_are_listed_in_order_also_those_that_were_only_decided() -> None:
    with pytest.raises(ScoringError, match=r"2 queries of the system .* \(x, y\)"):
        mtwv.score(TRUTH, {"y": {"a": 1.0}, "x": {"a": 1.0}})
    with pytest.raises(ScoringError, match=r"2 documents of the system .* \(x, y\)"):
        mtwv.score(TRUTH, {}, {"p": ["y", "x"]})


def test_counts_of_an_mtwv() -> None:
    found = mtwv.score(TRUTH, {"p": {"a": 3.0, "b": 2.0}, "q": {"a": 1.0, "b": 2.0}}, {"p": "a", "q": "ab"})
    assert (found.rate, found.threshold, found.misses, found.false_alarms) == (0.5, 2.0, 1, 0)
    assert (found.trials, found.targets, found.defaulted, found.dropped, found.queries) == (4, 2, 0, 0, 2)
    assert found.actual == pytest.approx(1 - mtwv.BETA / 2)
    assert "mtwv" not in found.as_dict() and found.as_dict()["trials"] == 4


@pytest.mark.parametrize(("fillers", "errors"), [(99, 99), (100, 1), (101, 1)])
def test_a_value_a_hundred_times_too_long_counts_as_none(fillers: int, errors: int) -> None:
    found = slots.compare("B-x A E-x", f"B-x A{'B' * fillers} E-x")
    assert (found.cer_errors, found.cer_length) == (errors, 1)


def test_slot_counts_of_one_utterance() -> None:
    found = slots.compare("B-x A E-x B-x B E-x B-y C E-y", "B-x A E-x B-x D E-x B-z F E-z B-z G E-z")
    assert (found.hits, found.misses, found.false_alarms, found.surplus) == (1, 2, 1, 2)
    assert (found.cer_errors, found.cer_length, found.wer_errors, found.wer_length) == (2, 3, 2, 3)
    assert found.type_f1 == 0.5 and found.edit_f1_part == 2 / 5 and found.edit_f1_full == 2 / 7
    twice = found + found
    assert twice == SlotCounts(1.0, 2, 4, 6, 4, 6, 2, 4, 2, 4)
    assert SlotCounts() == SlotCounts(0.0, 0, 0, 0, 0, 0, 0, 0, 0, 0)


def test_the_type_f1_of_uneven_sets() -> None:
    # Precision 1/3, recall 1/2.
    found = slots.compare("B-x A E-x B-y B E-y", "B-x A E-x B-u B E-u B-v B E-v")
    assert found.type_f1 == pytest.approx(2 * (1 / 3) * (1 / 2) / (1 / 3 + 1 / 2))
    assert slots.compare("A", "A").type_f1 == 1.0 and slots.compare("A", "B-x A E-x").type_f1 == 0.0


def test_counts_of_one() -> None:
    assert ErrorCounts(1, 1, 1, 1).rate == 1.0 and ErrorCounts(0, 1, 1, 0).rate == 0.0
    assert ErrorCounts() == ErrorCounts(0, 0, 0, 0)
    assert counts.ErrorCounts(2, 9, 1, 1) + ErrorCounts(3, 4, 2, 2) == ErrorCounts(5, 13, 3, 3)
    one = wer.score({"u": "a", "v": "b", "w": "c d"}, {"u": "a", "v": "x", "w": ""})
    assert one == ErrorCounts(3, 4, 3, 2)
    assert accuracy.score({"u": "a"}, {"u": "b"}) == ErrorCounts(1, 1, 1, 1)


def test_diarization_counts_of_one_second() -> None:
    assert DiarizationCounts() == DiarizationCounts(0.0, 0.0, 0.0, 0.0, 0)
    found = DiarizationCounts(1.0, 0.25, 0.125, 0.5, 1)
    assert found.rate == found.errors == 0.875
    assert found + found == DiarizationCounts(2.0, 0.5, 0.25, 1.0, 2)
    assert DiarizationCounts(0.001, 0.001, 0.001, 0.001) + DiarizationCounts(0.002) == DiarizationCounts(
        0.003, 0.001, 0.001, 0.001
    )
    assert der.score_file([], []) == DiarizationCounts(files=1)


def test_a_turn_that_only_touches_a_region_leaves_no_collar_there() -> None:
    ref, hyp = [Turn("C", 2.0, 3.0), Turn("B", 5.0, 6.0)], [Turn("c", 2.0, 4.9)]
    found = der.score_file(ref, hyp, [(1.0, 5.0)], collar=0.25)
    assert (found.scored, found.false_alarm) == (0.5, 1.65)


def test_overlaps_of_two_and_of_three() -> None:
    ref = [Turn("A", 0, 4), Turn("B", 1, 4), Turn("C", 2, 3)]
    found = der.score_file(ref, [], ignore_overlaps=True)
    assert (found.scored, found.missed) == (1.0, 1.0)
    assert der.score_file(ref, []).scored == 8.0


def test_turns_at_the_ends_of_what_is_possible(tmp_path: Path) -> None:
    assert Turn("A", 0.0, 1e6).end == 1e6
    for start, end in ((0.0, 1e6 + 1), (1.0, 1.0), (-0.001, 1.0)):
        with pytest.raises(ValueError, match="runs from"):
            Turn("A", start, end)
    path = tmp_path / "x.rttm"
    path.write_text("SPEAKER f 1 0 1 <NA> <NA> A\nSPEAKER f 1 999999 1 <NA> <NA> A\n")
    assert rttm.read(path) == {"f": [Turn("A", 0.0, 1.0), Turn("A", 999_999.0, 1e6)]}
    path.write_text("f 1 0 1000000\nf 1 2 3\n")
    assert rttm.read_uem(path) == {"f": [(0.0, 1e6), (2.0, 3.0)]}
    for text, message in (("f 1 2 2\n", "2.0 to 2.0 s is no region"), ("f 1 0 1 x\n", "5 fields, 4 were")):
        path.write_text(text)
        with pytest.raises(ScoringError, match=message):
            rttm.read_uem(path)


def test_what_counts_as_finer_than_a_millisecond() -> None:
    def fine(start: float, end: float) -> int:
        return rttm.finer({"f": [Turn("A", start, end)], "g": []})

    assert fine(1.001, 3.333) == 0 and fine(1.00100005, 2.001) == 0
    assert fine(1.00100013, 2.00100013) == 1 and fine(1.001, 2.0015) == 1 and fine(0.0005, 1.0005) == 1


def test_the_ground_truth_that_is_written_says_its_length(tmp_path: Path) -> None:
    groundtruth.write(tmp_path, "x", TRUTH, {"a": 0.1, "b": 2.0})
    assert 'source_signal_duration="2.100"' in (tmp_path / "x.ecf.xml").read_text()


def test_error_rates_by_hand_with_their_counts() -> None:
    found = eer.score([1, 1, 0, 0, 0], [4.0, 3.0, 3.0, 2.0, 1.0])
    assert found.rate == pytest.approx(0.2)
    assert (found.targets, found.nontargets, found.false_rejects, found.false_accepts) == (2, 3, 0, 1)
    assert found.threshold == pytest.approx(4 + (3 - 4) * 0.6)
    two = eer.score([1, 0], [1.0, 2.0])
    assert (two.rate, two.false_rejects, two.false_accepts) == (pytest.approx(1.0), 1, 1)
    for labels in ([1, 1], [0, 0]):
        with pytest.raises(ScoringError, match="so no equal error rate exists"):
            eer.score(labels, [1.0, 2.0])
    with pytest.raises(ScoringError, match="a trial's label is 2"):
        eer.score([1, 0, 2], [1.0, 2.0, 3.0])
    with pytest.raises(ScoringError, match="3 labels and 2 scores"):
        eer.score([1, 0, 1], [1.0, 2.0])


def test_scores_of_any_kind_of_number() -> None:
    assert eer.score([1, 0, 0], np.array([2, 1, 0], dtype=np.uint8)).rate == 0.0  # type: ignore[arg-type]
    assert eer.score([1, 0, 0, 0], [True, False, True, False]).rate == pytest.approx(1 / 4)
    scores = {"p": {"a": 1.5, "b": 1.25}, "q": {"b": 1.75}}
    assert mtwv.score(TRUTH, scores, default=-10) == mtwv.score(TRUTH, scores, default=-10.0)


def test_trials_of_one_score_are_accepted_by_no_threshold() -> None:
    found = eer.score([1, 0, 1], [1.0, 1.0, 1.0])
    assert found.rate == pytest.approx(0.5) and (found.false_rejects, found.false_accepts) == (2, 0)


def test_the_threshold_is_interpolated_between_corners_of_the_roc() -> None:
    # One target and one nontarget at each score: the point of 4 lies on the line from 5 to 0.
    found = eer.score([1, 0] * 3, [5.0, 5.0, 4.0, 4.0, 0.0, 0.0])
    assert found.rate == pytest.approx(0.5) and found.threshold == pytest.approx(5 - 5 * (1 / 6) / (2 / 3))


def test_a_single_other_document_counts_whole() -> None:
    # Accepting both documents is worth 1 - 1.5, nothing is worth 0.
    truth = GroundTruth(("p",), ("a", "b"), {"p": frozenset("a")})
    found = mtwv.score(truth, {"p": {"a": 1.0, "b": 2.0}}, beta=1.5)
    assert (found.rate, found.threshold) == (0.0, 2.0)


MANY = [f"x{number:02d}" for number in range(40)]
FIVE = r"\(x00, x01, x02, x03, x04, \.\.\.\)"


def test_of_many_names_the_first_five_are_told(tmp_path: Path) -> None:
    with pytest.raises(ScoringError, match=f"40 queries of the system .* {FIVE}"):
        mtwv.score(TRUTH, {name: {"a": 1.0} for name in reversed(MANY)})
    with pytest.raises(ScoringError, match=f"40 documents of the system .* {FIVE}"):
        mtwv.score(TRUTH, {"p": dict.fromkeys(reversed(MANY), 1.0)})
    with pytest.raises(ScoringError, match=f"40 documents are not in the ground truth {FIVE}"):
        TRUTH.restricted(("p",), [*reversed(MANY), "a"])
    with pytest.raises(ScoringError, match=f"40 of 41 reference utterances have no hypothesis {FIVE}, so"):
        same([*reversed(MANY), "a"], ["a"])
    with pytest.raises(ScoringError, match=f"40 hypotheses have no reference {FIVE}, so"):
        same(["a"], [*reversed(MANY), "a"])
    for name in reversed(MANY):
        (tmp_path / f"{name}.tlist.xml").write_text("")
    with pytest.raises(ScoringError, match=r"holds 40 \(x00\.tlist\.xml, x01\.tlist\.xml, x02\.t"):
        groundtruth.read(tmp_path)


def test_a_part_of_a_ground_truth() -> None:
    truth = GroundTruth(
        ("p", "q", "r"), tuple("abc"), {"p": frozenset("ab"), "q": frozenset("c"), "r": frozenset()}
    )
    assert truth.restricted(["r", "p"], "cb") == GroundTruth(
        ("p", "r"), ("b", "c"), {"p": frozenset("b"), "r": frozenset()}
    )
    assert truth.restricted(truth.queries, truth.documents) == truth
    with pytest.raises(ScoringError, match=r"1 queries are not in the ground truth \(s\)"):
        truth.restricted("ps", "a")


def test_a_line_of_a_ground_truth_has_six_fields_at_least(tmp_path: Path) -> None:
    groundtruth.write(tmp_path, "x", TRUTH, {"a": 1.0, "b": 1.0})
    (tmp_path / "x.rttm").write_text("LEXEME b 1 0 1 p\n")
    assert groundtruth.read(tmp_path).targets == {"p": frozenset("b"), "q": frozenset()}


def test_blocks_of_more_than_the_limit_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"a" * 30)
    monkeypatch.setattr(inputs, "LINE_LIMIT", 9)
    for limit in (30, 29, 0):
        monkeypatch.setattr(inputs, "LIMIT", limit)
        found = inputs.blocks(path, "a file")
        if limit == 30:
            assert list(found) == [b"a" * 10] * 3
        else:
            with pytest.raises(ScoringError, match="holds more than 0 MiB"):
                list(found)


def test_of_several_doubled_columns_the_first_by_name_is_told(tmp_path: Path) -> None:
    names = [f"n{number:02d}" for number in range(20)]
    path = tmp_path / "x.csv"
    path.write_text(",".join(["item", "label", "score", *names[::-1], *names]) + "\n")
    with pytest.raises(ScoringError, match="has the column 'n00' twice"):
        trials.read(path)
