"""Tables 1 to 4 of "Recycle-and-Distill" (arXiv 2305.11685), with ours below in blocks of their own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

from reports import published
from reports.columns import BY_KEY, COLUMNS, Column
from reports.ours import headlines
from reports.systems import System
from reports.table import (
    EMPTY,
    Block,
    Cell,
    Head,
    Table,
    TableColumn,
    harmless,
    made,
    number,
    printed,
    text,
)
from reports.tables import blocks, efficiency
from upstream_arm.common.files import csv_text

GROUPS = {
    "baselines": "Baselines",
    "960h 26.4M-31.6M": "960h distillation, 26.4M to 31.6M parameters",
    "960h 22.4M-23.5M": "960h distillation, 22.4M to 23.5M parameters",
    "100h": "100h distillation",
}
#: What Tables 2, 3 and 4 share: four metrics of three tasks.
ABLATIONS = tuple(BY_KEY[key] for key in ("asr_wer", "asv_eer", "sf_f1", "sf_cer"))


def table1(
    ours: Sequence[System], columns: Sequence[Column] = COLUMNS, runs: bool = False, costs: bool = False
) -> Table:
    """Table 1: all eleven metrics and the overall score, or only some.

    runs: with notes on each run. costs: with what the upstreams cost.
    """
    overall: list[TableColumn] = [
        (Head("Overall ↑", better="higher"), lambda system: system.cells.get("overall", EMPTY))
    ]
    table_columns: list[TableColumn] = [
        (Head("Model"), lambda system: text(system.printed.get("model", system.name))),
        (Head("Params (M) ↓"), lambda system: printed(system.params_m)),
        *(overall if len(columns) == len(COLUMNS) else []),
        *blocks.metric_columns(columns, grouped=True),
        *(efficiency.columns(ours) if costs else ()),
        (Head("Source", detail=True), lambda system: text(system.source)),
    ]
    notes = (
        "Percent; QbE as a fraction. Overall: the mean of eleven metrics, error rates as 100 minus the "
        "rate; slot filling counts twice. Within a block the best is bold and the second underlined.",
        "Published rows as printed in arXiv 2305.11685, Table 1. FBANK is the row of the original SUPERB "
        "paper; the leaderboard's corrected row (overall 46.5) is in the table of all systems.",
        "LightHuBERT is trained in two stages with a supernet of HuBERT's size, which the paper does not "
        "compare with the others.",
        "SD: numbers published in 2021 may come from s3prl's tag of that year, whose frame_shift is 160 "
        "samples; s3prl 0.4.18 takes the upstream's own, 320 for HuBERT and its students.",
        "QbE: the official MTWV counts queries in other languages, which are not searched, as missed; the "
        "leaderboard's own log of the official tool shows default scores for all of them.",
        *(efficiency.notes(ours) if costs else ()),
        *blocks.notes(ours, columns),
        *blocks.conflicts(ours),
        *(blocks.run_notes(ours, columns) if runs else ()),
    )
    parts = _parts(published.table(1), lambda system: GROUPS[system.printed["group"]])
    return made("table1", "Table 1: SUPERB", table_columns, [*parts, *blocks.blocks(ours)], notes)


def table2(ours: Sequence[System]) -> Table:
    """Table 2: patterns of attention map reuse, with parameters and MACs computed again."""
    notes = (
        "Recomputed: parameters and MACs of the same shapes by this toolkit's profile command "
        "(python -m upstream_arm profile table2); MACs are the sum over SUPERB's 32 utterances. "
        "The other columns are as printed in arXiv 2305.11685, Table 2.",
        "For rows of ours, parameters are those of the upstream that was run, MACs those of the preset of "
        "its name, if it has as many parameters.",
    )
    columns: list[TableColumn] = [
        (Head("Pattern"), lambda system: text(system.name)),
        (Head("Maps computed in layers"), _as_printed("layers_whose_map_is_computed")),
        (Head("Params (M)", "Published"), _as_printed("params_m")),
        (Head("MACs (G)", "Published"), _as_printed("macs_g")),
        (
            Head("Params (M)", "Recomputed"),
            lambda system: (
                printed(system.params_m) if system.runs else number(system.profile.params / 1e6, 2)
            ),
        ),
        (
            Head("MACs (G)", "Recomputed"),
            lambda system: number(system.profile and system.profile.macs / 1e9, 1),
        ),
    ]
    title = "Published: width 432, feed-forward 816, no masking"
    return _ablation(2, "reuse patterns", columns, lambda system: title, ours, notes)


def table3(ours: Sequence[System]) -> Table:
    """Table 3: parts of the masking strategy left out."""
    note = (
        "As printed in arXiv 2305.11685, Table 3; [-] is MaskHuBERT-100h without that part of the strategy."
    )
    columns: list[TableColumn] = [(Head("Method"), lambda system: text(system.name))]
    title = "Published: distilled on 100h"
    return _ablation(3, "masking strategy", columns, lambda system: title, ours, (note,))


def table4(ours: Sequence[System]) -> Table:
    """Table 4: masking ratios."""
    note = (
        "As printed in arXiv 2305.11685, Table 4; 0.4 to 0.8 linear is the ratio that grows during training."
    )
    columns: list[TableColumn] = [
        (Head("Model"), lambda system: text(system.name)),
        (Head("Masking ratio"), lambda system: text(system.printed.get("mask_ratio", ""))),
    ]
    return _ablation(4, "masking ratio", columns, lambda system: f"Published: {system.name}", ours, (note,))


def tables(ours: Sequence[System], costs: bool = False) -> list[Table]:
    """The paper's four tables with ours; `costs`: the first with what the upstreams cost."""
    return [table1(ours, costs=costs), table2(ours), table3(ours), table4(ours)]


