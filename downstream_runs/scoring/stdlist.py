"""The scored trials of a spoken term detection system: `*.stdlist.xml`.

Format: `<stdlist ...>` with one `<detected_termlist termid="QUERY" ...>` for each query and in it one
`<term file="DOCUMENT" ... score="1.5" decision="YES"/>` for each document. Source: NIST 2006 Spoken Term
Detection evaluation plan; `write` gives the attributes and digits that s3prl 0.4.18's
`downstream/quesst14_dtw/expert.py` gives to its `benchmark.stdlist.xml`.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import quoteattr

from downstream_runs.scoring import xmlfile
from downstream_runs.scoring.inputs import FINITE, number, short
from downstream_runs.scoring.names import ScoringError
from upstream_arm.common.files import atomic_write_text

YES_ABOVE = 2.0  # s3prl's threshold, in standard deviations of the scores of a query
DECISIONS = ("YES", "NO")


@dataclass(frozen=True)
class Stdlist:
    """Trials of one system.

    scores: query -> document -> score, higher for a better match. accepted: query -> documents decided YES.
    """

    scores: Mapping[str, Mapping[str, float]]
    accepted: Mapping[str, Collection[str]]


def read(path: Path) -> Stdlist:
    """Read a stdlist file (`.gz` allowed).

    Raises ScoringError for a file that is no stdlist, holds no query, has a query or a trial twice, a score
    that is no finite number, or a decision other than YES and NO.
    """
    scores: dict[str, dict[str, float]] = {}
    accepted: dict[str, set[str]] = {}
    query = ""

    def visit(tag: str, attributes: dict[str, str]) -> None:
        nonlocal query
        if tag == "detected_termlist":
            query = xmlfile.attribute(path, tag, attributes, "termid")
            if query in scores:
                raise ScoringError(f"{path}: query {query!r} is there twice, once was expected")
            scores[query], accepted[query] = {}, set()
        elif tag == "term":
            if not query:
                raise ScoringError(f"{path}: a <term> stands outside a <detected_termlist>")
            document, score, yes = _trial(path, attributes)
            if document in scores[query]:
                raise ScoringError(
                    f"{path}: document {document!r} is there twice for query {query!r}, once was expected"
                )
            scores[query][document] = score
            if yes:
                accepted[query].add(document)

    xmlfile.walk(path, "stdlist", visit)
    if not scores:
        raise ScoringError(f"{path} holds no query, <detected_termlist termid=...> was expected")
    return Stdlist(scores, accepted)


def _trial(path: Path, attributes: dict[str, str]) -> tuple[str, float, bool]:
    document = xmlfile.attribute(path, "term", attributes, "file")
    text = xmlfile.attribute(path, "term", attributes, "score")
    decision = xmlfile.attribute(path, "term", attributes, "decision")
    score = number(text)
    if math.isnan(score):
        raise ScoringError(f"{path}: the score of document {document!r} is {short(text)}, {FINITE}")
    if decision not in DECISIONS:
        raise ScoringError(
            f"{path}: the decision on document {document!r} is {decision!r}, YES or NO was expected"
        )
    return document, score, decision == "YES"


def write(path: Path, scores: Mapping[str, Mapping[str, float]], yes_above: float = YES_ABOVE) -> None:
    """Write query -> document -> score, with 4 decimals, as s3prl writes its `benchmark.stdlist.xml`.

    A trial is decided YES when its score, before rounding, is above `yes_above`. Raises ValueError for a
    score that is not finite.
    """
    parts = [
        "<?xml version='1.0' encoding='UTF-8'?>\n"
        '<stdlist termlist_filename="benchmark.stdlist.xml" indexing_time="1.00" language="english" '
        'index_size="1" system_id="benchmark">\n'
    ]
    for query, documents in scores.items():
        parts.append(
            f'  <detected_termlist termid={quoteattr(query)} term_search_time="1.0" oov_term_count="1">\n'
        )
        for document, score in documents.items():
            if not math.isfinite(score):
                raise ValueError(f"the score of {query!r} in {document!r} is {score}, a number was expected")
            parts.append(
                f'    <term file={quoteattr(document)} channel="1" tbeg="0.000" dur="0.00" '
                f'score="{score:.4f}" decision="{"YES" if score > yes_above else "NO"}"/>\n'
            )
        parts.append("  </detected_termlist>\n")
    atomic_write_text(path, "".join([*parts, "</stdlist>\n"]))
