"""What the ladder prints and draws: orders that hold or fail, rank agreement, a table, a figure."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from _ladder_tasks import TASKS, Order

from reports.items import ScoredItems
from reports.statistics import ratios, trials
from reports.statistics.paired import p_text
from reports.statistics.resample import Draws, interval, two_sided

SIGNIFICANT = 0.05


def draws(*systems: list[ScoredItems]) -> Draws:
    """The mean over seeds, or the second system's minus the first's, on the same draws of test items."""
    kind = trials if systems[0][0].of_trials else ratios
    parts = [kind.draws(*seeds) for seeds in zip(*systems, strict=True)]
    known = [part for part in parts if part is not None]
    assert len(known) == len(parts), "there are two groups at least"
    values = np.mean([part.values for part in known], axis=0)
    return dataclasses.replace(known[0], point=float(np.mean([part.point for part in known])), values=values)


def verdict(order: Order, found: Mapping[tuple[str, str], list[ScoredItems]]) -> str:
    """An expected order, what was measured, and whether it holds."""
    sign = "not told apart from" if order.tie else "below"
    line = f"{order.task}: {order.below} {sign} {order.above}"
    keys = (order.task, order.below), (order.task, order.above)
    if not all(key in found for key in keys):
        return f"{line}: not run"
    drawn = draws(*(found[key] for key in keys))
    p, bounds = two_sided(drawn), interval(drawn)
    gain = drawn.point if TASKS[order.task].better == "higher" else -drawn.point
    shown = "" if bounds is None else f" [{bounds.low:+.1f}, {bounds.high:+.1f}]"
    if order.tie:
        said = "holds" if p >= SIGNIFICANT else "FAILS"
    else:
        said = "FAILS" if gain <= 0 else "holds" if p < SIGNIFICANT else "FAILS to show (the right way)"
    return f"{line}: {drawn.point:+.1f}{shown}, {p_text(p)}: {said}"


def agreement(means: Mapping[tuple[str, str], float], tasks: Sequence[str]) -> list[str]:
    """Kendall's tau of each two tasks' order of the upstreams that both have."""
    from scipy.stats import kendalltau

    lines = []
    for one, other in itertools.combinations(tasks, 2):
        both = [label for task, label in means if task == one and (other, label) in means]
        if len(both) < 3:
            continue
        good = [
            [means[task, label] * (1 if TASKS[task].better == "higher" else -1) for label in both]
            for task in (one, other)
        ]
        tau, p = kendalltau(*good)
        lines.append(f"{one} and {other}: {tau:+.2f} over {len(both)} upstreams ({p_text(p)})")
    return lines


def table(
    found: Mapping[tuple[str, str], list[ScoredItems]], made: Sequence[str], tasks: Sequence[str]
) -> str:
    """Means over seeds with intervals over test items, and the single seeds."""
    lines = [f"| upstream | {' | '.join(TASKS[task].title for task in tasks)} |"]
    lines.append("|---" * (len(tasks) + 1) + "|")
    for label in made:
        cells = []
        for task in tasks:
            if (task, label) not in found:
                cells.append("–")
                continue
            drawn = draws(found[task, label])
            bounds = interval(drawn)
            shown = "" if bounds is None else f" [{bounds.low:.1f}, {bounds.high:.1f}]"
            seeds = " ".join(f"{draws([one]).point:.1f}" for one in found[task, label])
            cells.append(f"**{drawn.point:.1f}**{shown}; {seeds}")
        lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


def figure(found: Mapping[tuple[str, str], list[ScoredItems]], tasks: Sequence[str], path: Path) -> None:
    """A panel a task: each upstream's mean with its interval."""
    from matplotlib.figure import Figure

    drawing = Figure(figsize=(3.2 * len(tasks), 3.4), layout="constrained")
    panels = drawing.subplots(1, len(tasks), sharey=True, squeeze=False)[0]
    labels = list(dict.fromkeys(label for _, label in found))[::-1]
    for panel, task in zip(panels, tasks, strict=True):
        for place, label in enumerate(labels):
            if (task, label) not in found:
                continue
            drawn = draws(found[task, label])
            bounds = interval(drawn)
            if bounds is not None:
                panel.plot([bounds.low, bounds.high], [place, place], color="0.5")
            panel.plot(drawn.point, place, "o", color="black")
        panel.set_title(TASKS[task].title, fontsize=9)
        panel.set_yticks(range(len(labels)), labels)
        panel.grid(axis="x", alpha=0.3)
    drawing.suptitle("A small proof on small corpora: no SUPERB numbers", fontsize=9)
    drawing.savefig(path)
