"""Free comparisons: any systems side by side, with deltas and, between runs of ours, tests."""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from downstream_runs.core.results import PARTIAL
from reports import catalogue, scores
from reports.columns import BY_KEY
from reports.evidence import Evidence
from reports.gather import Collection, evidence_of
from reports.rows import Row
from reports.statistics import systems
from reports.statistics.paired import Comparison, p_text
from reports.table import warning
from reports.tables import ours
from reports.tables.model import Block, Cell, Head, Table, number, text
from upstream_arm.common.errors import ReportError

OVERALL = "Overall ↑"


@dataclass(frozen=True)
class System:
    """One side of a comparison; `row` only of ours, and `evidence` of those by `with_evidence`."""

    name: str
    source: str
    values: Mapping[str, float]
    labels: tuple[str, ...] = ()
    row: Row | None = None
    evidence: Mapping[str, Evidence] | None = None


def find(names: Sequence[str], collection: Collection) -> list[System]:
    """The systems of these names: a row's name or the upstream of ours, or a published model.

    A name is taken as it is written, and without regard to case only if nothing is written so. Raises
    ReportError for a name that nothing, or more than one system, has.
    """
    offered = _offered(collection)
    return [_one(name, offered) for name in names]


def of_rows(rows: Sequence[Row]) -> list[System]:
    """Rows of ours as systems."""
    return [System(row.name, "ours", row.percent(), row.labels, row) for row in rows]


def with_evidence(chosen: Sequence[System]) -> tuple[list[System], list[str]]:
    """The systems with the test items of those of ours, and what is wrong with these."""
    found, problems = [], []
    for system in chosen:
        if system.row is not None:
            items, wrong = evidence_of(system.row)
            system = dataclasses.replace(system, evidence=items)
            problems += wrong
        found.append(system)
    return found, problems


def _offered(collection: Collection) -> list[tuple[tuple[str, ...], System]]:
    """Each system with the names that it answers to."""
    found: list[tuple[tuple[str, ...], System]] = [
        ((row.name, row.upstream), system)
        for row, system in zip(collection.rows, of_rows(collection.rows), strict=True)
    ]
    for one in catalogue.known():
        system = System(one.name, f"published: {one.source}", one.values)
        found.append(((one.name, one.name.split(" (")[0]), system))
    return found


def _one(name: str, offered: list[tuple[tuple[str, ...], System]]) -> System:
    whole = [system for names, system in offered if names[0] == name]
    exact = [system for names, system in offered if name in names]
    folded = [system for names, system in offered if name.casefold() in {other.casefold() for other in names}]
    found = whole or exact or folded
    if len(found) == 1:
        return found[0]
    if found:
        several = "; ".join(f"{system.name!r} ({system.source})" for system in found[:8])
        raise ReportError(f"{name!r} is the name of {len(found)} systems: {several}; give one in full")
    near = difflib.get_close_matches(name, [other for names, _ in offered for other in names], n=3)
    meant = f"; did you mean {' or '.join(map(repr, dict.fromkeys(near)))}?" if near else ""
    raise ReportError(
        f"there is no system {name!r} among the results and the published rows, which "
        f"`python -m reports table` lists{meant}"
    )


def values_table(chosen: Sequence[System]) -> Table:
    """Metrics by rows, systems by columns, each but the first with its delta to the first."""
    first = chosen[0]
    heads = [Head("Metric"), Head(first.name, _side(first))]
    for other in chosen[1:]:
        heads += [Head(other.name, _side(other)), Head(f"Δ {other.name}", _side(other))]
    lines = [_line(key, chosen) for key in scores.KEYS if any(key in system.values for system in chosen)]
    common = scores.shared(*(system.values for system in chosen))
    whole = not any(scores.missing(system.values) for system in chosen)
    if whole:
        lines.append(_cells(OVERALL, [scores.overall(system.values) for system in chosen], chosen, 2))
    elif common:
        means = [scores.partial_mean(system.values, common) for system in chosen]
        lines.append(_cells(f"Partial mean over {len(common)} of 11 ↑", means, chosen, 2))
    labelled = [system.row for system in chosen if system.row is not None and system.labels]
    return Table(
        "compare",
        "Comparison: " + ", ".join(system.name for system in chosen),
        tuple(heads),
        (Block("Values and differences", tuple(lines), warning=warning(labelled) or ""),),
        tuple(_notes(chosen, common, whole)),
    )


def _side(system: System) -> str:
    return system.source.split(":")[0]


def _notes(chosen: Sequence[System], common: tuple[str, ...], whole: bool) -> list[str]:
    found = [f"{system.name}: {system.source}." for system in chosen]
    found.append(f"Δ: the value minus that of {chosen[0].name}.")
    found.append("Percent; QbE as a fraction. A difference without a test settles nothing.")
    if not whole:
        for system in chosen:
            absent = scores.missing(system.values)
            if absent:
                found.append(f"{system.name} has no overall score: {', '.join(absent)} missing.")
        if common:
            names = ", ".join(BY_KEY[key].name for key in common)
            found.append(f"Partial mean: over the metrics that all of them have ({names}); no overall score.")
    rows = [system.row for system in chosen if system.row is not None]
    if rows:
        found += ours.notes(
            rows, [BY_KEY[key] for key in scores.KEYS if any(key in row.cells for row in rows)]
        )
    if not all(_comparable(chosen[0], other) for other in chosen):
        found.append(
            "No difference is given between systems of which one has labels that the other has not, or that "
            "were run on different parts of a corpus."
        )
    return found


