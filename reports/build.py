"""`python -m reports build` and `paper`: tables, figures and the page, of published rows and our results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import compare, figures, files
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
    collection = gather(places)
    rows = collection.rows
    intervals: dict[str, Mapping[str, Interval]] = {}
    testable: list[Row] = []
    problems: list[str] = []
    for row in rows:
        evidence, wrong = evidence_of(row)
        intervals[row.name] = uncertainty(evidence).intervals
        testable += [row] if evidence else []
        problems += wrong
    collection = dataclasses.replace(collection, problems=(*collection.problems, *problems))
    tables = _tables(rows, intervals, testable)
    contents = _contents(tables, figures.draw(rows, intervals, SHOWN), collection)
    files.write_all(out, contents, prune=True)
    return [out / name for name in contents], collection


def _tables(
    rows: Sequence[Row], intervals: Mapping[str, Mapping[str, Interval]], testable: Sequence[Row]
) -> list[Table]:
    overall = {row: found["overall"] for row, found in intervals.items() if "overall" in found}
    tables = [*_paper_tables(rows), systems.table(rows, overall), leaderboard.table()]
    ours = (
        selection.table(rows),
        runs.table(rows, intervals),
        _tests(testable),
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
