"""A table as LaTeX with booktabs: a floating table to be pasted or \\input."""

from __future__ import annotations

import dataclasses
import re
import unicodedata
from collections.abc import Sequence
from itertools import groupby

from reports.tables.model import Block, Cell, Head, Table

#: Text longer than this is set in several lines.
WIDE = 34
#: A float holds no more lines than this; longer tables are cut, and say so.
LINES = 50
_SIGNS = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "$": r"\$",
    "#": r"\#",
    "_": r"\_",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "[": "{[}",  # a row may not start with a bracket: \\ would take it for its argument
    "]": "{]}",
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


def render(table: Table) -> str:
    """The table as a `table*` float; columns marked as detail are left out, notes follow in small print."""
    kept = [index for index, head in enumerate(table.heads) if not head.detail]
    heads = [table.heads[index] for index in kept]
    sides = "".join("r" if _numeric(table, index) else "l" for index in kept)
    lines = [
        r"\begin{table*}[t]",
        r"\centering",
        rf"\caption{{{escape(re.sub(r'^Table [0-9]+: ', '', table.title))}}}",
        rf"\label{{tab:{table.key}}}",
        r"\resizebox{\ifdim\width>\textwidth\textwidth\else\width\fi}{!}{%",
        rf"\begin{{tabular}}{{{sides}}}",
        r"\toprule",
        *_group_line(heads),
        " & ".join(escape(head.text) for head in heads) + r" \\",
    ]
    blocks = _fitting(table.blocks, kept)
    for block in blocks:
        lines += [r"\midrule", *_block(block, kept)]
    notes = table.notes
    shown, total = (sum(len(block.rows) for block in some) for some in (blocks, table.blocks))
    if shown < total:
        notes = (f"The first {shown} of {total} rows; {table.key}.csv has all.", *notes)
    lines += [r"\bottomrule", r"\end{tabular}}", *_notes(notes), r"\end{table*}"]
    return "\n".join(lines) + "\n"


def document(keys: Sequence[str]) -> str:
    """A whole document that \\input's these tables, to see them and to copy its preamble."""
    return "\n".join(
        [
            r"\documentclass[10pt]{article}",
            r"\usepackage[T1]{fontenc}",
            r"\usepackage[utf8]{inputenc}",
            r"\usepackage[margin=1.5cm]{geometry}",
            r"\usepackage{booktabs,graphicx}",
            r"\begin{document}",
            *(rf"\input{{{key}.tex}}\clearpage" for key in keys),
            r"\end{document}",
            "",
        ]
    )


def _numeric(table: Table, index: int) -> bool:
    return any(row[index].value is not None for block in table.blocks for row in block.rows)


def _group_line(heads: Sequence[Head]) -> list[str]:
    if not any(head.group for head in heads):
        return []
    cells, rules, start = [], [], 1
    for group, members in groupby(heads, key=lambda head: head.group):
        width = len(list(members))
        cells.append(rf"\multicolumn{{{width}}}{{c}}{{{escape(group)}}}")
        if group:
            rules.append(rf"\cmidrule(lr){{{start}-{start + width - 1}}}")
        start += width
    return [" & ".join(cells) + r" \\", " ".join(rules)]


def _fitting(blocks: Sequence[Block], kept: Sequence[int]) -> list[Block]:
    """The first rows that a float has room for; a row of long text takes several lines."""
    left, found = LINES, []
    for block in blocks:
        rows = []
        for row in block.rows:
            left -= max(_lines(row[index]) for index in kept)
            if left >= 0:
                rows.append(row)
        if rows:
            found.append(dataclasses.replace(block, rows=tuple(rows)))
    return found


def _lines(cell: Cell) -> int:
    # 5.2 cm hold 24 letters at least.
    return -(-len(cell.text) // 24) if len(cell.text) > WIDE else 1


def _block(block: Block, kept: Sequence[int]) -> list[str]:
    lines = [rf"\multicolumn{{{len(kept)}}}{{l}}{{\textit{{{escape(block.title)}}}}} \\"]
    if block.warning:
        # Its own width would widen the first column, hence a box as wide as the page before it is scaled.
        box = rf"\parbox{{\textwidth}}{{{escape(block.warning)}}}"
        lines.append(rf"\multicolumn{{{len(kept)}}}{{l}}{{{box}}} \\")
    return lines + [" & ".join(_cell(row[index]) for index in kept) + r" \\" for row in block.rows]


def _cell(cell: Cell) -> str:
    body = escape(cell.text)
    if cell.emphasis:
        body = rf"\{'textbf' if cell.emphasis == 'best' else 'underline'}{{{body}}}"
    if len(cell.text) > WIDE and cell.value is None:
        # A long name is one word, which would run into the next column.
        body = body.replace(r"\_", r"\_\allowbreak{}")
        body = rf"\parbox[t]{{5.2cm}}{{\raggedright {body}\strut}}"
    return body + escape(cell.marks)


def _notes(notes: Sequence[str]) -> list[str]:
    if not notes:
        return []
    return [
        r"\par\smallskip\begin{minipage}{\textwidth}\scriptsize",
        *(escape(note) + r"\par" for note in notes),
        r"\end{minipage}",
    ]


def escape(text: str) -> str:
    """Text that LaTeX prints as it stands; letters that its fonts lack become ASCII or a question mark."""
    found = []
    for sign in " ".join(text.split()):
        if sign in _SIGNS:
            found.append(_SIGNS[sign])
        elif sign.isascii():
            found.append(sign if sign.isprintable() else "?")
        else:
            plain = unicodedata.normalize("NFKD", sign).encode("ascii", "ignore").decode()
            found.append("".join(_SIGNS.get(one, one) for one in plain) or "?")
    return "".join(found)
