"""The list of queries of a spoken term detection evaluation: `*.tlist.xml`.

Format: `<termlist ...><term termid="NAME"><termtext>NAME</termtext></term>...</termlist>`. Source: NIST 2006
Spoken Term Detection evaluation plan, as the QUESST ground truth uses it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

from downstream_runs.scoring import xmlfile
from downstream_runs.scoring.names import ScoringError
from upstream_arm.common.files import atomic_write_text


def read(path: Path) -> tuple[str, ...]:
    """The query names of a tlist file (`.gz` allowed), in the order of the file.

    Raises ScoringError for a file that is no termlist, holds no term, or names a term twice.
    """
    names: dict[str, None] = {}

    def visit(tag: str, attributes: dict[str, str]) -> None:
        if tag == "term":
            name = xmlfile.attribute(path, tag, attributes, "termid")
            if name in names:
                raise ScoringError(f"{path}: term {name!r} is there twice, once was expected")
            names[name] = None

    xmlfile.walk(path, "termlist", visit)
    if not names:
        raise ScoringError(f"{path} holds no term, <term termid=...> was expected")
    return tuple(names)


def write(path: Path, queries: Sequence[str], ecf: str, language: str = "multiple") -> None:
    """Write the names of `queries` as a tlist file that belongs to the document list named `ecf`."""
    terms = (
        f"<term termid={quoteattr(name)}><termtext>{escape(name)}</termtext></term>\n" for name in queries
    )
    head = f'<termlist ecf_filename={quoteattr(ecf)} language={quoteattr(language)} version="1">\n'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{"".join(terms)}</termlist>\n'
    atomic_write_text(path, text)
