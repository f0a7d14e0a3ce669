"""A table with transcripts, as s3prl's `ctc` reads it: characters, or units with spaces between them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import table_corpus, tables, texts
from downstream_runs.corpora.tables import Source, Table

UNITS = "units"
"""The column of units of one's own, such as phones; any other column is read by its characters."""

RESERVED = ("<pad>", "<eos>", "<unk>")
"""s3prl's own units, which it puts before those of a vocabulary."""


def units(answer: str, text: str) -> list[str]:
    """What a head has an output for."""
    return text.split(" ") if answer == UNITS else list(text)


def judged(source: Source, table: Table) -> Iterator[str]:
    """See `Judged`: a transcript with an empty or reserved unit; which units no head can learn."""
    for row in table.rows:
        if "  " in row.answer:
            yield Problem(f"{row.place} has two blanks in a row in its {source.answer}")
        for unit in RESERVED if source.answer == UNITS else ():
            if unit in row.answer.split(" "):
                yield Problem(f"{row.place} has the unit {unit}, which is s3prl's own")
    known = _units_of(source.answer, (row.answer for row in table.of("train")))
    for split in tables.SPLITS[1:]:
        unknown = _units_of(source.answer, (row.answer for row in table.of(split))) - known
        if unknown:
            shown = " ".join(sorted(unknown)[:10])
            yield f"no transcript of train has these units of {split}, so that no head learns them: {shown}"
    yield from table_corpus.leaks(source, table)


def _units_of(answer: str, transcripts: Iterable[str]) -> set[str]:
    return {unit for text in transcripts for unit in units(answer, text)}


def written(
    source: Source, table: Table, folder: Path, links: Mapping[str, Path], config: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]]:
    """A list of each split, lines of a file, a tab and its transcript; and the vocabulary, of all splits."""
    for split in tables.SPLITS:
        lines = [f"{links[row.path]}\t{row.answer}\n" for row in table.of(split)]
        texts.write(folder / f"{split}.tsv", "".join(lines))
    every = sorted(_units_of(source.answer, (row.answer for row in table.rows)))
    vocabulary = texts.write(folder / f"{source.answer}.txt", "".join(f"{unit}\n" for unit in every))
    settings = {"corpus.path": str(folder), "text.vocab_file": str(vocabulary)}
    return settings, {split: len(table.of(split)) for split in tables.SPLITS}, ()


def listed(folder: Path, split: str) -> list[tuple[Path, str]]:
    """Files and transcripts of a list that `written` wrote."""
    pairs = (line.split("\t") for _, line in texts.lines(folder / f"{split}.tsv", "start the run again"))
    return [(Path(path), text) for path, text in pairs]
