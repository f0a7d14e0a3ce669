"""`python -m reports build` and `paper`: tables, figures and the page, of published rows and our results."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from reports import compare, figures, render
from reports.item_files import items_of
from reports.ours import Collection, gather, sharer
from reports.statistics.resample import Interval
from reports.statistics.systems import intervals
from reports.systems import OURS, THEIRS, System
from reports.table import Table
from reports.tables import mine, overview, own, paper
from upstream_arm.common import stages
from upstream_arm.common.errors import ReportError
from upstream_arm.common.files import atomic_write_bytes
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.reading import read_text

if TYPE_CHECKING:
    from reports.figures.style import Picture

PAGE = "index.html"
#: Names the files of the last report in a folder, so that the next one removes what it no longer makes.
MANIFEST = ".report.json"
#: Figures and tests of all pairs name at most this many of our systems; the tables name all.
SHOWN = 4
#: In place of a row's name: ours alone, without the published tables.
MINE = "mine"
_KINDS = {".md": "Markdown", ".tex": "LaTeX", ".csv": "CSV", ".svg": "SVG", ".png": "PNG"}


def write(
    places: Sequence[Path], out: Path, *, whole: bool, costs: bool = False, only: Sequence[str] = ()
) -> tuple[list[Path], Collection]:
    """Write Tables 1 to 4, or the `whole` report; returns the files and what was found.

    costs: with what the upstreams cost. only: names of rows of ours, the others are left out; with MINE the
    published tables and figures are. Equal inputs give equal bytes.
    """
    collection = gather(places)
    chosen = [name for name in only if name != MINE]
    if chosen:
        rows = {system.name: system for system in compare.find(chosen, collection, others=())}
        collection = dataclasses.replace(collection, systems=tuple(rows[name] for name in sorted(rows)))
    others = MINE not in only
    if not others:
        own_runs = tuple(one for one in collection.own if not sharer(one[0]))
        collection = dataclasses.replace(
            collection, systems=tuple(one for one in collection.systems if not one.by), own=own_runs
        )
    ours = collection.systems
    around, groups, problems = _measured(ours, whole)
    collection = dataclasses.replace(collection, problems=(*collection.problems, *problems))
    tables = paper.tables(ours, costs) if others else []
    pictures: list[Picture] = []
    if whole:
        tables += [overview.systems(ours, around, costs), overview.leaderboard()] if others else []
        first, details = _ours(collection, around, groups)
        with stages.stage("drawing figures"):
            pictures = figures.draw(ours, around, SHOWN, others)
        page = render.to_page(first, details, tables, pictures, collection.problems, collection.notes)
        tables = [*first, *tables, *details]
    contents = {
        f"tables/{table.key}.{ending}": to_text(table).encode()
        for table in tables
        for ending, to_text in zip(("md", "tex", "csv"), render.FORMATS.values(), strict=True)
    }
    document = render.to_latex_document([table.key for table in tables])
    contents[f"tables/{'all' if whole else 'paper'}.tex"] = document.encode()
    for picture in pictures:
        contents[f"figures/{picture.key}.svg"] = picture.svg
        contents[f"figures/{picture.key}.png"] = picture.png
    if whole:
        contents["report.md"] = "\n".join(["# SUPERB report\n", *map(render.to_markdown, tables)]).encode()
        contents[PAGE] = page.encode()
    write_all(out, contents, prune=whole)
    return [out / name for name in contents], collection


def _ours(
    collection: Collection, around: Mapping[str, Mapping[str, Interval]], groups: Sequence[mine.Group]
) -> tuple[list[Table], list[Table]]:
    """What a reader looks for first, our rows and their differences to others; and what is behind these."""
    ours = collection.systems
    pairs = mine.differences(ours, groups, SHOWN)
    other_tasks = own.table(collection.own) if collection.own else None
    first = (mine.table(ours), mine.deltas(pairs, len(ours) - SHOWN), other_tasks)
    details = (_tests(groups), overview.selection(ours), overview.runs(ours, around))
    return [table for table in first if table is not None], [table for table in details if table is not None]


def _measured(
    systems: Sequence[System], tests: bool
) -> tuple[dict[str, Mapping[str, Interval]], list[mine.Group], list[str]]:
    """The intervals by name, the paired tests, and what is wrong with test items.

    Tested are the first SHOWN that have items, each against the first of the same labels. Every file is read
    once, and the items of a first system alone are kept: they are by far the largest part of all runs.
    """
    around: dict[str, Mapping[str, Interval]] = {}
    problems: dict[str, list[str]] = {}
    groups: list[mine.Group] = []
    for group in compare.alike(systems):
        having: list[System] = []
        outcomes: list[tuple[System, compare.Outcomes]] = []
        for system in stages.bar(group, "resampling test items", len(group), delay=stages.SECONDS):
            named = tests and len(outcomes) < SHOWN - 1
            items, problems[system.name] = items_of(system.runs, named)
            around[system.name] = intervals(items)
            if items and having and named:
                other = dataclasses.replace(system, items=items)
                outcomes.append((system, compare.tested(having[0], other)))
            if items:
                having.append(system if having else dataclasses.replace(system, items=items))
        if outcomes:
            groups.append(mine.Group(dataclasses.replace(having[0], items={}), outcomes, len(having)))
    return around, groups, [problem for system in systems for problem in problems[system.name]]


def _tests(groups: Sequence[mine.Group]) -> Table | None:
    """The paired tests of all groups; None without any."""
    if not groups:
        return None
    table = compare.tests_table((group.first, group.others) for group in groups)
    left_out = sum(max(0, group.size - SHOWN) for group in groups)
    note = f"{left_out} more rows of ours: {PROGRAM} compare FIRST SECOND tests any two of them."
    return dataclasses.replace(table, notes=(*table.notes, note)) if left_out else table


def summary(paths: Sequence[Path], collection: Collection, out: Path) -> str:
    """What was made and where, in a few lines."""
    lines = []
    for source in (OURS, THEIRS):
        some = [system for system in collection.systems if system.source == source]
        if some:
            number = _counted(sum(len(one.runs) for one in some), "result")
            lines.append(f"{number} of {source} in {_counted(len(some), 'row')}")
    if not collection.systems:
        lines = ["no results of ours on SUPERB's tasks: published rows only"]
    lines += [
        f"{_counted(len(collection.own), 'result')} on tasks of one's own, in {path}"
        for path in paths
        if path.name == "own.md"
    ]
    counts = Counter(path.suffix for path in paths)
    kinds = [f"{counts[ending]} {kind}" for ending, kind in _KINDS.items() if counts[ending]]
    lines.append(f"{', '.join(kinds)} files in {out}/")
    lines += [f"open {path} in a browser" for path in paths if path.name == PAGE]
    return "\n".join(lines)


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"


def write_all(folder: Path, contents: Mapping[str, bytes], *, prune: bool) -> None:
    """Write files by their paths within `folder`; `prune` removes those that only an earlier report made.

    An unchanged file is left alone. Raises ReportError for what cannot be written.
    """
    earlier: object = []
    if prune:
        with contextlib.suppress(OSError, ValueError, RecursionError):
            earlier = json.loads(read_text(folder / MANIFEST))
        contents = {**contents, MANIFEST: (json.dumps(sorted(contents), indent=1) + "\n").encode()}
    for name, content in contents.items():
        path = folder / name
        try:
            if not path.is_file() or path.read_bytes() != content:
                atomic_write_bytes(path, content)
        except OSError as error:
            raise ReportError(
                f"{path} cannot be written ({error.strerror}), a folder for the report was expected; name "
                "another with --to"
            ) from None
    for name in earlier if isinstance(earlier, list) else []:
        gone = isinstance(name, str) and name not in contents
        if gone and (folder / name).resolve().is_relative_to(folder.resolve()):
            (folder / name).unlink(missing_ok=True)
