"""MTWV against the QUESST evaluation's own tool, and its edge cases."""

from __future__ import annotations

import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import groundtruth, mtwv, stdlist
from downstream_runs.scoring.groundtruth import GroundTruth
from downstream_runs.scoring.mtwv import BETA
from downstream_runs.scoring.names import ScoringError

TRUTH = GroundTruth(
    ("p", "q", "r"), ("a", "b", "c"), {"p": frozenset("a"), "q": frozenset("bc"), "r": frozenset()}
)


@pytest.mark.parametrize("system", ["mfcc_dtw_full", "mfcc_dtw_top20", "mfcc_dtw_ties"])
def test_the_tool_of_the_evaluation(data_dir: Path, system: str) -> None:
    import numpy as np

    folder = data_dir / "oracles" / "qbe_digits"
    oracle: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    printed = oracle["results"][system]
    trials = stdlist.read(folder / f"{system}.stdlist.xml.gz")
    found = mtwv.score(groundtruth.read(folder), trials.scores, trials.accepted)
    # The tool computes in single precision.
    assert str(np.float32(found.rate)) == printed["maxTWV"]
    assert str(np.float32(found.actual)) == printed["actTWV"]
    assert str(found.threshold) == printed["threshold"]
    assert (found.queries, found.documents) == (oracle["n_queries"], oracle["n_docs"])
    assert (found.targets, found.dropped) == (oracle["n_target_trials"], printed["removed_queries"])
    given = f"{found.trials} ({found.queries} model x {found.documents} test)"
    assert printed["trials"].startswith(f"{given}  given: {found.trials - found.defaulted}  default(")


def test_a_query_without_a_target_is_left_out() -> None:
    found = mtwv.score(TRUTH, {"p": {"a": 3.0}, "q": {"b": 2.0, "c": 1.0}, "r": {"a": 9.0}})
    assert (found.rate, found.queries, found.dropped) == (1.0, 2, 1)
    assert (found.misses, found.false_alarms, found.targets, found.defaulted) == (0, 0, 3, 3)
    assert found.threshold == -10.0 and found.rate == 1.0 and found.actual is None


def test_missing_trials_and_queries_get_the_default_score() -> None:
    found = mtwv.score(TRUTH, {"p": {"a": 1.0}})
    assert found.defaulted == 5 and found.rate == 0.5 and found.misses == 2
    assert mtwv.score(TRUTH, {}).rate == 0.0
    # A default above what is reported puts the others first: both of q's targets, two false alarms for p.
    assert mtwv.score(TRUTH, {"p": {"a": 1.0}}, default=5.0).rate == 0.0


def test_ties_are_accepted_together() -> None:
    # Target and nontarget of p tie: accepting both costs more than it gains.
    found = mtwv.score(TRUTH, {"p": {"a": 1.0, "b": 1.0}, "q": {"b": 2.0}})
    assert (found.rate, found.threshold) == (0.25, 1.0)


def test_accepting_nothing_is_worth_nothing_and_everything_less() -> None:
    scores = {"p": {"b": 2.0, "c": 2.0, "a": 1.0}, "q": {"a": 2.0, "b": 1.0, "c": 1.0}}
    everything = {"p": "abc", "q": "abc"}
    found = mtwv.score(TRUTH, scores, everything)
    assert (found.rate, found.threshold) == (0.0, 2.0)
    assert found.actual == pytest.approx(1 - BETA)


def test_a_query_spoken_everywhere_has_no_false_alarm() -> None:
    truth = GroundTruth(("p",), ("a", "b"), {"p": frozenset("ab")})
    assert mtwv.score(truth, {"p": {"a": 1.0}}).rate == 0.5


def test_beta() -> None:
    assert pytest.approx(1 / 100 * (1 / 0.0008 - 1), abs=2e-5) == BETA
    assert mtwv.score(TRUTH, {"p": {"a": 1.0, "b": 2.0}}, beta=0.5).rate == 0.375


