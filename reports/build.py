"""`python -m reports build` and `paper`: tables, figures and the page, of published rows and our results."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from reports import files
from reports.gather import Collection, gather
from reports.render import csvfile, html, latex, markdown
from reports.rows import Row
from reports.tables import leaderboard, runs, selection, systems, table1, table2, table3, table4
from reports.tables.model import Table

OUT = Path("reports") / "out"
PAGE = "index.html"
#: Figures and tests of all pairs name at most this many of our rows; the tables name all.
SHOWN = 4


def paper(places: Sequence[Path], out: Path) -> tuple[list[Path], Collection]:
    """Write Tables 1 to 4 with our block; returns the files and what was found."""
    collection = gather(places)
    contents = _table_files(_paper_tables(collection.rows), "paper.tex")
    files.write_all(out, contents, prune=False)
    return [out / name for name in contents], collection


def build(places: Sequence[Path], out: Path) -> tuple[list[Path], Collection]:
    """Write everything; returns the files and what was found. Equal inputs give equal bytes."""
    from reports import figures
    from reports.statistics.systems import uncertainty

    collection = gather(places)
    intervals = {row: dict(uncertainty(found).intervals) for row, found in collection.evidence.items()}
    overall = {row: found["overall"] for row, found in intervals.items() if "overall" in found}
    tables = [*_paper_tables(collection.rows), systems.table(collection.rows, overall), leaderboard.table()]
    tables += [
        table
        for table in (
            selection.table(collection.rows),
            runs.table(collection.rows, intervals),
            _tests(collection),
        )
        if table is not None
    ]
    pictures = figures.draw(collection.rows, intervals, SHOWN)
    contents = _table_files(tables, "all.tex")
    contents["report.md"] = _report(tables)
    for picture in pictures:
        contents[f"figures/{picture.key}.svg"] = picture.svg
        contents[f"figures/{picture.key}.png"] = picture.png
    shown = [html.Picture(picture.key, picture.caption, picture.svg) for picture in pictures]
    contents[PAGE] = html.render(tables, shown, collection.problems, collection.notes).encode()
    files.write_all(out, contents, prune=True)
    return [out / name for name in contents], collection


def _paper_tables(rows: Sequence[Row]) -> list[Table]:
    return [table1.table(rows), table2.table(rows), table3.table(rows), table4.table(rows)]


def _tests(collection: Collection) -> Table | None:
    """Paired tests of the first rows with test items, each against the first of the same labels."""
    from reports import compare

    having = [row for row in collection.rows if collection.evidence[row.name]]
    groups = [group for group in compare.alike(compare.of_rows(having, collection)) if len(group) > 1]
    if not groups:
        return None
    table = compare.tests_table([group[:SHOWN] for group in groups])
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
