"""Intervals and tests of EER and MTWV, against oracles and by hand."""

from __future__ import annotations

import csv
import math
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import numpy as np
import pytest
from made_trials import mtwv_evidence, speakers
from scored import Trial, scored, trials_of

from downstream_runs.scoring import eer, mtwv
from downstream_runs.scoring.groundtruth import GroundTruth
from reports.statistics import paired, systems, trials
from reports.statistics.resample import interval


def test_the_eer_is_that_of_the_oracle(shared_dir: Path) -> None:
    with (shared_dir / "oracles" / "asv" / "scores.tsv").open() as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    found = scored(
        "asv_eer",
        "asv",
        trials=tuple(
            Trial(
                f"{row['enroll']} {row['test']}",
                row["enroll"].split("-")[0],
                int(row["label"]),
                float(row["score"]),
            )
            for row in rows
        ),
    )
    assert trials.point(found) == pytest.approx(9.880952380941636, abs=1e-8)
    around = systems.intervals({"asv_eer": found})["asv_eer"]
    assert around.low < 9.88 < around.high and around.unit == "enrolled speaker"


@pytest.mark.parametrize(
    ("name", "expected"), [("full", 14.413188), ("ties", 13.788189), ("top20", 14.413188)]
)
def test_the_mtwv_is_that_of_the_oracle(shared_dir: Path, name: str, expected: float) -> None:
    folder = shared_dir / "oracles" / "qbe_digits"
    lines = [line.split() for line in (folder / "groundtruth.rttm").read_text().splitlines()]
    truth = {(line[5], line[1]) for line in lines if line[0] == "LEXEME" and line[5] != "NO_KEYWORD"}
    scores = {
        (query.attrib["termid"], term.attrib["file"]): float(term.attrib["score"])
        for query in ElementTree.parse(folder / f"mfcc_dtw_{name}.stdlist.xml").getroot()
        for term in query
    }
    documents = sorted({line[1] for line in lines})
    found = scored(
        "qbe_mtwv",
        "qbe",
        trials=tuple(
            Trial(
                f"{query} {document}",
                query,
                int((query, document) in truth),
                scores.get((query, document), -10),
            )
            for query in sorted({query for query, _ in truth})
            for document in documents
        ),
    )
    assert trials.point(found) == pytest.approx(expected, abs=1e-4)
    assert found.unit == "query"


def truth_of(scores: dict[str, dict[str, float]], targets: dict[str, str]) -> GroundTruth:
    documents = tuple(next(iter(scores.values())))
    spoken = {query: frozenset(targets[query]) for query in scores}
    return GroundTruth(tuple(scores), documents, spoken)


def test_mtwv_and_eer_are_those_of_the_scorers_also_with_ties() -> None:
    rng = np.random.default_rng(9)
    for _ in range(200):
        documents = "abcdefghij"[: int(rng.integers(3, 11))]
        targets = {
            f"q{number}": "".join(rng.choice(list(documents), int(rng.integers(0, 3)), replace=False))
            for number in range(int(rng.integers(1, 6)))
        }
        targets["spoken"] = documents[0]
        scores = {
            query: {name: float(rng.integers(0, 6) + 4 * (name in spoken)) for name in documents}
            for query, spoken in targets.items()
        }
        scores["spoken"][documents[-1]] = -1.0  # the scorer's lowest threshold rejects the lowest score
        found = mtwv_evidence(scores, targets)
        expected = mtwv.score(truth_of(scores, targets), scores).rate
        assert trials.point(found) == pytest.approx(100 * expected, abs=1e-9)
        asv = scored("asv_eer", "asv", trials=trials_of(found))
        labels, values = [one.label for one in trials_of(found)], [one.score for one in trials_of(found)]
        rate = 100 * eer.score(labels, values).rate
        assert trials.point(asv) == rate
        # What draws are computed by, with every group once.
        counted = trials._counted(asv)
        assert counted.values(np.ones((1, counted.resampled)))[0] == pytest.approx(rate, abs=1e-9)


def test_accepting_everything_is_tried() -> None:
    # Every document holds the query: accepting all of them misses nothing and alarms nowhere.
    found = mtwv_evidence({"a": {"x": 1.0, "y": -3.0}}, {"a": "xy"})
    assert trials.point(found) == pytest.approx(100)


def test_a_query_that_nobody_searched_counts_and_is_never_drawn() -> None:
    documents = "abcdef"
    scores = {
        f"q{number}": {name: float(name == "a") + number / 10 for name in documents} for number in range(4)
    }
    scores["q3"]["a"] = 0.0  # a miss
    english = mtwv_evidence(scores, dict.fromkeys(scores, "a"))
    default = mtwv.DEFAULT_SCORE
    others = tuple(
        trial
        for query in ("r0", "r1")
        for trial in (
            Trial(f"{query} targets", query, 1, default, 2),
            Trial(f"{query} rest", query, 0, default, 4),
        )
    )
    whole = scored("qbe_mtwv", "qbe", trials=(*trials_of(english), *others))
    # Four of six queries count for what they are worth, two are missed.
    assert trials.point(whole) == pytest.approx(trials.point(english) * 4 / 6)
    alone, drawn = trials.draws(english), trials.draws(whole)
    assert alone is not None and drawn is not None and drawn.groups == alone.groups == 4
    assert drawn.values == pytest.approx(alone.values * 4 / 6)
    assert drawn.values.max() < 100 * 0.9, "no draw is without the two"
    same = {**scores, "r0": dict.fromkeys(documents, default), "r1": dict.fromkeys(documents, default)}
    truth = truth_of(same, {**dict.fromkeys(scores, "a"), "r0": "ab", "r1": "ab"})
    assert trials.point(whole) == pytest.approx(100 * mtwv.score(truth, scores).rate, abs=1e-9)


def test_the_eer_of_two_normals_and_the_coverage_of_its_interval() -> None:
    truth = 100 * 0.5 * math.erfc(2 / 2 / math.sqrt(2))
    hits = 0
    for seed in range(60):
        found = interval(trials.draws(speakers(2.0, seed)))
        assert found is not None
        hits += found.low <= truth <= found.high
    assert 0.87 <= hits / 60 <= 1


def test_two_eers_are_compared_by_a_paired_bootstrap() -> None:
    worse, better = speakers(1.5, 1), speakers(2.5, 2)
    found = paired.compare(worse, better)
    assert isinstance(found, paired.Comparison) and found.interval is not None
    assert found.interval.high < 0 and found.method == "paired bootstrap by enrolled speaker"
    assert found.verdict("A", "B").startswith("B is better (p = 0.0")
    same = paired.compare(worse, worse)
    assert isinstance(same, paired.Comparison) and same.p == 1.0
