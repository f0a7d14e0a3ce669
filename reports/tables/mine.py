"""Ours first: every row with what it lacks, means over seeds, and differences to others."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

from reports import published, scores
from reports.columns import BY_KEY, COLUMNS
from reports.ours import seeds
from reports.statistics.paired import Comparison, p_text
from reports.systems import System
from reports.table import EMPTY, Block, Cell, Head, Table, TableColumn, made, printed, text
from reports.tables import blocks
from upstream_arm import names
from upstream_arm.common.program import PROGRAM

if TYPE_CHECKING:
    from reports.compare import Outcomes

SEEDS = "Ours, means over seeds"
DIFFERENCE = "difference"
#: Released upstream -> the published row of its teacher (arXiv 2305.11685). Weights of a user's may have any.
TEACHERS = {
    name: "WavLM BASE" if "wavlm" in name else "HuBERT BASE" for name in (*names.RELEASED, *names.ALIASES)
}


class Group(NamedTuple):
    """Systems of ours of the same labels, of which some were tested against the first.

    size: how many of them have test items.
    """

    first: System
    others: Sequence[tuple[System, Outcomes]]
    size: int


class Difference(NamedTuple):
    """A system of ours minus another; outcomes: their tests, where both have test items."""

    system: System
    other: System
    why: str
    outcomes: Mapping[str, Comparison | str]


def table(ours: Sequence[System]) -> Table | None:
    """All of ours, one a row, with the tasks that are missing; None without any."""
    if not ours:
        return None
    columns: list[TableColumn] = [
        (Head(blocks.titled(blocks.TITLE, ours)), lambda system: text(system.name)),
        (Head("Params (M)"), lambda system: printed(system.params_m)),
        (Head("Overall ↑", better="higher"), lambda system: system.cells.get("overall", EMPTY)),
        *blocks.metric_columns(COLUMNS),
        (Head("Missing", detail=True), lambda system: text(", ".join(scores.missing(system.values)))),
    ]
    parts = blocks.blocks(ours)
    means = [_mean(same) for same in seeds(ours)]
    notes = ["Percent; QbE as a fraction. Overall: the mean of eleven metrics, only where none is missing."]
    if means:
        parts += blocks.blocks(means, ranked=False, title=SEEDS)
        parts.sort(key=lambda block: bool(block.warning))
        notes.append("Means over seeds: mean ± standard deviation (n - 1) of the rows above.")
    title = blocks.titled("Our results", ours)
    return made("mine", title, columns, parts, [*notes, *blocks.notes(ours, COLUMNS)])


def _mean(same: Sequence[System]) -> System:
    """Several seeds as one row: mean and standard deviation of what at least two of them have."""
    first = same[0]
    cells: dict[str, Cell] = {}
    means: dict[str, float] = {}
    for key in (*BY_KEY, "overall"):
        found = [scores.overall(one.values) if key == "overall" else one.values.get(key) for one in same]
        values = [value for value in found if value is not None]
        if len(values) > 1:
            column = BY_KEY.get(key)
            show: Callable[[float], str] = "{:.1f}".format if column is None else column.text
            mean = statistics.fmean(values)
            shown = f"{show(mean)} ± {show(statistics.stdev(values))}"
            shown += f" (n = {len(values)})" if len(values) < len(same) else ""
            cells[key], means[key] = Cell(shown, mean, competes=False), mean
    name = f"{_without_seed(first.name)}, {len(same)} seeds"
    return System(
        name, first.source, first.params_m, cells, means, by=first.by, labels=first.labels, runs=first.runs
    )


def _without_seed(name: str) -> str:
    return ", ".join(part for part in name.split(", ") if not part.startswith("seed "))


def differences(ours: Sequence[System], tested: Sequence[Group], shown: int) -> list[Difference]:
    """What is said of the first `shown` of ours, those without labels first.

    Each against the published row that is nearest in parameters, that of its teacher, and the row of ours
    that it was tested against. Labelled rows meet only rows of ours.
    """
    pairs: list[Difference] = []
    for system in sorted((one for one in ours if not one.by), key=lambda one: bool(one.labels))[:shown]:
        others = [] if system.labels else [_nearest(system), _teacher(system)]
        pairs += [Difference(system, other, why, {}) for other, why in filter(None, others)]
        pairs += [
            Difference(system, group.first, group.first.source, outcomes)
            for group in tested
            for other, outcomes in group.others
            if other.name == system.name and not isinstance(outcomes, str)
        ]
    return pairs


def _nearest(system: System) -> tuple[System, str] | None:
    """The published system with the most similar number of parameters."""
    sizes = {one.name: float(one.params_m or 0) for one in published.known()}
    own = float(system.params_m or 0)
    fitting = [one for one in published.known() if sizes[one.name] > 0]
    if own <= 0:
        return None
    nearest = min(fitting, key=lambda one: abs(math.log(sizes[one.name] / own)))
    return nearest, f"published, nearest in size: {nearest.params_m} M"


def _teacher(system: System) -> tuple[System, str] | None:
    """The published row of the teacher, where an upstream's name says which weights these are."""
    teacher = TEACHERS.get(system.upstream)
    found = (one for one in published.known() if one.name == teacher)
    return next(((one, "published, its teacher") for one in found), None)


