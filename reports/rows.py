"""Rows of the table: the published ones, and ours put together from results of single tasks."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from downstream_runs.core.results import LABELS, Metric, Result
from reports import scores
from reports.columns import COLUMNS, in_percent
from reports.published import profiles, table1

SHORTENED = "shortened"

#: The folder of the released checkpoints in the Hugging Face cache, and the endings of names that say
#: themselves that the weights are a user's (another package's names, so only their spelling is known).
RELEASED_FOLDER = "models--sungnyun--ARMHuBERT"
OWN_WEIGHTS = ("_local", "_url", "_custom")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    name: the model, for ours with the file of its weights, unless the upstream's name stands for them, and
        its labels: "arm_hubert_random [demo, untrained]", "armhubert_local (student.ckpt, 1a2b3c4d)".
    params_m: parameters in millions as printed; empty when not known.
    cells: column key -> printed value; a column without a value is absent.
    source: "published: ..." or "ours".
    labels: what forbids a comparison with published rows; empty for those.
    runs: the result files behind the row; empty for a published one.
    overall: the mean of the eleven metrics as printed; empty where one is missing.
    """

    name: str
    params_m: str
    cells: Mapping[str, str]
    source: str
    labels: tuple[str, ...] = ()
    runs: tuple[tuple[Path, Result], ...] = ()
    overall: str = ""

    @property
    def upstream(self) -> str:
        """The upstream of a row of ours; what an earlier version called by a released name is no such one."""
        result = self.runs[0][1]
        name = result.upstream
        bare = name == "arm_hubert" or name in profiles()
        return f"{name}_local" if bare and not released(result) else name

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
        printed = f"published: {row.source}"
        rows.append(Row(row.name, row.params_m, cells, printed, overall=row.values["overall"]))
    return rows


def our_rows(results: Sequence[tuple[Path, Result]]) -> list[Row]:
    """One row for each upstream as it was run: same weights, switches, recipe, labels and seed.

    A task that was run twice in the same way makes a second row. Rows that would have the same name get what
    tells them apart behind it.
    """
    lines: list[list[tuple[Path, Result]]] = []
    alike: dict[tuple[object, ...], list[list[tuple[Path, Result]]]] = {}
    # A task without training is never shortened and joins a row of tasks that are, so it comes last.
    for path, result in sorted(results, key=lambda item: (item[1].steps == 0, item[1].created, item[0])):
        same = alike.setdefault(_identity(result), [])
        fitting = [*same, *(alike.get(_identity(result, SHORTENED), []) if result.steps == 0 else [])]
        line = next((line for line in fitting if all(other.task != result.task for _, other in line)), None)
        if line is None:
            lines.append([(path, result)])
            same.append(lines[-1])
        else:
            line.append((path, result))
    names = _names([line[0][1] for line in lines])
    return sorted(
        (_row(name, line) for name, line in zip(names, lines, strict=True)), key=lambda row: row.name
    )


def released(result: Result) -> bool:
    """Whether the upstream's name says which weights these are.

    True without a file of weights, and for one of the authors' in the Hugging Face cache, where a file's name
    is the hash that it was downloaded by.
    """
    if result.upstream_checkpoint is None:
        return "ckpt_url" not in result.upstream_switches
    path = Path(result.upstream_checkpoint)
    return not result.upstream.endswith(OWN_WEIGHTS) and path.parts[-3:] == (
        RELEASED_FOLDER,
        "blobs",
        result.upstream_checkpoint_sha256,
    )


def weights(result: Result) -> str:
    """The file of the weights and the beginning of its SHA-256; empty where the upstream's name says it."""
    if released(result):
        return ""
    sha256, url = result.upstream_checkpoint_sha256, result.upstream_switches.get("ckpt_url")
    name = PurePosixPath(str(url or result.upstream_checkpoint)).name
    return f"{name}, {sha256[:8]}" if sha256 else f"{name}, hash not known"


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
    row = Row(name, params, cells, "ours", _labels(line[0][1]), tuple(ordered))
    overall = scores.overall(row.percent())
    return row if overall is None else dataclasses.replace(row, overall=f"{overall:.1f}")


def _labels(result: Result) -> tuple[str, ...]:
    known = tuple(label for label in LABELS if label in result.labels)
    return known + tuple(sorted(set(result.labels) - set(known)))


def _identity(result: Result, *more: str) -> tuple[object, ...]:
    """What the results of one row have in common; `more`: labels that count as if the result had them."""
    labels = frozenset({*result.labels, *more})
    return (result.upstream, labels, *_details(result).values())


def _details(result: Result) -> dict[str, str]:
    return {
        "recipe": result.recipe,
        "seed": str(result.seed),
        "checkpoint": (result.upstream_checkpoint_sha256 or "none")[:12],
        "switches": json.dumps(result.upstream_switches, sort_keys=True),
    }


def _names(results: list[Result]) -> list[str]:
    plain = [
        result.upstream
        + (f" ({file})" if (file := weights(result)) else "")
        + (f" [{', '.join(_labels(result))}]" if result.labels else "")
        for result in results
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
