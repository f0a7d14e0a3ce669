"""All systems with their scores, the leaderboard, and every number of ours with what limits it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from downstream_runs.core.results import Metric, Result
from reports import published, scores
from reports.columns import BY_KEY, Column
from reports.ours import dev_selected, headlines
from reports.systems import System
from reports.table import Block, Cell, Head, Table, TableColumn, made, number, printed, text
from reports.tables import blocks, efficiency

if TYPE_CHECKING:
    from reports.statistics.resample import Interval

    Intervals = Mapping[str, Mapping[str, Interval]]


def systems(ours: Sequence[System], intervals: Intervals, costs: bool = False) -> Table:
    """All published systems with the three scores over all tasks, and ours that have all ten tasks.

    intervals: name of ours -> column key, or "overall", -> interval. costs: with what was measured of them.
    """
    complete = [system for system in ours if not scores.missing(system.values)]
    measured = efficiency.columns(complete) if costs else [(Head("MACs (G)"), efficiency.macs)]

    def around(system: System) -> Cell:
        interval = intervals.get(system.name, {}).get("overall") if system.runs else None
        return text("" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}")

    columns: list[TableColumn] = [
        (Head("Model"), lambda system: text(system.name)),
        (Head("Params (M)"), lambda system: printed(system.params_m)),
        *measured,
        (Head("Overall ↑"), lambda system: number(scores.overall(system.values), 1)),
        (Head("95 % interval"), around),
        (Head("superb_s ↑"), _superb_s),
        (Head("superb_r ↑"), _superb_r),
        (Head("Source", detail=True), lambda system: text(system.source)),
    ]
    notes = [
        "Scores of published rows are computed from their printed metrics. superb_s: 0 is FBANK and 1000 the "
        "leaderboard's reference system, mean of ten tasks. superb_r: how many systems of the board are "
        f"beaten, mean of ten tasks, higher is better; board: {published.leaderboard().name}.",
        *efficiency.notes(complete if costs else ()),
        *published.conflicts(),
    ]
    if len(complete) < len(ours):
        notes.append(f"{len(ours) - len(complete)} of our rows lack a task and are not here.")
    parts = [Block("Published", published.known()), *blocks.blocks(complete, ranked=False)]
    return made("systems", "All systems", columns, parts, notes)


def _superb_s(system: System) -> Cell:
    return number(scores.superb_s(system.values, published.reference_points()), 0)


def _superb_r(system: System) -> Cell:
    return number(scores.superb_r(system.values, published.leaderboard()), 2)


def leaderboard() -> Table:
    """The 20 rows that the leaderboard displays, in its order, beside the same scores computed here."""
    parameters = published.leaderboard_parameters()

    def millions(system: System) -> Cell:
        count = parameters.get(system.name)
        return number(None if count is None else count / 1e6, 2)

    columns: list[TableColumn] = [
        (Head("Model"), lambda system: text(system.name)),
        (Head("Params (M)"), millions),
        (Head("Score ↑", "As displayed"), lambda system: printed(system.printed["score"])),
        (Head("superb_s ↑", "Computed here"), _superb_s),
        (Head("Rank ↑", "As displayed"), lambda system: printed(system.printed["rank"])),
        (Head("superb_r ↑", "Computed here"), _superb_r),
        (Head("Overall ↑", "Computed here"), lambda system: number(scores.overall(system.values), 1)),
    ]
    board = published.leaderboard().name
    note = (
        f"superb_r is computed against the board {board}; higher is better. Another board gives other ranks."
    )
    parts = [Block("Published", published.displayed())]
    return made("leaderboard", "The SUPERB leaderboard", columns, parts, [note])


class _Number(NamedTuple):
    """A headline of one of our runs."""

    system: System
    path: Path
    result: Result
    column: Column
    metric: Metric


def _numbers(system: System) -> list[_Number]:
    return [
        _Number(system, path, result, BY_KEY[key], metric)
        for path, result in system.runs
        for key, metric in headlines(result).items()
    ]


def selection(ours: Sequence[System]) -> Table | None:
    """Official numbers that were chosen on the test set, beside those chosen on dev; None without any."""
    pairs = blocks.blocks(
        ours,
        lambda system: [
            (one, dev)
            for one in _numbers(system)
            if (dev := dev_selected(one.result.metrics, one.metric)) is not None
        ],
        ranked=False,
    )
    columns: list[TableColumn] = [
        (Head("Run"), lambda pair: text(pair[0].system.name)),
        (Head("Metric"), lambda pair: text(pair[0].column.header)),
        (Head("Official, chosen on test"), lambda pair: printed(pair[0].column.show(pair[0].metric))),
        (Head("How the official one was chosen", detail=True), lambda pair: text(pair[0].metric.selection)),
        (Head("Chosen on dev"), lambda pair: printed(pair[0].column.show(pair[1]))),
        (Head("How the other was chosen", detail=True), lambda pair: text(pair[1].selection)),
    ]
    note = (
        "For these tasks SUPERB's protocol takes the best of several checkpoints or settings on the test "
        "set, which flatters; published numbers are of this kind. The number chosen on dev has seen no test "
        "data."
    )
    return made("selection", "Official and dev-selected numbers", columns, pairs, [note]) if pairs else None


def runs(ours: Sequence[System], intervals: Intervals) -> Table | None:
    """Every number of ours with its interval and everything that limits it; None without runs.

    intervals: name of ours -> column key -> interval.
    """

    def around(one: _Number) -> Interval | None:
        return intervals.get(one.system.name, {}).get(one.column.key)

    def low_high(one: _Number) -> Cell:
        interval = around(one)
        ends = [] if interval is None else [interval.low, interval.high]
        return text(" to ".join(map(one.column.text, ends)))

    def resampled(one: _Number) -> Cell:
        interval = around(one)
        return text("" if interval is None else interval.how)

    columns: list[TableColumn] = [
        (Head("Run"), lambda one: text(one.system.name)),
        (Head("Metric"), lambda one: text(one.column.header)),
        (Head("Value"), lambda one: printed(one.column.show(one.metric))),
        (Head("95 % interval"), low_high),
        (Head("Resampled", detail=True), resampled),
        (Head("Split", detail=True), lambda one: text(one.metric.split)),
        (Head("Official"), lambda one: text("yes" if one.metric.official else "no")),
        (Head("How it was chosen", detail=True), lambda one: text(one.metric.selection)),
        (Head("Recipe"), lambda one: text(one.result.recipe)),
        (Head("Seed"), lambda one: Cell(str(one.result.seed), one.result.seed)),
        (Head("Steps"), lambda one: Cell(str(one.result.steps), one.result.steps)),
        (Head("Corpus", detail=True), lambda one: text(one.result.corpus.name)),
        (Head("Deviations", detail=True), lambda one: text(blocks.deviations(one.result))),
        (Head("File", detail=True), lambda one: text(one.path.as_posix())),
    ]
    note = (
        "Intervals: expanded percentile bootstrap, 1000 draws of whole groups (speakers, queries, or "
        "utterances where the corpus names no speaker); they hold the chance of the test set, not that of "
        "training again. Rough: fewer than 10 groups. QbE's queries in other languages are missed by every "
        "system: they count and are not drawn. No interval: the run left no test items, or all groups have "
        "the same rate."
    )
    parts = blocks.blocks(ours, _numbers, ranked=False)
    title = blocks.titled("Our runs", ours)
    return made("runs", title, columns, parts, [note]) if parts else None
