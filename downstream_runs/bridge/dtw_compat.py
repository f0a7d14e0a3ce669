"""The dynamic time warping that s3prl's query-by-example calls, for its one step pattern.

Formula: the asymmetric pattern of Sakoe and Chiba as in the dtw package's manual (each query frame is used
once, the document moves by 0, 1 or 2 frames), so a path's cost is divided by the number of query frames.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from upstream_arm.common.errors import UsageError


@dataclass(frozen=True)
class Alignment:
    """The best path's cost, whole and per query frame; the names are those of the dtw package."""

    distance: float
    normalizedDistance: float


def dtw(
    x: np.ndarray,
    step_pattern: str = "asymmetric",
    open_begin: bool = False,
    open_end: bool = False,
    keep_internals: bool = False,
    distance_only: bool = False,
) -> Alignment:
    """Align a query with a document, given their frame distances `x` `[query frame, document frame]`.

    `open_begin` and `open_end` free the path's ends in the document. `keep_internals` and `distance_only`
    change nothing: the path itself is never returned. Raises UsageError for another step pattern and
    ValueError where no path reaches the document's end.
    """
    if step_pattern != "asymmetric":
        raise UsageError(
            f"the DTW step pattern '{step_pattern}' is not built in; expected 'asymmetric', as the SUPERB "
            "recipe has it: for others install the package with `pip install 'dtw-python>=1.5'`"
        )
    cost = np.array(x[0], dtype=np.float64)
    if not open_begin:
        cost[1:] = np.inf
    for row in x[1:]:
        before = np.concatenate(([np.inf, np.inf], cost))
        cost = row + np.minimum(np.minimum(before[2:], before[1:-1]), before[:-2])
    best = float(cost.min() if open_end else cost[-1])
    if not np.isfinite(best):
        raise ValueError(f"no path through {x.shape[1]} document frames in {x.shape[0]} query frames")
    return Alignment(distance=best, normalizedDistance=best / len(x))
