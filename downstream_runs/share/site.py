"""A leaderboard of a repository of results: one page that needs nothing else, for any web server or none."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.results import OWN_TASK, Result
from downstream_runs.core.run_folder import RESULT
from downstream_runs.share import checked, repository
from reports import item_files, ours
from reports.columns import BY_KEY, COLUMNS
from reports.render import TEMPLATES, environment_of
from reports.statistics.systems import intervals
from reports.systems import System
from reports.table import MISSING, Cell, Table, printable
from reports.tables import blocks, own
from upstream_arm.common.errors import SuperbError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.stages import stage

if TYPE_CHECKING:
    from reports.statistics.resample import Interval

PAGE = "index.html"


@dataclass(frozen=True)
class Entry:
    """A row of the leaderboard.

    params, macs: millions of parameters and giga-MACs of SUPERB's 32 utterances; None where not measured.
    cells, around: by the keys of the columns; an interval has its ends, and whether it is rough.
    """

    name: str
    by: str
    params: float | None
    macs: float | None
    overall: Cell | None
    cells: Mapping[str, Cell]
    around: Mapping[str, str]
    labels: tuple[str, ...]


@dataclass(frozen=True)
class Line:
    """A number of a run, with what limits it."""

    entry: str
    by: str
    task: str
    number: str
    around: str
    split: str
    selection: str
    deviations: str
    bundle: str


@dataclass(frozen=True)
class Built:
    """What was written: the page, its rows, and why bundles are not on it."""

    page: Path
    entries: int
    refused: tuple[str, ...]


def build(where: str, out: Path) -> Built:
    """Write OUT/index.html from every bundle that agrees with itself; equal bundles give equal bytes."""
    with repository.opened(where) as source:
        results, refused = _checked(source)
        with stage("intervals"):
            systems = ours.systems([one for one in results if OWN_TASK not in one[1].config])
            entries, lines = _read(source, systems)
        others = [one for one in results if OWN_TASK in one[1].config]
        table = _without(own.table(others), "File", "Table") if others else None
        text = _page(repository.name_of(where), entries, lines, table, refused)
    page = out.expanduser() / PAGE
    atomic_write_text(page, text)
    return Built(page, len(entries), tuple(refused))


def _checked(source: Path) -> tuple[list[tuple[Path, Result]], list[str]]:
    results: list[tuple[Path, Result]] = []
    refused: list[str] = []
    folders = repository.listed(source)
    for number, folder in enumerate(folders):
        place = folder.relative_to(source).as_posix()
        with stage(f"check {number + 1} of {len(folders)}, {place}"):
            try:
                shared = repository.read(folder)
                checked.require(folder)
                results.append((folder / RESULT, shared.result))
            except (SuperbError, OSError) as error:
                refused.append(str(error).replace(str(folder), place))
    return results, refused


def _read(source: Path, systems: Sequence[System]) -> tuple[list[Entry], list[Line]]:
    """The rows, best overall first within those that can be compared, and every number behind them."""
    entries: list[Entry] = []
    lines: list[Line] = []
    for system in systems:
        items, _ = item_files.items_of(system.runs, named=False)
        around = intervals(items)
        overall = system.cells.get("overall")
        name = _name(system)
        size = float(system.params_m) if system.params_m else None
        entries.append(
            Entry(name, system.by, size, _macs(system), overall, system.cells, _short(around), system.labels)
        )
        lines += _lines(source, system, name, around)
    return sorted(entries, key=_rank), lines


def _rank(entry: Entry) -> tuple[bool, float, str]:
    """Rows without labels first, then by the overall score; without one last."""
    overall = None if entry.overall is None else entry.overall.value
    return bool(entry.labels), 1.0 if overall is None else -overall, entry.name


def _without(table: Table, *heads: str) -> Table:
    """A table without columns that say nothing to who has not the files."""
    kept = [place for place, head in enumerate(table.heads) if head.text not in heads]
    rows = [
        dataclasses.replace(block, rows=tuple(tuple(row[place] for place in kept) for row in block.rows))
        for block in table.blocks
    ]
    return dataclasses.replace(table, heads=tuple(table.heads[place] for place in kept), blocks=tuple(rows))


def _name(system: System) -> str:
    """The row's name without what has columns of its own."""
    return system.name.replace(f" [{', '.join([f'theirs: {system.by}', *system.labels])}]", "")


def _macs(system: System) -> float | None:
    for _, result in system.runs:
        found = result.efficiency.macs if result.efficiency is not None else (result.card or {}).get("macs")
        if found is not None:
            return float(found) / 1e9
    return system.profile.macs / 1e9 if system.profile is not None else None


def _short(around: Mapping[str, Interval]) -> dict[str, str]:
    """Intervals as they stand under numbers."""
    return {key: f"{_ends(key, one)}{' rough' if 'rough' in one.how else ''}" for key, one in around.items()}


def _ends(key: str, around: Interval) -> str:
    ends = (around.low, around.high)
    return " to ".join(BY_KEY[key].text(end) if key in BY_KEY else f"{end:.1f}" for end in ends)


def _lines(source: Path, system: System, name: str, around: Mapping[str, Interval]) -> list[Line]:
    return [
        Line(
            name,
            system.by,
            result.task,
            f"{column.name} {column.show(metric)}",
            MISSING if (one := around.get(column.key)) is None else f"{_ends(column.key, one)} ({one.how})",
            metric.split,
            metric.selection,
            blocks.deviations(result),
            path.parent.relative_to(source).as_posix(),
        )
        for path, result in system.runs
        for column in COLUMNS
        if column.task == result.task and (metric := result.headline(column.metric)) is not None
    ]


def _page(
    title: str,
    entries: Sequence[Entry],
    lines: Sequence[Line],
    others: Table | None,
    refused: Sequence[str],
) -> str:
    groups = [
        ("Comparable", [one for one in entries if not one.labels], ""),
        ("Not comparable", [one for one in entries if one.labels], _warning(entries)),
    ]
    text = (
        environment_of(Path(__file__).parent, TEMPLATES)
        .get_template("site.html")
        .render(
            title=title,
            columns=COLUMNS,
            groups=[group for group in groups if group[1]],
            lines=lines,
            others=others,
            refused=refused,
            missing=MISSING,
        )
    )
    return printable(text)


def _warning(entries: Sequence[Entry]) -> str:
    labels = {label for one in entries for label in one.labels}
    return "; ".join(f"{label}: {why}" for label, why in blocks.LABELS.items() if label in labels)
