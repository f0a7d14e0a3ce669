"""Rows of the table: the published ones, and ours put together from results of single tasks."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports.columns import COLUMNS, in_percent
from reports.published import table1
from reports.results import LABELS, Metric, Result


@dataclass(frozen=True)
class Row:
    """One line of the table.

    name: the model, for ours with its labels: "arm_hubert_random [demo, untrained]".
    params_m: parameters in millions as printed; empty when not known.
    cells: column key -> printed value; a column without a value is absent.
    source: "published: ..." or "ours".
    labels: what forbids a comparison with published rows; empty for those.
    runs: the result files behind the row; empty for a published one.
    """

    name: str
    params_m: str
    cells: Mapping[str, str]
    source: str
    labels: tuple[str, ...] = ()
    runs: tuple[tuple[Path, Result], ...] = ()

    @property
    def upstream(self) -> str:
        """The upstream of a row of ours."""
        return self.runs[0][1].upstream

    def percent(self) -> dict[str, float]:
        """Column key -> value in percent, of a row of ours."""
        return {
            key: in_percent(metric) for _, result in self.runs for key, metric in headlines(result).items()
        }


def published_rows() -> list[Row]:
    """The paper's Table 1. Students carry the hours of speech that they were distilled on: names repeat."""
    rows = []
    for row in table1():
        cells = {column.key: row.values[column.key] for column in COLUMNS}
        rows.append(Row(row.name, row.params_m, cells, f"published: {row.source}"))
    return rows


def our_rows(results: Sequence[tuple[Path, Result]]) -> list[Row]:
    """One row for each upstream as it was run: same weights, switches, recipe, labels and seed.

    A task that was run twice in the same way makes a second row. Rows that would have the same name get what
    tells them apart behind it.
    """
    lines: list[list[tuple[Path, Result]]] = []
    alike: dict[tuple[object, ...], list[list[tuple[Path, Result]]]] = {}
    for path, result in sorted(results, key=lambda item: (item[1].created, item[0])):
        same = alike.setdefault(_identity(result), [])
        line = next((line for line in same if all(other.task != result.task for _, other in line)), None)
        if line is None:
            lines.append([(path, result)])
            same.append(lines[-1])
        else:
            line.append((path, result))
    names = _names([line[0][1] for line in lines])
    return sorted(
        (_row(name, line) for name, line in zip(names, lines, strict=True)), key=lambda row: row.name
    )


def headlines(result: Result) -> dict[str, Metric]:
    """Column key -> the metric of this result that the column prints."""
    found = {column.key: result.headline(column.metric) for column in COLUMNS if column.task == result.task}
    return {key: metric for key, metric in found.items() if metric is not None}


def _row(name: str, line: list[tuple[Path, Result]]) -> Row:
    cells = {}
    for _, result in line:
        shown = headlines(result)
        cells.update(
            {column.key: column.show(shown[column.key]) for column in COLUMNS if column.key in shown}
        )
    known = [result.upstream_parameters for _, result in line if result.upstream_parameters is not None]
    params = f"{known[0] / 1e6:.2f}" if known else ""
    ordered = sorted(line, key=lambda item: item[1].task)
    return Row(name, params, cells, "ours", _labels(line[0][1]), tuple(ordered))


def _labels(result: Result) -> tuple[str, ...]:
    known = tuple(label for label in LABELS if label in result.labels)
    return known + tuple(sorted(set(result.labels) - set(known)))


def _identity(result: Result) -> tuple[object, ...]:
    return (result.upstream, _labels(result), *_details(result).values())


def _details(result: Result) -> dict[str, str]:
    return {
        "recipe": result.recipe,
        "seed": str(result.seed),
        "checkpoint": (result.upstream_checkpoint_sha256 or "none")[:12],
        "switches": json.dumps(result.upstream_switches, sort_keys=True),
    }


def _names(results: list[Result]) -> list[str]:
    plain = [
        result.upstream + (f" [{', '.join(_labels(result))}]" if result.labels else "") for result in results
    ]
    same: dict[str, list[dict[str, str]]] = {}
    for name, result in zip(plain, results, strict=True):
        same.setdefault(name, []).append(_details(result))
    told = {
        name: [key for key in shared[0] if len({details[key] for details in shared}) > 1]
        for name, shared in same.items()
    }
    identities = Counter(_identity(result) for result in results)
    names = []
    for name, result in zip(plain, results, strict=True):
        details, telling = _details(result), [*told[name]]
        if identities[_identity(result)] > 1:
            details["made"] = result.created
            telling.append("made")
        names.append(name + "".join(f", {key} {details[key]}" for key in telling))
    # Runs that nothing tells apart, not even the second they ended in.
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        if seen[name] > 1:
            names[place] = f"{name} ({seen[name]})"
    return names
