"""`python -m reports build` and `paper`: tables, figures and the page, of published rows and our results."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from reports import compare, figures, files, parallel
from reports.figures.style import Picture
from reports.gather import Collection, evidence_of, gather
from reports.render import csvfile, html, latex, markdown
from reports.rows import Row
from reports.statistics.resample import Interval
from reports.statistics.systems import uncertainty
from reports.tables import leaderboard, runs, selection, systems, table1, table2, table3, table4
from reports.tables.model import Table

OUT = Path("reports") / "out"
PAGE = "index.html"
#: Figures and tests of all pairs name at most this many of our rows; the tables name all.
SHOWN = 4
#: Rows whose test items one process reads and resamples before it takes the next job.
PART = 4


def paper(places: Sequence[Path], out: Path) -> tuple[list[Path], Collection]:
    """Write Tables 1 to 4 with our block; returns the files and what was found."""
    collection = gather(places)
    wrong = [problem for row in collection.rows for problem in evidence_of(row)[1]]
    collection = dataclasses.replace(collection, problems=(*collection.problems, *wrong))
    contents = _table_files(_paper_tables(collection.rows), "paper.tex")
    files.write_all(out, contents, prune=False)
    return [out / name for name in contents], collection


def build(places: Sequence[Path], out: Path) -> tuple[list[Path], Collection]:
    """Write everything; returns the files and what was found. Equal inputs give equal bytes."""
    with parallel.uncollected():
        with parallel.started([lambda: gather(places)]) as reading:
            parallel.load("numpy", "scipy.special", *figures.MODULES)
            collection: Collection = reading[0]()
        rows = collection.rows
        parts = [rows[start : start + PART] for start in range(0, len(rows), PART)]
        measuring: list[parallel.Job] = [functools.partial(_measured, part) for part in parts]
        with parallel.started([*measuring, *figures.without_intervals(rows, SHOWN)]) as waiting:
            measured: list[_Measured] = [one for wait in waiting[: len(parts)] for one in wait()]
            wrong = [problem for one in measured for problem in one.problems]
            collection = dataclasses.replace(collection, problems=(*collection.problems, *wrong))
            tables = _tables(collection.rows, measured)
            pictures = figures.of_intervals(rows, {one.row: one.intervals for one in measured}, SHOWN)
            pictures += [picture for wait in waiting[len(parts) :] for picture in wait()]
        contents = _contents(tables, figures.ordered(pictures), collection)
        files.write_all(out, contents, prune=True)
    return [out / name for name in contents], collection


@dataclass(frozen=True)
class _Measured:
    """What the test items of a row give: intervals by column key, which tests they allow, what is wrong."""

    row: str
    intervals: Mapping[str, Interval]
    testable: bool
    problems: tuple[str, ...]


def _measured(rows: Sequence[Row]) -> list[_Measured]:
    found = []
    for row in rows:
        evidence, problems = evidence_of(row)
        intervals = uncertainty(evidence).intervals
        found.append(_Measured(row.name, intervals, bool(evidence), tuple(problems)))
    return found


def _tables(rows: Sequence[Row], measured: Sequence[_Measured]) -> list[Table]:
    intervals = {one.row: one.intervals for one in measured}
    overall = {row: found["overall"] for row, found in intervals.items() if "overall" in found}
    having = {one.row for one in measured if one.testable}
    tables = [*_paper_tables(rows), systems.table(rows, overall), leaderboard.table()]
    ours = (
        selection.table(rows),
        runs.table(rows, intervals),
        _tests([row for row in rows if row.name in having]),
    )
    return tables + [table for table in ours if table is not None]


def _contents(
    tables: Sequence[Table], pictures: Sequence[Picture], collection: Collection
) -> dict[str, bytes]:
    contents = _table_files(tables, "all.tex")
    contents["report.md"] = _report(tables)
    for picture in pictures:
        contents[f"figures/{picture.key}.svg"] = picture.svg
        contents[f"figures/{picture.key}.png"] = picture.png
    shown = [html.Picture(picture.key, picture.caption, picture.svg) for picture in pictures]
    contents[PAGE] = html.render(tables, shown, collection.problems, collection.notes).encode()
    return contents


def _paper_tables(rows: Sequence[Row]) -> list[Table]:
    return [table1.table(rows), table2.table(rows), table3.table(rows), table4.table(rows)]


def _tests(rows: Sequence[Row]) -> Table | None:
    """Paired tests of the first of these rows, each against the first of the same labels."""
    groups = [group for group in compare.alike(compare.of_rows(rows)) if len(group) > 1]
    if not groups:
        return None
    table = compare.tests_table([compare.with_evidence(group[:SHOWN])[0] for group in groups])
    left_out = sum(max(0, len(group) - SHOWN) for group in groups)
    note = f"{left_out} more rows of ours: python -m reports compare FIRST SECOND tests any two of them."
    return dataclasses.replace(table, notes=(*table.notes, note)) if left_out else table


def _table_files(tables: Sequence[Table], document: str) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for table in tables:
        for ending, render in (("md", markdown.render), ("tex", latex.render), ("csv", csvfile.render)):
            found[f"tables/{table.key}.{ending}"] = render(table).encode()
    found[f"tables/{document}"] = latex.document([table.key for table in tables]).encode()
    return found


def _report(tables: Sequence[Table]) -> bytes:
    return "\n".join(["# SUPERB report\n", *(markdown.render(table) for table in tables)]).encode()


def summary(paths: Sequence[Path], collection: Collection, out: Path) -> str:
    """What was made and where, in a few lines."""
    number = len(collection.rows)
    runs_read = sum(len(row.runs) for row in collection.rows)
    said = [
        f"{runs_read} results of ours in {number} rows"
        if number
        else "no results of ours: published rows only"
    ]
    kinds: Mapping[str, int] = {
        kind: sum(path.suffix == ending for path in paths)
        for kind, ending in (
            ("Markdown", ".md"),
            ("LaTeX", ".tex"),
            ("CSV", ".csv"),
            ("SVG", ".svg"),
            ("PNG", ".png"),
        )
    }
    said.append(", ".join(f"{count} {kind}" for kind, count in kinds.items() if count) + f" files in {out}/")
    page = out / PAGE
    if page in paths:
        said.append(f"open {page} in a browser")
    return "\n".join(said)
