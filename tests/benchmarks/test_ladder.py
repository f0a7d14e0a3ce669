"""The ladder's verdicts: an expected order holds, fails or is not shown, by paired draws over seeds."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benchmarks"))

import ladder
from ladder import Order

from reports.items import ScoredItems

ITEMS = 200


def seeds(rate: float, key: str = "sid_acc", task: str = "sid", first: int = 0) -> list[ScoredItems]:
    """Three seeds of a system that is right, or wrong, on so many of the same items."""
    found = []
    for seed in ladder.SEEDS:
        hits = (np.random.default_rng(first + seed).random(ITEMS) < rate).astype(float)
        names = np.array([f"u{index:03d}" for index in range(ITEMS)], object)
        stratum = {"item": names, "names": np.array(["one", "other"]), "group": np.arange(ITEMS) % 2}
        found.append(
            ladder._by_item(
                ScoredItems(key, task, ({**stratum, "numerator": hits, "denominator": np.ones(ITEMS)},))
            )
        )
    return found


FOUND = {
    ("speakers", "low"): seeds(0.2),
    ("speakers", "high"): seeds(0.6),
    ("speakers", "near"): seeds(0.61, first=10),
    ("phones", "low"): seeds(0.2, "pr_per", "pr"),
    ("phones", "high"): seeds(0.6, "pr_per", "pr"),
}


@pytest.mark.parametrize(
    ("order", "says"),
    [
        (Order("speakers", "low", "high"), "holds"),
        (Order("speakers", "high", "low"), "FAILS"),
        (Order("phones", "high", "low"), "holds"),  # the fewer errors the better
        (Order("phones", "low", "high"), "FAILS"),
        (Order("speakers", "high", "near"), "FAILS to show (the right way)"),
        (Order("speakers", "high", "near", tie=True), "holds"),
        (Order("speakers", "low", "high", tie=True), "FAILS"),
        (Order("speakers", "low", "absent"), "not run"),
    ],
)
def test_verdicts(order: Order, says: str) -> None:
    assert ladder.verdict(order, FOUND).endswith(f": {says}")


def test_the_table_has_means_over_seeds_and_each_seed() -> None:
    text = ladder.table(FOUND, ["low", "absent"], ["speakers", "phones"])
    mean = np.mean([100 * one.strata[0]["numerator"].mean() for one in FOUND["speakers", "low"]])
    assert f"| low | **{mean:.1f}** [" in text and "| absent | – | – |" in text
    assert FOUND["speakers", "low"][0].unit == "utterance"


def test_agreement_counts_fewer_errors_as_better() -> None:
    labels = ("a", "b", "c")
    means = {("speakers", label): place for place, label in enumerate(labels)}
    means |= {("phones", label): -place for place, label in enumerate(labels)}
    [line] = ladder.agreement({key: float(value) for key, value in means.items()}, ["speakers", "phones"])
    assert line.startswith("speakers and phones: +1.00 over 3 upstreams")


def test_what_is_expected_names_tasks_that_there_are() -> None:
    assert {order.task for order in ladder.EXPECTED} <= ladder.TASKS.keys()
