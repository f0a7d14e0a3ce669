"""What a command says on one screen of the runs that it did: numbers, intervals, and what limits them."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path

from downstream_runs.core.results import LABELS, OWN_CORPUS, Metric, Result, read
from reports.columns import COLUMNS
from reports.ours import dev_selected, headlines
from reports.tables.own import around
from upstream_arm.common.stages import stage
from upstream_arm.common.words import columns

SHOWN = 3
"""Deviations that are listed; all are in the result."""
LONGEST = 160
"""Characters of a sentence."""


def of_run(path: Path) -> str:
    """A result's numbers with their intervals, what they were chosen by, and why they are not comparable."""
    result = read(path)
    lines = [f"{_name(result)}: {number}" for number in _numbers(path, result)]
    lines += [f"  {text}" for text in _chosen(result)]
    lines += _limits([result])
    more = len(result.deviations) - SHOWN
    for sentence in result.deviations[:SHOWN]:
        lines.append(textwrap.shorten(f"deviation: {sentence}", LONGEST, placeholder=" ..."))
    if more > 0:
        lines.append(f"and {more} more deviations, which the result has")
    return "\n".join([*lines, f"took {_duration(result.wall_seconds)}"])


def of_runs(paths: Iterable[Path]) -> str:
    """A line for each number of several results, and why some of them are not comparable."""
    results = [(path, read(path)) for path in paths]
    rows = [
        (_name(result), number, f"seed {result.seed}" if several else "")
        for several in [len({result.seed for _, result in results}) > 1]
        for path, result in results
        for number in _numbers(path, result)
    ]
    limits = _limits([result for _, result in results])
    return "\n".join([*columns(rows, right=()), *limits])


def _name(result: Result) -> str:
    name = f"{result.name}: " if result.name else ""
    labels = f" [{', '.join(result.labels)}]" if result.labels else ""
    return f"{name}{result.task} of {result.upstream}{labels}"


def _numbers(path: Path, result: Result) -> list[str]:
    """Each headline with its split and interval."""
    with stage("resampling the test items for intervals"):
        return [
            f"{metric} on {metric.split}, {_interval(path, result, metric)}" + _standing(result, metric)
            for metric in result.metrics
            if metric.role == "headline"
        ]


def _standing(result: Result, metric: Metric) -> str:
    """That a number of one of SUPERB's tasks is not by its protocol."""
    own = metric.official or OWN_CORPUS in result.labels
    return "" if own else "; its split, selection or scorer is not that of SUPERB's protocol"


def _interval(path: Path, result: Result, metric: Metric) -> str:
    key = next((one.key for one in COLUMNS if (one.task, one.metric) == (result.task, metric.name)), None)
    found, why = around(path, result, metric, key)
    if found is None:
        return f"no interval ({why})" if why else "no interval"
    scale, digits = (1, 2) if metric.unit == "percent" else (100, 4)
    return f"95 % interval {found.low / scale:.{digits}f} to {found.high / scale:.{digits}f} {found.how}"


def _chosen(result: Result) -> list[str]:
    """How the headlines were chosen, each way once; and of those chosen on the test set, what dev chooses."""
    lines = [one.selection for one in result.metrics if one.role == "headline"]
    lines += [
        f"chosen on dev instead: {other}"
        for one in headlines(result).values()
        if (other := dev_selected(result.metrics, one)) is not None
    ]
    return [textwrap.shorten(line, LONGEST, placeholder=" ...") for line in dict.fromkeys(lines)]


def _limits(results: Sequence[Result]) -> list[str]:
    """Why numbers are not comparable to published rows, a line for each label."""
    labels = dict.fromkeys(label for result in results for label in result.labels)
    reasons = [f"  {label}: {LABELS.get(label, 'labelled so by its run')}" for label in labels]
    return ["not comparable to published rows:", *reasons] if reasons else []


def _duration(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"
