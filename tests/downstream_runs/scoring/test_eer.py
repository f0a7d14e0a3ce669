"""The equal error rate against s3prl's, the leaderboard's and plain counting."""

from __future__ import annotations

import csv
import dataclasses
import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream_runs.scoring import eer
from downstream_runs.scoring.names import ScoringError


@pytest.fixture(scope="module")
def trials(data_dir: Path) -> tuple[list[int], list[float]]:
    with gzip.open(data_dir / "oracles" / "asv" / "scores.tsv.gz", "rt") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    return [int(row["label"]) for row in rows], [float(row["score"]) for row in rows]


@pytest.fixture(scope="module")
def oracle(data_dir: Path) -> dict[str, object]:
    found: dict[str, object] = json.loads((data_dir / "oracles" / "asv" / "expected.json").read_text())
    return found


def test_real_trials_give_s3prls_value_and_threshold(
    trials: tuple[list[int], list[float]], oracle: dict[str, object]
) -> None:
    found = eer.score(*trials)
    assert found.rate == found.rate == oracle["superb_backend_EER"]
    assert found.threshold == oracle["superb_backend_threshold"]
    assert [found.rate, found.threshold] == oracle["s3prl_compute_eer"]
    assert (found.targets, found.nontargets) == (oracle["n_target"], oracle["n_nontarget"])
    rates = {"frr": found.false_rejects / found.targets, "far": found.false_accepts / found.nontargets}
    assert rates == pytest.approx(oracle["nearest_sweep"], abs=1e-15)
    assert found.as_dict()["false_rejects"] == 28


def test_ties_give_the_leaderboards_value(
    trials: tuple[list[int], list[float]], oracle: dict[str, object]
) -> None:
    labels, scores = trials
    rounded = [round(value, 1) for value in scores]
    assert {"superb_backend_EER": eer.score(labels, rounded).rate} == oracle["rounded_to_1_decimal"]


@pytest.mark.parametrize(
    ("labels", "scores", "expected", "threshold"),
    [
        ([1, 0], [2.0, 1.0], 0.0, 2.0),
        ([0, 1], [2.0, 1.0], 1.0, 2.0),
        ([1, 0, 1, 0], [5.0] * 4, 0.5, 5.0),  # all tied: half way along one step
        ([1, 1, 0, 0], [3.0, 1.0, 2.0, 0.0], 0.5, 2.0),
    ],
)
def test_small_cases(labels: list[int], scores: list[float], expected: float, threshold: float) -> None:
    found = eer.score(labels, scores)
    assert found.rate == pytest.approx(expected, abs=1e-11)
    assert found.threshold == pytest.approx(threshold, abs=1e-9)


@pytest.mark.parametrize(
    ("labels", "scores", "message"),
    [
        ([1, 0], [1.0], "2 labels and 1 scores"),
        ([1, 2], [1.0, 2.0], "label is 2"),
        ([1, 0], [1.0, float("nan")], "score of trial 2 is nan"),
        ([1, 1], [1.0, 2.0], "2 of 2 trials are targets"),
        ([0, 0], [1.0, 2.0], "0 of 2 trials are targets"),
        ([], [], "0 of 0 trials"),
    ],
)
def test_trials_without_an_equal_error_rate(labels: list[int], scores: list[float], message: str) -> None:
    with pytest.raises(ScoringError, match=message):
        eer.score(labels, scores)


mixed = st.lists(st.tuples(st.integers(0, 1), st.integers(-40, 40)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)


@given(mixed, st.randoms())
def test_the_order_of_trials_does_not_matter(rows: list[tuple[int, int]], random: object) -> None:
    before = eer.score(*zip(*rows, strict=True))
    random.shuffle(rows)  # type: ignore[attr-defined]
    assert eer.score(*zip(*rows, strict=True)) == before


@given(mixed)
def test_a_rising_map_of_the_scores_changes_nothing_but_the_threshold(rows: list[tuple[int, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    before = eer.score(labels, scores)
    mapped = eer.score(labels, [value**3 / 7 + 2.0 * value - 5 for value in scores])
    assert dataclasses.replace(mapped, threshold=before.threshold) == before


@given(mixed)
@settings(max_examples=50)
def test_turning_labels_and_scores_round_keeps_the_rate(rows: list[tuple[int, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    turned = eer.score([1 - label for label in labels], [-value for value in scores])
    assert turned.rate == pytest.approx(eer.score(labels, scores).rate, abs=1e-9)


@given(mixed)
def test_the_rate_lies_between_those_of_neighbouring_thresholds(rows: list[tuple[int, int]]) -> None:
    labels, scores = zip(*rows, strict=True)
    targets = [value for label, value in rows if label]
    others = [value for label, value in rows if not label]
    worst = []
    for threshold in sorted({*scores, max(scores) + 1}):
        rejected = sum(value < threshold for value in targets) / len(targets)
        accepted = sum(value >= threshold for value in others) / len(others)
        worst.append(max(rejected, accepted))
    assert eer.score(labels, scores).rate <= min(worst) + 1e-9
