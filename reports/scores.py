"""Scores over all tasks: the overall score, superb_s and superb_r, from eleven metrics in percent.

Everywhere here a system's numbers are `Values`: the column's key (`pr_per`, ..., see `reports.columns`) to
the value in percent, QbE's MTWV times 100 included. A metric that the system does not have is absent.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from reports.columns import BY_KEY, COLUMNS, TASKS
from upstream_arm.common.errors import ReportError

Values = Mapping[str, float]
KEYS = tuple(BY_KEY)


class ReferencePoint(NamedTuple):
    """What 0 and 1000 of superb_s mean for a metric, in percent."""

    fbank: float
    sota: float


class Leaderboard(NamedTuple):
    """The systems that superb_r counts against; the same system has another rank on another board.

    name: what is printed beside a rank ("SUPERB leaderboard, 20 displayed rows and FBANK").
    systems: model -> its values.
    """

    name: str
    systems: Mapping[str, Values]


def missing(values: Values) -> tuple[str, ...]:
    """The tasks of which a metric is absent, in the paper's order."""
    return tuple(
        task for task in TASKS if any(column.key not in values for column in COLUMNS if column.task == task)
    )


def goodness(key: str, percent: float) -> float:
    """The metric so that higher is better: error rates as 100 minus the rate."""
    return 100 - percent if BY_KEY[key].better == "lower" else percent


def overall(values: Values) -> float | None:
    """The flat mean of eleven metrics, the paper's "Overall" [11: WavLM]; None if a task is missing.

    Slot filling has two metrics and so counts twice.
    """
    return None if missing(values) else partial_mean(values, KEYS)


def partial_mean(values: Values, keys: Iterable[str]) -> float:
    """The overall score's mean over only these metrics; comparable only where `keys` are the same.

    Raises ReportError without any metric, or for one that the system lacks.
    """
    wanted = tuple(keys)
    absent = [key for key in wanted if key not in values]
    if not wanted or absent:
        raise ReportError(f"a mean needs its metrics, {', '.join(absent) or 'all'} are missing")
    return math.fsum(goodness(key, values[key]) for key in wanted) / len(wanted)


def shared(*systems: Values) -> tuple[str, ...]:
    """The metrics that all of these systems have, in the paper's order."""
    return tuple(key for key in KEYS if all(key in values for values in systems))


def points(key: str, percent: float, reference: Mapping[str, ReferencePoint]) -> float:
    """1000 times the way from FBANK (0) to the reference system (1000) that this value has gone."""
    ends = reference[key]
    return 1000 * (percent - ends.fbank) / (ends.sota - ends.fbank)


def superb_s(values: Values, reference: Mapping[str, ReferencePoint]) -> float | None:
    """The leaderboard's "Score": mean over ten tasks of `points`; None if a task is missing.

    Slot filling's two metrics are averaged first. Reproduces all 20 scores that the leaderboard displays.
    """
    if missing(values):
        return None
    return _task_mean({key: points(key, values[key], reference) for key in KEYS})


def superb_r(values: Values, board: Leaderboard) -> float:
    """The leaderboard's "Rank", higher is better: how many systems are strictly beaten, mean of ten tasks.

    The board ranks each metric by itself, and a missing one counts 0: of slot filling, whose two metrics are
    averaged, one alone counts half. Reproduces all 20 ranks that the leaderboard displays on the board
    `reports.published.leaderboard`.
    """
    return _task_mean({key: _beaten(key, values[key], board) if key in values else 0.0 for key in KEYS})


def _beaten(key: str, percent: float, board: Leaderboard) -> float:
    own = goodness(key, percent)
    return float(sum(own > goodness(key, values[key]) for values in board.systems.values() if key in values))


def _task_mean(by_key: Values) -> float:
    tasks = []
    for task in TASKS:
        values = [by_key[column.key] for column in COLUMNS if column.task == task]
        tasks.append(math.fsum(values) / len(values))
    return math.fsum(tasks) / len(tasks)
