"""A table as Markdown, LaTeX and CSV, and the page of all tables and figures, from templates/."""

from __future__ import annotations

import base64
import dataclasses
import functools
import itertools
import re
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from reports.figures.style import short
from reports.store import MAKE_ONE
from reports.table import MISSING, Block, Cell, Table, harmless, printable
from upstream_arm.common.files import csv_text

if TYPE_CHECKING:
    import jinja2

    from reports.figures.style import Picture

# Markdown


def to_markdown(table: Table, level: int = 2) -> str:
    """The table with its title as a heading, one Markdown table a block, notes as a list."""
    parts = [f"{'#' * level} {_plain(table.title)}"]
    for block in table.blocks:
        parts.append(f"{'#' * (level + 1)} {_plain(block.title)}")
        if block.warning:
            parts.append(f"> {_plain(block.warning)}")
        texts = [head.text for head in table.heads]
        # The group is printed where it is needed to tell a column from another.
        groups = [f" ({head.group.lower()})" if texts.count(head.text) > 1 else "" for head in table.heads]
        heads = [_plain(text + group) for text, group in zip(texts, groups, strict=True)]
        sides = ["--:" if numeric else ":--" for numeric in _numeric(table, [block])]
        lines = [heads, sides, *([_markdown_cell(cell) for cell in row] for row in block.rows)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    if table.notes:
        parts.append("\n".join(f"- {_plain(note)}" for note in table.notes))
    return "\n\n".join(parts) + "\n"


def _numeric(table: Table, blocks: Sequence[Block]) -> list[bool]:
    """For each column whether any of these blocks has a number in it."""
    rows = [row for block in blocks for row in block.rows]
    return [any(row[index].value is not None for row in rows) for index in range(len(table.heads))]


def _markdown_cell(cell: Cell) -> str:
    around = {"best": "**", "second": "<u>", "": ""}[cell.emphasis]
    return f"{around}{_plain(cell.text)}{around.replace('<', '</')} {cell.marks}".rstrip()


def _plain(text: str) -> str:
    """Text in one line that neither ends a cell nor starts markup, a link or a formula."""
    one_line = re.sub(r"([\\|*<`~$])", r"\\\1", " ".join(printable(text).split()))
    # Underscores within a word and brackets without an address are as they look.
    one_line = re.sub(r"(?<!\w)_|_(?!\w)", r"\\_", one_line).replace("](", r"]\(")
    return re.sub(r"&(?=#?\w+;)|^[#>]", lambda at: "\\" + at[0], one_line)


# CSV


def to_csv(table: Table) -> str:
    """One line a row, its block in front and its warning behind; missing values are empty, notes left out."""
    heads = (f"{head.group}: {head.text}" if head.group else head.text for head in table.heads)
    rows = [["Block", *heads, "Warning"]]
    for block in table.blocks:
        for row in block.rows:
            cells = ["" if cell.text == MISSING else f"{cell.text}{cell.marks}" for cell in row]
            rows.append([block.title, *cells, block.warning])
    return csv_text([map(harmless, row) for row in rows])


# LaTeX

#: Text longer than this is set in several lines.
WIDE = 34
#: A float holds no more lines than this, of a warning so many letters each; longer tables are cut and say so.
LINES, LINE_LETTERS = 50, 100
#: Below a full one are so many lines of small print, and 3 in place of 2 of its lines that are free.
NOTE_LINES, NOTE_LETTERS = 8, 130
#: A word of more letters may be broken after each so many.
BREAKS = 20
_NAMED = {"\\": "backslash", "~": "asciitilde", "^": "asciicircum", "<": "less", ">": "greater", "|": "bar"}
_SIGNS = {
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    **{sign: rf"\text{name}{{}}" for sign, name in (_NAMED | {'"': "quotedbl"}).items()},
    # A row may not start with a bracket: \\ would take it for its argument.
    **{sign: f"{{{sign}}}" for sign in "[]"},
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "–": "--",
    "—": "---",
    "†": r"$^\dagger$",
    "‡": r"$^\ddagger$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "Δ": r"$\Delta$",
    "−": "$-$",
}


def to_latex(table: Table) -> str:
    """The table as a `table*` float with booktabs; detail columns are left out, notes follow in small print.

    Rows and notes beyond what a float has room for are left out, which a note says.
    """
    kept = [index for index, head in enumerate(table.heads) if not head.detail]
    left, blocks = LINES, []
    for block in table.blocks:
        rows = [[row[index] for index in kept] for row in block.rows]
        left -= _folded(block.warning, LINE_LETTERS)
        filled = list(itertools.accumulate(max(map(_lines, row)) for row in rows))
        fitting = tuple(row for row, lines in zip(rows, filled, strict=True) if lines <= left)
        left -= filled[-1]
        blocks += [dataclasses.replace(block, rows=fitting)] if fitting else []
    shown, total = (sum(len(block.rows) for block in some) for some in (blocks, table.blocks))
    cut = [f"The first {shown} of {total} rows; {table.key}.csv has all."] if shown < total else []
    notes = _fitting_notes(table, NOTE_LINES + 3 * max(left, 0) // 2)
    heads, numeric = [table.heads[index] for index in kept], _numeric(table, table.blocks)
    groups, last = [], 0
    for name, members in itertools.groupby(heads, key=lambda head: head.group):
        first, last = last + 1, last + len(list(members))
        groups.append((name, first, last))
    return _template("table.tex").render(
        key=table.key,
        caption=re.sub(r"^Table [0-9]+: ", "", table.title),
        heads=heads,
        groups=groups,
        sides="".join("r" if numeric[index] else "l" for index in kept),
        blocks=blocks,
        notes=[*cut, *notes],
    )


def to_latex_document(keys: Sequence[str]) -> str:
    """A whole document that \\input's these tables, to see them and to copy its preamble."""
    return _template("document.tex").render(keys=keys)


def _lines(cell: Cell) -> int:
    # 5.2 cm hold 24 letters at least.
    return _folded(cell.text, 24) if len(cell.text) > WIDE else 1


def _folded(text: str, letters: int) -> int:
    """In how many lines of so many letters a text is set."""
    return -(-len(text) // letters)


def _fitting_notes(table: Table, room: int) -> Sequence[str]:
    """The notes that so many lines hold, and what is said of the others."""
    filled = list(itertools.accumulate(_folded(note, NOTE_LETTERS) for note in table.notes))
    if not filled or filled[-1] <= room:
        return table.notes
    kept = [note for note, lines in zip(table.notes, filled, strict=True) if lines < room]
    return [*kept, f"The first {len(kept)} of {len(filled)} notes; the Markdown table has all."]


def _latex_note(note: str) -> str:
    """A note whose long words, such as paths and checksums, may be broken."""
    parts = ([word[at : at + BREAKS] for at in range(0, len(word), BREAKS)] for word in note.split())
    return " ".join(r"\allowbreak{}".join(map(escape, part)) for part in parts)


def _latex_cell(cell: Cell) -> str:
    body = escape(cell.text)
    if cell.emphasis:
        body = rf"\{'textbf' if cell.emphasis == 'best' else 'underline'}{{{body}}}"
    if len(cell.text) > WIDE and cell.value is None:
        # A long name is one word, which would run into the next column.
        body = body.replace(r"\_", r"\_\allowbreak{}")
        body = rf"\parbox[t]{{5.2cm}}{{\raggedright {body}\strut}}"
    return body + escape(cell.marks)


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; letters that its fonts lack become ASCII or a question mark."""
    letters = []
    for sign in " ".join(printable(text).split()):
        plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
        known = _SIGNS.get(sign) or "".join(_SIGNS.get(one, one) for one in plain if one.isprintable())
        letters.append(known or "?")
    return "".join(letters)


#: Name of `--format` -> how a table is written.
FORMATS: dict[str, Callable[[Table], str]] = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv}

# HTML

TEMPLATES = Path(__file__).parent / "templates"
#: The head of the column that says where a row is from.
SOURCE = "Source"


def to_page(
    first: Sequence[Table],
    details: Sequence[Table],
    others: Sequence[Table],
    pictures: Sequence[Picture],
    problems: Sequence[str] = (),
    notes: Sequence[str] = (),
) -> str:
    """The whole page, which needs nothing else. Sentences of `problems` and `notes` stand on top.

    first: of ours, above the figures. details: of ours, below them. others: published, folded at the end.
    """
    images = [(one, base64.b64encode(one.svg).decode("ascii")) for one in pictures]
    parts = [[_without_sources(table) for table in some] for some in (first, details, others)]
    numeric = {table.key: _numeric(table, table.blocks) for some in parts for table in some}
    page = _template("page.html").render(
        first=parts[0],
        details=parts[1],
        others=parts[2],
        numeric=numeric,
        images=images,
        problems=problems,
        notes=notes,
        example=MAKE_ONE,
    )
    return printable(page)


def _without_sources(table: Table) -> Table:
    """The table with its column of sources as notes: one that is the same in many rows is read once."""
    texts = [head.text for head in table.heads]
    if SOURCE not in texts:
        return table
    place = texts.index(SOURCE)
    names: dict[str, list[str]] = {}
    for row in (row for block in table.blocks for row in block.rows):
        names.setdefault(row[place].text, []).append(row[0].text)

    def cut(row: tuple[Any, ...]) -> tuple[Any, ...]:
        return (*row[:place], *row[place + 1 :])

    blocks = tuple(dataclasses.replace(block, rows=tuple(map(cut, block.rows))) for block in table.blocks)
    notes = [f"{source}: {', '.join(dict.fromkeys(some))}." for source, some in names.items()]
    return dataclasses.replace(table, heads=cut(table.heads), blocks=blocks, notes=(*table.notes, *notes))


def _capped(text: str, length: int) -> str:
    """A row's name for the page: no word of it longer than `length`; labels, which are short, stay whole."""
    return " ".join(short(word, length) for word in text.split(" "))


def environment_of(*folders: Path) -> jinja2.Environment:
    """For the templates in these folders: HTML is escaped, and a name without a value is an error."""
    import jinja2

    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folders),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


@functools.cache
def _template(name: str) -> jinja2.Template:
    """A template; those of LaTeX have << >>, <% %> and <# #>, as LaTeX's own text is full of braces."""
    environment = environment_of(TEMPLATES)
    if name.endswith(".tex"):
        environment.block_start_string, environment.block_end_string = "<%", "%>"
        environment.variable_start_string, environment.variable_end_string = "<<", ">>"
        environment.comment_start_string, environment.comment_end_string = "<#", "#>"
    environment.filters.update(tex=escape, tex_cell=_latex_cell, tex_note=_latex_note, capped=_capped)
    environment.globals["MISSING"] = MISSING
    return environment.get_template(name)
