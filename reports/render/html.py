"""The page: all tables and figures in one file that needs nothing else."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

from reports.render.page import GUIDE, SCRIPT, STYLE
from reports.tables.model import MISSING, Block, Cell, Head, Table

#: Text longer than this may be broken into lines.
LONG = 60
#: A table of more rows than this scrolls within the page, with its head in sight.
TALL = 60
# Nothing may be loaded or sent: the page shows what is in it.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:"


@dataclass(frozen=True)
class Picture:
    """A figure of the page: its file name without ending, a caption that describes it, and the SVG."""

    key: str
    caption: str
    svg: bytes


def render(
    tables: Sequence[Table], pictures: Sequence[Picture], problems: Sequence[str], notes: Sequence[str]
) -> str:
    """The whole page. Sentences of `problems` and `notes` stand on top."""
    links = [(table.key, table.title) for table in tables] + ([("figures", "Figures")] if pictures else [])
    said = [*(f"Not used: {problem}" for problem in problems), *notes]
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        "<title>SUPERB report</title>",
        f"<style>{STYLE}</style>",
        "</head>",
        "<body>",
        "<h1>SUPERB report</h1>",
        '<nav aria-label="Contents"><ul>',
        *(f'<li><a href="#{key}">{escape(title)}</a></li>' for key, title in links),
        "</ul></nav>",
        *(f'<p class="warning">{escape(sentence)}</p>' for sentence in said),
        '<section class="guide" id="guide"><h3>How to read this</h3><ul>',
        *(f"<li>{sentence}</li>" for sentence in GUIDE),
        "</ul></section>",
        *(_table(table) for table in tables),
        *_figures(pictures),
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _figures(pictures: Sequence[Picture]) -> list[str]:
    if not pictures:
        return []
    parts = ['<section id="figures"><h2>Figures</h2><div class="figures">']
    for picture in pictures:
        data = base64.b64encode(picture.svg).decode("ascii")
        caption = escape(picture.caption)
        parts.append(
            f'<figure id="{picture.key}"><img src="data:image/svg+xml;base64,{data}" alt="{caption}">'
            f"<figcaption>{caption}</figcaption></figure>"
        )
    return [*parts, "</div></section>"]


def _table(table: Table) -> str:
    parts = [f'<section id="{table.key}"><h2>{escape(table.title)}</h2>']
    parts.append(_grid(table.heads, table.blocks))
    if table.notes:
        parts += ['<ul class="notes">', *(f"<li>{escape(note)}</li>" for note in table.notes), "</ul>"]
    return "\n".join([*parts, "</section>"])


def _grid(heads: Sequence[Head], blocks: Sequence[Block]) -> str:
    """One table with a body for each block, so that columns align and sorting stays within blocks."""
    if not blocks:
        return ""
    rows = [row for block in blocks for row in block.rows]
    numeric = [any(row[index].value is not None for row in rows) for index in range(len(heads))]
    kind = "scroll tall" if len(rows) > TALL else "scroll"
    parts = [f'<div class="{kind}" tabindex="0"><table><thead><tr>']
    for head, is_number in zip(heads, numeric, strict=True):
        first = "descending" if "↑" in head.text else "ascending"
        group = f"<small>{escape(head.group)}</small>" if head.group else ""
        side = ' class="n"' if is_number else ""
        # The arrow stays on its word's line where a head is broken into two.
        title = escape(head.text).replace(" ↑", "\u00a0↑").replace(" ↓", "\u00a0↓")
        button = f'<button type="button">{title}</button>'
        parts.append(f'<th scope="col"{side} data-first="{first}">{group}{button}</th>')
    parts.append("</tr></thead>")
    for block in blocks:
        warning = f'<span class="warning">{escape(block.warning)}</span>' if block.warning else ""
        title = f'<div class="title"><b>{escape(block.title)}</b>{warning}</div>'
        parts.append(
            f'<tbody><tr class="block"><th colspan="{len(heads)}" scope="colgroup">{title}</th></tr>'
        )
        parts += [f"<tr>{_cells(row, numeric)}</tr>" for row in block.rows]
        parts.append("</tbody>")
    return "\n".join([*parts, "</table></div>"])


def _cells(row: Sequence[Cell], numeric: Sequence[bool]) -> str:
    return "".join(
        _cell(cell, is_number, index == 0)
        for index, (cell, is_number) in enumerate(zip(row, numeric, strict=True))
    )


def _cell(cell: Cell, is_number: bool, first: bool) -> str:
    body = escape(cell.text)
    if first:
        body = body.replace("_", "_<wbr>")  # where a narrow screen may break an upstream's name
    if cell.emphasis:
        tag = "b" if cell.emphasis == "best" else "u"
        body = f"<{tag}>{body}</{tag}>"
    if cell.marks:
        body += f"&thinsp;{escape(cell.marks)}"
    kind = "n" if is_number else "long" if len(cell.text) > LONG and not first else ""
    attributes = f' class="{kind}"' if kind else ""
    if cell.value is not None:
        attributes += f' data-v="{cell.value!r}"'
    if cell.text == MISSING:
        attributes += ' data-empty="1"'
    tag = 'th scope="row"' if first else "td"
    return f"<{tag}{attributes}>{body}</{tag.split()[0]}>"
