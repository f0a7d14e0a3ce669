"""The ground truth folder of a QUESST evaluation: which query is spoken in which document.

A folder holds one `*.tlist.xml` (the queries,
`<termlist ...><term termid="NAME"><termtext>NAME</termtext></term>...</termlist>`), one `*.ecf.xml` (the
documents, `<excerpt audio_filename="Audio/NAME.wav" .../>`) and one `*.rttm`, where a line
`LEXEME DOCUMENT 1 START DURATION QUERY lex SELF <NA>` says that the query is in the document. Lines of other
terms (such as NO_KEYWORD, which every document has) say nothing about the queries. Source: the scoring folder
of QUESST 2014, the README of the QUESST 2015 scoring tool, and NIST's 2006 evaluation plan.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from xml.sax.saxutils import escape, quoteattr

from downstream_runs.scoring import xmlfile
from downstream_runs.scoring.inputs import lines
from downstream_runs.scoring.names import ScoringError, first
from downstream_runs.scoring.sums import in_order
from upstream_arm.common.files import atomic_write_text
from upstream_arm.folders import belongs

KINDS = {"tlist": ".tlist.xml", "ecf": ".ecf.xml", "rttm": ".rttm"}


@dataclass(frozen=True)
class GroundTruth:
    """Queries, documents, and for each query the documents in which it is spoken (none for some)."""

    queries: tuple[str, ...]
    documents: tuple[str, ...]
    targets: Mapping[str, frozenset[str]]

    def restricted(self, queries: Collection[str], documents: Collection[str]) -> GroundTruth:
        """The part on `queries` and `documents`, such as those of one language.

        Raises ScoringError when one of them is not in this ground truth.
        """
        for kind, wanted, known in (
            ("queries", queries, self.queries),
            ("documents", documents, self.documents),
        ):
            unknown = sorted(set(wanted) - set(known))
            if unknown:
                raise ScoringError(f"{len(unknown)} {kind} are not in the ground truth ({first(unknown)})")
        kept = frozenset(documents)
        chosen = tuple(query for query in self.queries if query in set(queries))
        return GroundTruth(
            chosen,
            tuple(document for document in self.documents if document in kept),
            {query: self.targets[query] & kept for query in chosen},
        )


def read(path: Path) -> GroundTruth:
    """Read a ground truth folder; one of its three files may be named instead, to choose it among several.

    Raises ScoringError when the folder does not hold one file of each kind, when one of them cannot be read,
    or when the RTTM file places a query in a document that the ECF file does not list.
    """
    found = find(path)
    queries, documents = read_queries(found["tlist"]), _documents(found["ecf"])
    targets: dict[str, set[str]] = {query: set() for query in queries}
    known = set(documents)
    for number, line in lines(found["rttm"]):
        fields = line.split()
        if fields[0] != "LEXEME":
            continue
        if len(fields) < 6:
            raise ScoringError(
                f"{found['rttm']}, line {number}: {len(fields)} fields, at least 6 were expected in "
                "'LEXEME DOCUMENT 1 START DURATION QUERY lex SELF <NA>'"
            )
        document, term = fields[1], fields[5]
        if term not in targets:
            continue
        if document not in known:
            raise ScoringError(
                f"{found['rttm']}, line {number}: document {document!r} is not in {found['ecf']}, "
                "take both from the same ground truth"
            )
        targets[term].add(document)
    return GroundTruth(queries, documents, {query: frozenset(spoken) for query, spoken in targets.items()})


def find(path: Path) -> dict[str, Path]:
    """The tlist, ecf and rttm file of a ground truth folder, or of the folder of one of these files."""
    folder, names = _listed(path)
    found = {}
    for kind, ending in KINDS.items():
        files = [file for file in names if file.name.lower().endswith((ending, f"{ending}.gz"))]
        if path in files:
            files = [path]
        if len(files) != 1:
            listed = f"{len(files)} ({first([file.name for file in files])})" if files else "none"
            raise ScoringError(
                f"{folder} holds {listed} of *{ending}, exactly one was expected in a ground truth folder"
            )
        found[kind] = files[0]
    if path.is_file() and path not in found.values():
        raise ScoringError(f"{path} is no ground truth, {_expected()} or their folder were expected")
    return found


def _listed(path: Path) -> tuple[Path, list[Path]]:
    """The folder that is meant, and what belongs to it."""
    try:
        path.stat()
        folder = path if path.is_dir() else path.parent
        return folder, sorted(file for file in folder.iterdir() if belongs(file.name))
    except FileNotFoundError:
        raise ScoringError(
            f"{path} is not there, a ground truth folder with {_expected()} was expected; "
            "QUESST 2014 has it as scoring/groundtruth_quesst14_dev and _eval"
        ) from None
    except OSError as error:  # not permitted, a name too long, ...
        raise ScoringError(
            f"{path} cannot be read ({error.strerror}), a ground truth folder with {_expected()} was expected"
        ) from None


def _expected() -> str:
    return ", ".join(f"*{ending}" for ending in KINDS.values())


def read_queries(path: Path) -> tuple[str, ...]:
    """The query names of a tlist file (`.gz` allowed), in its order; ScoringError as in `xmlfile.names`."""
    return xmlfile.names(path, "termlist", "term", "termid", "term")


def _documents(path: Path) -> tuple[str, ...]:
    return xmlfile.names(
        path, "ecf", "excerpt", "audio_filename", "document", lambda audio: PurePosixPath(audio).stem
    )


def write(folder: Path, name: str, truth: GroundTruth, seconds: Mapping[str, float]) -> None:
    """Write NAME.tlist.xml, NAME.ecf.xml and NAME.rttm to `folder`; seconds: duration of each document."""
    excerpts = "".join(
        f'<excerpt audio_filename={quoteattr(f"Audio/{document}.wav")} channel="1" tbeg="0.000" '
        f'dur="{seconds[document]:.3f}" language="multiple" source_type="cts"/>\n'
        for document in truth.documents
    )
    total = in_order(seconds[document] for document in truth.documents)
    atomic_write_text(
        folder / f"{name}.ecf.xml",
        f'<?xml version="1.0" encoding="UTF-8"?>\n<ecf source_signal_duration="{total:.3f}" version="1">\n'
        f"{excerpts}</ecf>\n",
    )
    spoken = []
    for document in truth.documents:
        terms = [query for query in truth.queries if document in truth.targets[query]]
        for term in ("NO_KEYWORD", *terms):
            spoken.append(f"LEXEME {document} 1 0 {seconds[document]:.3f} {term} lex SELF <NA>\n")
    atomic_write_text(folder / f"{name}.rttm", "".join(spoken))
    write_queries(folder / f"{name}.tlist.xml", truth.queries, f"{name}.ecf.xml")


def write_queries(path: Path, queries: Sequence[str], ecf: str, language: str = "multiple") -> None:
    """Write the names of `queries` as a tlist file that belongs to the document list named `ecf`."""
    terms = (
        f"<term termid={quoteattr(name)}><termtext>{escape(name)}</termtext></term>\n" for name in queries
    )
    head = f'<termlist ecf_filename={quoteattr(ecf)} language={quoteattr(language)} version="1">\n'
    text = f'<?xml version="1.0" encoding="UTF-8"?>\n{head}{"".join(terms)}</termlist>\n'
    atomic_write_text(path, text)
