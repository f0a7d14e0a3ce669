"""Maximum term weighted value of spoken queries in documents, as the QUESST evaluation computes it.

Definition: at a threshold, TWV = 1 - mean over the queries of (P_miss + beta * P_fa), where P_miss is the
fraction of a query's target documents that score at or below the threshold, P_fa the fraction of all other
documents that score above it, and beta = C_fa / C_miss * (1 / P_target - 1) with P_target 0.0008, C_fa 1,
C_miss 100. MTWV is the highest TWV over thresholds, the two ends among them: accepting nothing gives 0, so
MTWV is never below 0, and accepting all that was reported can be best where nearly every query is in every
document. Every pair of a query and a document is one trial, and one that the system does not report gets the
default score (-10); where that is the lowest score of all, no threshold accepts it, since NIST's evaluations
(the 2006 plan, F4DE) count as missed what is not reported. Queries that no document holds are left out.
Source: QUESST 2014 and 2015 overview papers, and the tool that the evaluation ships (MediaEvalQUESST2015.jar
with its README), whose values our tests match.

The tool is given the effective prior C_miss P_target / (C_miss P_target + C_fa (1 - P_target)), cut to 7
digits by its script, .0741289: beta is then 12.490015 and not 12.49, which shows in the 7th decimal.

Ties: trials of one score are accepted together. The tool accepts scores above the threshold, so the threshold
it prints is the highest score that is still rejected; below the lowest score there is none, and the next
lower number stands for it. Where several thresholds give the highest value, the
highest of them is reported.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from downstream_runs.scoring.counts import Scored
from downstream_runs.scoring.groundtruth import GroundTruth
from downstream_runs.scoring.inputs import FINITE, NUMBER_LIMIT
from downstream_runs.scoring.names import ScoringError, first

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Flags = NDArray[np.bool_]

PRIOR = 0.0741289  # as the tool's script prints it with 7 digits
BETA = (1 - PRIOR) / PRIOR
DEFAULT_SCORE = -10.0  # what the official command gives to trials that are not reported
NEAR = 1e-12  # values nearer than this differ by rounding only


@dataclass(frozen=True)
class TermWeightedValue(Scored):
    """The highest term weighted value, and the counts behind it.

    rate: fraction, at most 1. threshold: scores above it are accepted there. actual: the value of the
    system's own YES decisions, None where it made none. queries: that count; dropped: without a target, left
    out.
    documents: searched. targets: target trials. trials: queries x documents; defaulted: of these, given the
    default score. misses, false_alarms: at the threshold, over all queries.
    """

    rate: float
    threshold: float
    actual: float | None
    queries: int
    dropped: int
    documents: int
    targets: int
    trials: int
    defaulted: int
    misses: int
    false_alarms: int


def score(
    truth: GroundTruth,
    scores: Mapping[str, Mapping[str, float]],
    accepted: Mapping[str, Collection[str]] | None = None,
    default: float = DEFAULT_SCORE,
    beta: float = BETA,
) -> TermWeightedValue:
    """The highest term weighted value of `scores` (query -> document -> score).

    accepted: query -> documents that the system decided to hold it. default: score of trials that `scores`
    lacks, which are counted in `defaulted`. Raises ScoringError when no query has a target, when `scores` or
    `accepted` name a query or a document that the ground truth does not have, or a score is not finite.
    """
    import numpy as np

    _check_names(truth, scores)
    if accepted is not None:
        _check_names(truth, accepted)
    queries = [query for query in truth.queries if truth.targets[query]]
    if not queries:
        raise ScoringError(
            f"none of {len(truth.queries)} queries is spoken in a document, so MTWV is undefined"
        )
    reported = _flags(queries, truth.documents, scores)
    matrix = _matrix(queries, truth, scores, default)
    target = _flags(queries, truth.documents, truth.targets)
    threshold = _best_threshold(matrix, target, reported, beta)
    found = matrix > threshold
    actual = None
    if accepted is not None:
        actual = _value(_flags(queries, truth.documents, accepted), target, beta)
    return TermWeightedValue(
        rate=_value(found, target, beta),
        threshold=threshold,
        actual=actual,
        queries=len(queries),
        dropped=len(truth.queries) - len(queries),
        documents=len(truth.documents),
        targets=int(np.count_nonzero(target)),
        trials=matrix.size,
        defaulted=int(np.count_nonzero(~reported)),
        misses=int(np.count_nonzero(target & ~found)),
        false_alarms=int(np.count_nonzero(found & ~target)),
    )


def _check_names(truth: GroundTruth, trials: Mapping[str, Collection[str]]) -> None:
    known = set(truth.documents)
    queries = sorted(trials.keys() - set(truth.queries))
    documents = sorted({name for spoken in trials.values() for name in spoken if name not in known})
    for kind, surplus in (("queries", queries), ("documents", documents)):
        if surplus:
            raise ScoringError(
                f"{len(surplus)} {kind} of the system are not in the ground truth ({first(surplus)}), "
                "so nothing was scored: give the ground truth that the system searched"
            )


def _matrix(
    queries: list[str], truth: GroundTruth, scores: Mapping[str, Mapping[str, float]], default: float
) -> Floats:
    """Scores `[query, document]` with the default where none is given."""
    import numpy as np

    place = {document: column for column, document in enumerate(truth.documents)}
    matrix = np.full((len(queries), len(place)), default, dtype=np.float64)
    for row, query in enumerate(queries):
        reported = scores.get(query, {})
        matrix[row, [place[document] for document in reported]] = list(reported.values())
    if not (np.abs(matrix) <= NUMBER_LIMIT).all():
        raise ScoringError(f"a score is out of range, so nothing was scored: {FINITE}")
    return matrix


def _flags(queries: list[str], documents: tuple[str, ...], spoken: Mapping[str, Collection[str]]) -> Flags:
    import numpy as np

    place = {document: column for column, document in enumerate(documents)}
    flags = np.zeros((len(queries), len(documents)), dtype=np.bool_)
    for row, query in enumerate(queries):
        flags[row, [place[document] for document in spoken.get(query, ())]] = True
    return flags


def _best_threshold(matrix: Floats, target: Flags, reported: Flags, beta: float) -> float:
    """The highest of the thresholds above which accepting gives the highest value: each score is one, and
    the next number below the lowest where nothing unreported has the lowest."""
    import numpy as np

    hits = target.sum(axis=1, keepdims=True)
    others = np.maximum(target.shape[1] - hits, 1)
    gains = np.where(target, 1 / hits, -beta / others).ravel()
    order = np.argsort(-matrix, axis=None, kind="stable")
    falling = matrix.ravel()[order]
    values = np.concatenate(([0.0], np.cumsum(gains[order]))) / len(hits)  # of accepting all before it
    starts = np.flatnonzero(np.concatenate(([True], falling[1:] != falling[:-1])))
    thresholds = falling[starts]
    if reported[matrix == falling[-1]].all():
        starts = np.append(starts, len(falling))
        thresholds = np.append(thresholds, np.nextafter(falling[-1], -np.inf))
    values = values[starts]
    return float(thresholds[np.argmax(values >= values.max() - NEAR)])


def _value(found: Flags, target: Flags, beta: float) -> float:
    """The term weighted value of accepting the trials `found`."""
    hits = target.sum(axis=1)
    others = target.shape[1] - hits
    misses, alarms = (target & ~found).sum(axis=1), (found & ~target).sum(axis=1)
    costs = [
        miss / hit + (beta * alarm / other if other else 0.0)
        for miss, hit, alarm, other in zip(misses, hits, alarms, others, strict=True)
    ]
    return 1.0 - math.fsum(costs) / len(costs)