def _comparable(first: System, other: System) -> bool:
    """May the two be subtracted? Only with the same labels: a demo run has nothing to do with a real one.

    Two on parts of a corpus only if they are the same parts.
    """
    return _kind(first) == _kind(other) and not (PARTIAL in first.labels and _other_parts(first, other))


def _other_parts(first: System, other: System) -> bool:
    """Whether any task was run on other data by the one than by the other."""
    found = [
        {result.task: result.corpus.hash for _, result in system.row.runs} if system.row else {}
        for system in (first, other)
    ]
    return any(found[0][task] != found[1][task] for task in found[0].keys() & found[1].keys())


def _line(key: str, chosen: Sequence[System]) -> tuple[Cell, ...]:
    column = BY_KEY[key]
    factor = 1.0 if column.unit == "percent" else 0.01
    values = [factor * system.values[key] if key in system.values else None for system in chosen]
    return _cells(column.header, values, chosen, column.digits)


def _cells(
    name: str, values: Sequence[float | None], chosen: Sequence[System], digits: int
) -> tuple[Cell, ...]:
    """The name, the first value, then of each other system its value and its difference to the first."""
    base = values[0]
    found = [text(name), number(base, digits)]
    for value, other in zip(values[1:], chosen[1:], strict=True):
        found.append(number(value, digits))
        if value is None or base is None or not _comparable(chosen[0], other):
            found.append(number(None, digits))
        else:
            found.append(_delta(value - base, digits))
    return tuple(found)


def _delta(value: float, digits: int) -> Cell:
    return Cell(f"{value:+.{digits}f}", value)


def tests_table(groups: Sequence[Sequence[System]]) -> Table:
    """In each group every system against the first, metric by metric, with p-values and what follows."""
    heads = (
        Head("Second – first"),
        Head("Metric"),
        Head("Difference"),
        Head("95 % interval"),
        Head("p"),
        Head("Matched pairs p"),
        Head("Reading"),
        Head("Test"),
    )
    blocks: list[Block] = []
    notes: list[str] = []
    for chosen in groups:
        lines: list[tuple[Cell, ...]] = []
        for other in chosen[1:]:
            why = _untestable(chosen[0], other)
            if why:
                notes.append(f"{other.name} against {chosen[0].name} is not tested: {why}.")
                continue
            tested = systems.compare(chosen[0].evidence or {}, other.evidence or {})
            lines += [_tested(chosen[0], other, key, found) for key, found in tested.items()]
        if lines:
            labelled = [system.row for system in chosen if system.row is not None and system.labels]
            title = ours.LABELLED if labelled else "Paired tests"
            blocks.append(Block(title, tuple(lines), warning=warning(labelled) or ""))
    notes += [
        "Both systems on the same test items. The p-values are of one comparison each and not corrected for "
        "their "
        "number: of twenty equal pairs about one falls below 0.05.",
        "Tests see the chance of the test items only; another seed of the training can move a number "
        "further.",
    ]
    return Table("tests", "Paired tests", heads, tuple(blocks), tuple(notes))


def _untestable(first: System, other: System) -> str:
    """Why the two cannot be tested, or nothing."""
    lacking = [system.name for system in (first, other) if not system.evidence]
    if lacking:
        return f"no test items of {' and '.join(lacking)} are at hand"
    if _comparable(first, other):
        return ""
    same = _kind(first) == _kind(other)
    return "they were run on different parts of a corpus" if same else "one has labels that the other has not"


def alike(chosen: Sequence[System]) -> list[list[System]]:
    """The systems in groups of the same labels, those without labels first."""
    groups: dict[frozenset[str], list[System]] = {}
    for system in chosen:
        groups.setdefault(_kind(system), []).append(system)
    return [groups[kind] for kind in sorted(groups, key=sorted)]


def _kind(system: System) -> frozenset[str]:
    # Random weights make a system a bad one, but on the same speech a comparable one.
    return frozenset(system.labels) - {"untrained"}


def _tested(first: System, other: System, key: str, found: Comparison | str) -> tuple[Cell, ...]:
    column = BY_KEY.get(key)
    pair = (text(f"{other.name} – {first.name}"), text(OVERALL if column is None else column.header))
    if isinstance(found, str):
        return (*pair, *(text("") for _ in range(4)), text(f"not tested: {found}"), text(""))
    digits, factor = (2, 1.0) if column is None or column.unit == "percent" else (column.digits, 0.01)
    low_high = ""
    if found.interval is not None:
        low_high = " to ".join(
            f"{factor * end:+.{digits}f}" for end in (found.interval.low, found.interval.high)
        )
    matched = "" if found.matched_pairs is None else _bare(found.matched_pairs)
    return (
        *pair,
        _delta(factor * found.difference, digits),
        text(low_high),
        Cell(_bare(found.p), found.p),
        text(matched),
        text(found.verdict(first.name, other.name)),
        text(found.method),
    )


def _bare(p: float) -> str:
    """A p-value for a column of them: "0.012" or "< 0.001"."""
    return p_text(p).removeprefix("p ").removeprefix("= ")