@pytest.mark.parametrize(
    ("scores", "message"),
    [
        ({"x": {"a": 1.0}}, r"1 queries of the system are not in the ground truth \(x\)"),
        ({"p": {"z": 1.0}}, r"1 documents of the system are not in the ground truth \(z\)"),
        ({"p": {"a": float("nan")}}, "a score is out of range, so nothing was scored: a finite number"),
    ],
)
def test_trials_that_do_not_fit(scores: dict[str, dict[str, float]], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        mtwv.score(TRUTH, scores)


def test_no_query_with_a_target() -> None:
    with pytest.raises(ScoringError, match="none of 1 queries is spoken"):
        mtwv.score(TRUTH.restricted("r", "abc"), {})


def test_a_part_of_the_ground_truth() -> None:
    part = TRUTH.restricted(["q"], ["a", "b"])
    assert part == GroundTruth(("q",), ("a", "b"), {"q": frozenset("b")})
    with pytest.raises(ScoringError, match=r"1 queries are not in the ground truth \(x\)"):
        TRUTH.restricted(["q", "x"], ["a"])


values = st.dictionaries(
    st.sampled_from("pqr"), st.dictionaries(st.sampled_from("abc"), st.integers(-9, 9), min_size=1)
)


def plain(scores: dict[str, dict[str, int]]) -> float:
    """The definition, threshold by threshold."""
    filled = {q: {d: scores.get(q, {}).get(d, -10) for d in "abc"} for q in "pq"}
    best = 0.0
    for threshold in range(-10, 10):
        cost = 0.0
        for query, documents in filled.items():
            found = {document for document, value in documents.items() if value > threshold}
            spoken = TRUTH.targets[query]
            cost += len(spoken - found) / len(spoken) + BETA * len(found - spoken) / (3 - len(spoken))
        best = max(best, 1 - cost / 2)
    return best


@given(values)
def test_the_definition_spelt_out(scores: dict[str, dict[str, int]]) -> None:
    assert mtwv.score(TRUTH, scores).rate == pytest.approx(plain(scores), abs=1e-12)


@given(values)
def test_a_rising_map_of_the_scores_changes_only_the_threshold(scores: dict[str, dict[str, int]]) -> None:
    mapped = {q: {d: v**3 / 90 + v for d, v in row.items()} for q, row in scores.items()}
    found, other = mtwv.score(TRUTH, scores), mtwv.score(TRUTH, mapped, default=-1000 / 90 - 10)
    assert (found.rate, found.misses, found.false_alarms) == (other.rate, other.misses, other.false_alarms)


def test_the_whole_of_quesst_takes_seconds() -> None:
    chance = random.Random(0)
    documents = tuple(f"d{number}" for number in range(2438))
    targets = {f"q{number}": frozenset(chance.sample(documents, 10)) for number in range(138)}
    scores = {query: {name: chance.random() for name in documents} for query in targets}
    start = time.monotonic()
    found = mtwv.score(GroundTruth(tuple(targets), documents, targets), scores)
    assert time.monotonic() - start < 10
    assert found.trials == 138 * 2438 and found.as_dict()["targets"] == 1380


EVERYWHERE = GroundTruth(("p", "q"), ("a", "b"), {"p": frozenset("ab"), "q": frozenset("ab")})


def test_accepting_everything_is_a_threshold_too() -> None:
    scores = {"p": {"a": 1.0, "b": 1.0}, "q": {"a": 2.0, "b": 1.0}}
    found = mtwv.score(EVERYWHERE, scores)
    assert (found.rate, found.misses, found.false_alarms, found.defaulted) == (1.0, 0, 0, 0)
    assert 1 - 1e-9 < found.threshold < 1.0
    # By itself it is worth 1 - beta where a query has documents without it.
    worth = mtwv.score(TRUTH, {q: dict.fromkeys("abc", 0.0) for q in "pq"}, beta=0.25)
    assert (worth.rate, worth.false_alarms) == (0.75, 3) and worth.threshold < 0.0
    assert mtwv.score(TRUTH, {q: dict.fromkeys("abc", 0.0) for q in "pq"}, beta=1.0).rate == 0.0


def test_what_is_not_reported_is_never_accepted_at_the_lowest_score() -> None:
    assert mtwv.score(EVERYWHERE, {}).rate == 0.0
    # A reported score of -10 can be accepted, as long as it ties with nothing that was not reported.
    assert mtwv.score(EVERYWHERE, {"p": {"a": 1.0, "b": -10.0}, "q": {"a": 1.0, "b": 1.0}}).rate == 1.0
    found = mtwv.score(EVERYWHERE, {"p": {"a": 1.0, "b": -10.0}, "q": {"a": 1.0}})
    assert (found.rate, found.threshold, found.defaulted) == (0.5, -10.0, 1)
    # A score below the default puts what was not reported above the lowest: it is accepted by its score.
    found = mtwv.score(EVERYWHERE, {"p": {"a": 1.0, "b": -11.0}, "q": {"a": 1.0}})
    assert found.rate == 1.0 and found.threshold < -11.0