def _ablation(
    number: int,
    title: str,
    columns: Sequence[TableColumn],
    part: Callable[[System], str],
    ours: Sequence[System],
    notes: Sequence[str],
) -> Table:
    """Table 2, 3 or 4 in parts, with those of ours that have one of its metrics."""
    usable = [system for system in ours if any(column.key in system.cells for column in ABLATIONS)]
    return made(
        f"table{number}",
        f"Table {number}: {title}",
        [*columns, *blocks.metric_columns(ABLATIONS)],
        [*_parts(published.table(number), part), *blocks.blocks(usable)],
        [*notes, *blocks.notes(usable, ABLATIONS)],
    )


def _parts(systems: Sequence[System], title: Callable[[System], str]) -> list[Block]:
    return [Block(name, tuple(members), ranked=True) for name, members in groupby(systems, key=title)]


def _as_printed(column: str) -> Callable[[System], Cell]:
    return lambda system: printed(system.printed.get(column, ""))


def as_csv(ours: Sequence[System], columns: Sequence[Column], costs: bool = False) -> str:
    """Table 1 for programs: columns by their keys, and what limits ours in columns of its own.

    Missing values are empty. comparable: `no` with labels, `see deviations` with only deviations, else `yes`.
    """
    keys = [column.key for column in columns]
    tail = ["source", "labels", "comparable", "official", "selection", "deviations"]
    measured = efficiency.KEYS if costs else ()
    rows: list[list[object]] = [["model", "params_m", *keys, *measured, *tail]]
    for system in [*published.table(1), *ours]:
        cells = [system.cells[key].text if key in system.cells else "" for key in keys]
        limits = _limits(system, columns) if system.runs else ["", "yes", "", "", ""]
        cells += efficiency.values(system) if costs else []
        row = [system.name, system.params_m, *cells, system.source, *limits]
        rows.append([*map(harmless, row)])
    return csv_text(rows)


def _limits(system: System, columns: Sequence[Column]) -> list[str]:
    keys, tasks = {column.key for column in columns}, {column.task for column in columns}
    runs = [result for result in blocks.results([system]) if result.task in tasks]
    shown = [metric for result in runs for key, metric in headlines(result).items() if key in keys]
    return [
        " ".join(system.labels),
        "no" if system.labels else "see deviations" if any(result.deviations for result in runs) else "yes",
        "yes" if shown and all(metric.official for metric in shown) else "no",
        " ".join(f"{result.task}: {blocks.selections(result)}" for result in runs),
        " ".join(f"{result.task}: {blocks.deviations(result)}." for result in runs),
    ]
