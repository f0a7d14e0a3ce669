"""Trials of QbE and ASV that are made up."""

from __future__ import annotations

import numpy as np
from scored import Trial, scored

from reports.items import ScoredItems


def mtwv_evidence(
    scores: dict[str, dict[str, float]], targets: dict[str, str], unsearched: tuple[Trial, ...] = ()
) -> ScoredItems:
    """Trials of query -> document -> score; targets: query -> its documents, as letters."""
    found = [
        Trial(f"{query} {document}", query, int(document in targets[query]), score)
        for query, documents in scores.items()
        for document, score in documents.items()
    ]
    return scored("qbe_mtwv", "qbe", trials=(*found, *unsearched))


def speakers(shift: float, seed: int) -> ScoredItems:
    rng = np.random.default_rng(seed)
    return scored(
        "asv_eer",
        "asv",
        trials=tuple(
            Trial(f"{speaker} {number}", f"s{speaker}", number % 2, float(rng.normal(shift * (number % 2))))
            for speaker in range(30)
            for number in range(60)
        ),
    )
