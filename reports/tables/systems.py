"""All published systems with the three scores over all tasks, and ours that have all ten tasks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from reports import catalogue, published, scores
from reports.rows import Row
from reports.statistics.resample import Interval
from reports.tables import ours
from reports.tables.model import Block, Cell, Head, Table, number, printed, text
from reports.tables.table2 import profile_of

RECOMPUTED = "*"


def table(rows: Sequence[Row], overall: Mapping[str, Interval]) -> Table:
    """The systems; `overall`: row name -> the interval of its overall score."""
    complete = [row for row in rows if not scores.missing(row.percent())]
    heads = (
        Head("Model"),
        Head("Params (M)"),
        Head("MACs (G)"),
        Head("Overall ↑"),
        Head("95 % interval"),
        Head("superb_s ↑"),
        Head("superb_r ↑"),
        Head("Source", detail=True),
    )
    lines = tuple(_published(one) for one in catalogue.known())
    blocks = (
        Block("Published", lines),
        *ours.blocks(complete, lambda row: _ours(row, overall.get(row.name))),
    )
    left_out = len(rows) - len(complete)
    notes = [
        "Scores of published rows are computed from their printed metrics. superb_s: 0 is FBANK and 1000 the "
        "leaderboard's reference system, mean of ten tasks. superb_r: how many systems of the board are "
        "beaten, "
        f"mean of ten tasks, higher is better; board: {published.board().name}.",
        f"MACs: sum over SUPERB's 32 utterances, as printed; {RECOMPUTED} by this toolkit's profile command.",
        *catalogue.conflicts(),
    ]
    if left_out:
        notes.append(f"{left_out} of our rows lack a task and are not here.")
    return Table("systems", "All systems", heads, blocks, tuple(notes))


def _scores(values: scores.Values) -> tuple[Cell, Cell]:
    return (
        number(scores.superb_s(values, published.reference_points()), 0),
        number(scores.superb_r(values, published.board()), 2),
    )


def _published(one: catalogue.Known) -> tuple[Cell, ...]:
    macs = printed(one.macs_g)
    if not one.macs_g and one.recomputed_macs_g is not None:
        macs = number(one.recomputed_macs_g, 1, RECOMPUTED)
    overall = number(scores.overall(one.values), 1)
    return (
        text(one.name),
        printed(one.params_m),
        macs,
        overall,
        text(""),
        *_scores(one.values),
        text(f"published: {one.source}"),
    )


def _ours(row: Row, interval: Interval | None) -> tuple[Cell, ...]:
    profile = profile_of(row)
    return (
        text(row.name),
        Cell(row.params_m, float(row.params_m)) if row.params_m else text(""),
        number(None if profile is None else profile.macs / 1e9, 1, RECOMPUTED),
        number(scores.overall(row.percent()), 1),
        text("" if interval is None else f"{interval.low:.1f} to {interval.high:.1f}"),
        *_scores(row.percent()),
        text("ours"),
    )