def deltas(pairs: Sequence[Difference], left_out: int) -> Table | None:
    """Differences by rows, metrics by columns; under those that were tested their intervals and p-values."""
    if not pairs:
        return None
    columns: list[TableColumn] = [
        (Head("Ours – other"), lambda line: text(f"{line[0].system.name} – {line[0].other.name}")),
        (Head("Against"), lambda line: text(line[0].why + f": {line[1]}" * (line[1] != DIFFERENCE))),
        *(_column(key) for key in ("overall", *BY_KEY)),
    ]
    lines = [(pair, given) for pair in pairs for given in (GIVEN if pair.outcomes else [DIFFERENCE])]
    plain, labelled = (
        tuple(line for line in lines if bool(line[0].system.labels) == kind) for kind in (False, True)
    )
    parts = [Block("Differences", plain)] if plain else []
    if labelled:
        warning = blocks.warning([line[0].system for line in labelled])
        parts.append(Block(blocks.LABELLED, labelled, warning=warning))
    notes = [
        "Ours minus the other, in the metric's unit. Of published rows there are no test items: such a "
        "difference has no interval and no p-value, and settles nothing.",
        "A published row may have been scored with another set-up; see the notes of Table 1.",
        "Teacher: what the released student was distilled from, by arXiv 2305.11685.",
    ]
    if left_out > 0:
        notes.append(f"{left_out} more rows of ours: {PROGRAM} compare FIRST SECOND.")
    return made("deltas", "Our results against others", columns, parts, notes)


def _column(key: str) -> TableColumn:
    """The column of a metric or of the overall score, for lines of a pair and what is given of it."""

    def cell(line: tuple[Difference, str]) -> Cell:
        return GIVEN[line[1]](line[0], key)

    return Head(BY_KEY[key].header if key in BY_KEY else "Overall ↑"), cell


def _difference(pair: Difference, key: str) -> Cell:
    if key == "overall":
        ours, theirs = (scores.overall(one.values) for one in (pair.system, pair.other))
        digits, factor = 2, 1.0
    else:
        ours, theirs = (one.values.get(key) for one in (pair.system, pair.other))
        digits, factor = BY_KEY[key].digits, BY_KEY[key].in_unit(1.0)
    if ours is None or theirs is None:
        return EMPTY
    return Cell(f"{factor * (ours - theirs):+.{digits}f}", factor * (ours - theirs))


def _interval(pair: Difference, key: str) -> Cell:
    test = pair.outcomes.get(key)
    if not isinstance(test, Comparison) or test.interval is None:
        return EMPTY
    column = BY_KEY.get(key)
    digits, factor = (2, 1.0) if column is None else (column.digits, column.in_unit(1.0))
    ends = (test.interval.low, test.interval.high)
    return text(" to ".join(f"{factor * end:+.{digits}f}" for end in ends))


def _p(pair: Difference, key: str) -> Cell:
    test = pair.outcomes.get(key)
    if not isinstance(test, Comparison):
        return EMPTY
    return Cell(p_text(test.p).removeprefix("p ").removeprefix("= "), test.p)


#: What a line gives of a pair -> its cell of a metric; the last two where the pair was tested.
GIVEN: Mapping[str, Callable[[Difference, str], Cell]] = {
    DIFFERENCE: _difference,
    "95 % interval": _interval,
    "p": _p,
}
