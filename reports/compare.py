"""Any systems side by side, with differences and, between runs of ours, tests."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TypeAlias

from downstream_runs.core.results import PARTIAL
from downstream_runs.core.run_folder import SWEEP_SUFFIX
from reports import published, scores
from reports.columns import BY_KEY
from reports.item_files import items_of
from reports.ours import Collection
from reports.statistics import systems as statistics
from reports.statistics.paired import Comparison, p_text
from reports.systems import System
from reports.table import EMPTY, Block, Cell, Head, Table, made, number, of_cells, text
from reports.tables import blocks
from upstream_arm.common.errors import ReportError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near

OVERALL = "Overall ↑"
FEWEST_DIGITS = 4
#: Column key -> its test; or why a pair is not tested.
Outcomes: TypeAlias = dict[str, Comparison | str] | str


def find(
    names: Sequence[str], collection: Collection, others: Sequence[System] | None = None
) -> list[System]:
    """The systems of these names: the row's name or the upstream of ours, or one of `others`, the published
    models; where none is called so, the row of ours with a run that `_runs_of` finds.

    A name is taken as it is written, and without regard to case only if nothing is written so. Raises
    ReportError for a name that nothing, or more than one system, has.
    """
    known = published.known() if others is None else others
    offered = [(_called(one), one) for one in collection.systems]
    offered += [((one.name, one.name.split(" (")[0]), one) for one in known]
    return [_one(name, offered) for name in names]


def _called(system: System) -> tuple[str, ...]:
    """What a row of ours may be called."""
    return (system.name, system.upstream, *({own for _, result in system.runs if (own := result.name)}))


def _runs_of(system: System, name: str) -> list[Path]:
    """The runs of a system that `name` stands for.

    It is a folder, or a file in one; how a run's folder begins, RECIPE- among it; or the first
    digits, four or more, of that hash or of the SHA-256 of weights or result.
    """
    wanted = Path(name).expanduser()
    place = wanted.resolve() if wanted.exists() else None
    found = []
    for path, result in system.runs:
        begin = path.parent.name
        recipe, _, digits = begin.removesuffix(SWEEP_SUFFIX).rpartition("-")
        weights = (result.upstream_checkpoint_sha256, result.upstream_weights_sha256)
        hashes = [one for one in (digits, *weights, result.content_sha256) if one]
        by_hash = len(name) >= FEWEST_DIGITS and any(one.startswith(name.lower()) for one in hashes)
        by_folder = len(name) > len(recipe) and begin.startswith(name)
        if by_hash or by_folder or (place is not None and place in (path.resolve(), *path.resolve().parents)):
            found.append(path.parent)
    return found


def _one(name: str, offered: Sequence[tuple[tuple[str, ...], System]]) -> System:
    whole = [system for names, system in offered if names[0] == name]
    exact = [system for names, system in offered if name in names]
    folded = [system for names, system in offered if name.casefold() in map(str.casefold, names)]
    matching = whole or exact or folded
    if len(matching) == 1:
        return matching[0]
    if matching:
        several = "; ".join(f"{system.name!r} ({system.source})" for system in matching[:8])
        raise ReportError(f"{name!r} is the name of {len(matching)} systems: {several}; give one in full")
    running = [(system, runs) for _, system in offered if (runs := _runs_of(system, name))]
    if len(running) == 1:
        return running[0][0]
    if running:
        several = "; ".join(f"{runs[0]} of {system.name!r}" for system, runs in running[:8])
        raise ReportError(f"{name!r} stands for runs of {len(running)} rows: {several}; give more of it")
    meant = near(name, [other for names, _ in offered for other in names])
    raise ReportError(
        f"there is no system {name!r} among the results and the published rows, which "
        f"`{PROGRAM} table` lists, and no run of that folder or hash{meant}"
    )


def with_items(systems: Sequence[System]) -> tuple[list[System], list[str]]:
    """The systems with the test items of those of ours, and what is wrong with these."""
    filled, problems = [], []
    for system in systems:
        items, wrong = items_of(system.runs)
        filled.append(dataclasses.replace(system, items=items))
        problems += wrong
    return filled, problems


def values_table(systems: Sequence[System]) -> Table:
    """Metrics by rows, systems by columns, each but the first with its difference to the first."""
    heads = [Head("Metric")]
    for place, system in enumerate(systems):
        names = (system.name, f"Δ {system.name}") if place else (system.name,)
        heads += [Head(name, system.source.split(":")[0]) for name in names]
    lines = [
        (column.header, [column.in_unit(one.values[key]) if key in one.values else None for one in systems])
        for key, column in BY_KEY.items()
    ]
    digits = {column.header: column.digits for column in BY_KEY.values()}
    common = scores.shared(*(one.values for one in systems))
    whole = not any(scores.missing(one.values) for one in systems)
    if whole:
        lines.append((OVERALL, [scores.overall(one.values) for one in systems]))
    elif common:
        means = [scores.partial_mean(one.values, common) for one in systems]
        lines.append((f"Partial mean over {len(common)} of 11 ↑", [*means]))
    subtracted = [comparable(systems[0], system) for system in systems]

    def cells(name: str, values: Sequence[float | None]) -> tuple[Cell, ...]:
        base, row = values[0], [text(name)]
        for place, value in enumerate(values):
            row.append(number(value, digits.get(name, 2)))
            if place and (base is None or value is None or not subtracted[place]):
                row.append(EMPTY)
            elif place:
                row.append(_signed((value or 0) - (base or 0), digits.get(name, 2)))
        return tuple(row)

    rows = tuple(cells(name, values) for name, values in lines if any(value is not None for value in values))
    title = "Comparison: " + ", ".join(system.name for system in systems)
    block = Block("Values and differences", rows, warning=blocks.warning(systems))
    return made("compare", title, of_cells(heads), [block], _notes(systems, common, whole))


def _signed(value: float, digits: int) -> Cell:
    return Cell(f"{value:+.{digits}f}", value)


def _notes(systems: Sequence[System], common: Sequence[str], whole: bool) -> list[str]:
    notes = [f"{system.name}: {system.source}." for system in systems]
    notes.append(f"Δ: the value minus that of {systems[0].name}.")
    notes.append("Percent; QbE as a fraction. A difference without a test settles nothing.")
    for system in systems:
        absent = scores.missing(system.values)
        if absent:
            notes.append(f"{system.name} has no overall score: {', '.join(absent)} missing.")
    if common and not whole:
        names = ", ".join(BY_KEY[key].name for key in common)
        notes.append(f"Partial mean: over the metrics that all of them have ({names}); no overall score.")
    ours = [system for system in systems if system.runs]
    if ours:
        used = [column for key, column in BY_KEY.items() if any(key in system.cells for system in ours)]
        notes += blocks.notes(ours, used)
    if not all(comparable(systems[0], other) for other in systems):
        notes.append(
            "No difference is given between systems of which one has labels that the other has not, or that "
            "were run on different parts of a corpus."
        )
    return notes


def comparable(first: System, other: System) -> bool:
    """May the two be subtracted? Only with the same labels: a demo run has nothing to do with a real one.

    Two on parts of a corpus only if no task was run on other data by the one than by the other.
    """
    one, two = ({result.task: result.corpus.hash for _, result in each.runs} for each in (first, other))
    other_parts = any(one[task] != two[task] for task in one.keys() & two.keys())
    return _kind(first) == _kind(other) and not (PARTIAL in first.labels and other_parts)


def _kind(system: System) -> frozenset[str]:
    # Random weights make a system a bad one, but on the same speech a comparable one.
    return frozenset(system.labels) - {"untrained"}


def alike(systems: Sequence[System]) -> list[list[System]]:
    """The systems in groups of the same labels, those without labels first."""
    groups: dict[frozenset[str], list[System]] = {}
    for system in systems:
        groups.setdefault(_kind(system), []).append(system)
    return [groups[kind] for kind in sorted(groups, key=sorted)]


def tested(first: System, other: System) -> Outcomes:
    """The tests of `other` against `first` by metric; why there are none where the two cannot be tested."""
    return _untestable(first, other) or statistics.compare(first.items, other.items)


def tests_table(groups: Iterable[tuple[System, Sequence[tuple[System, Outcomes]]]]) -> Table:
    """The first system of each group, and the others with their tests against it: p-values, what follows."""
    parts: list[Block] = []
    notes: list[str] = []
    for first, others in groups:
        tests: list[tuple[Cell, ...]] = []
        for other, outcomes in others:
            if isinstance(outcomes, str):
                notes.append(f"{other.name} against {first.name} is not tested: {outcomes}.")
                continue
            tests += [_tested(first, other, key, outcome) for key, outcome in outcomes.items()]
        if tests:
            warning = blocks.warning([first, *(other for other, _ in others)])
            parts.append(Block(blocks.LABELLED if warning else "Paired tests", tuple(tests), warning))
    notes += [
        "Both systems on the same test items. The p-values are of one comparison each and not corrected for "
        "their number: of twenty equal pairs about one falls below 0.05.",
        "Tests see the chance of the test items only; another seed of the training can move a number "
        "further.",
    ]
    heads = (
        "Second – first",
        "Metric",
        "Difference",
        "95 % interval",
        "p",
        "Matched pairs p",
        "Reading",
        "Test",
    )
    return made("tests", "Paired tests", of_cells(map(Head, heads)), parts, notes)


def _untestable(first: System, other: System) -> str:
    """Why the two cannot be tested, or nothing."""
    lacking = [system.name for system in (first, other) if not system.items]
    if lacking:
        return f"no test items of {' and '.join(lacking)} are at hand"
    if comparable(first, other):
        return ""
    same = _kind(first) == _kind(other)
    return "they were run on different parts of a corpus" if same else "one has labels that the other has not"


def _tested(first: System, other: System, key: str, outcome: Comparison | str) -> tuple[Cell, ...]:
    column = BY_KEY.get(key)
    pair = (text(f"{other.name} – {first.name}"), text(OVERALL if column is None else column.header))
    if isinstance(outcome, str):
        return (*pair, *[EMPTY] * 4, text(f"not tested: {outcome}"), EMPTY)

    def signed(percent: float) -> Cell:
        return _signed(percent, 2) if column is None else _signed(column.in_unit(percent), column.digits)

    around, matched = outcome.interval, outcome.matched_pairs
    ends = [] if around is None else [signed(around.low).text, signed(around.high).text]
    # A column of p-values needs no "p =".
    shown = [p_text(p).removeprefix("p ").removeprefix("= ") for p in (outcome.p, matched or 0.0)]
    return (
        *pair,
        signed(outcome.difference),
        text(" to ".join(ends)),
        Cell(shown[0], outcome.p),
        EMPTY if matched is None else text(shown[1]),
        text(outcome.verdict(first.name, other.name)),
        text(outcome.method),
    )
