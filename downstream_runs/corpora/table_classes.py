"""A table with a label an utterance, as s3prl's expert of emotion recognition reads it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import table_corpus, tables, texts
from downstream_runs.corpora.tables import Row, Source, Table

RARE = 3
"""Classes are called unbalanced where one has so many times as many utterances to train on as another."""


def judged(source: Source, table: Table) -> Iterator[str]:
    """See `Judged`: a single class, or one that is tested and not trained; which are unbalanced."""
    classes = sorted({row.answer for row in table.rows})
    if len(classes) < 2:
        yield Problem(f"{table.path} has the {source.answer} {classes[0]!r} only, at least two were expected")
        return
    for part in table.folds and tables.parts(table):
        yield from _not_trained(source, [r for r in table.rows if r.fold != part], table, part)
    train = table.of("train") or list(table.rows)
    yield from _not_trained(source, train, table, "")
    counts = Counter(row.answer for row in train).most_common()
    (most, many), (least, few) = counts[0], counts[-1]
    if many >= RARE * few:
        yield (
            f"the classes are unbalanced: {many:,} utterances to train on are {most!r}, {few:,} are {least!r}"
        )
    if any(row.speaker != row.answer for row in table.rows):  # else the speakers are the classes
        yield from table_corpus.leaks(source, table)


def _not_trained(source: Source, train: Sequence[Row], table: Table, part: str) -> Iterator[Problem]:
    known = {row.answer for row in train}
    where = f"outside {part}" if part else "of train"
    for row in table.rows:
        if row.answer not in known and (not part or row.fold == part):
            yield Problem(
                f"{row.place} has the {source.answer} {row.answer!r}, which no row {where} has, so that no "
                "head can learn it",
                "take another --split-seed" * bool(source.split_by),
            )


def written(
    source: Source, table: Table, folder: Path, links: Mapping[str, Path], config: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]]:
    """Metadata of each fold, or of the one division in `fold1`, in the form that s3prl reads.

    An utterance of `train_meta_data.json` has also its split, by which `divide` parts them; there is none in
    a table with folds, where s3prl draws dev from train.
    """
    labels = {label: number for number, label in enumerate(sorted({row.answer for row in table.rows}))}
    parts = tables.parts(table) if table.folds else ["fold1"]
    for number, part in enumerate(parts, 1):
        held_out = part if table.folds else "test"
        for name in ("train", "test"):
            listed = [
                {"path": str(links[r.path]), "label": r.answer, "speaker": r.speaker, "split": r.split}
                for r in table.rows
                if (held_out in (r.split, r.fold)) is (name == "test")
            ]
            text = json.dumps({"labels": labels, "meta_data": listed})
            texts.write(folder / f"Session{number}" / f"{name}_meta_data.json", text)
    datarc = config["downstream_expert"]["datarc"]
    if table.folds:
        test_rows = sum(row.fold == datarc["test_fold"] for row in table.rows)
        others = len(table.rows) - test_rows
        train_rows = int((1 - datarc["valid_ratio"]) * others)  # s3prl's own expression, rounding included
        counts = {"train": train_rows, "dev": others - train_rows, "test": test_rows}
    else:
        counts = {split: len(table.of(split)) for split in tables.SPLITS}
    return {"datarc.root": str(folder), "datarc.meta_data": str(folder)}, counts, ()


def divide(downstream: Any) -> None:
    """Give s3prl's expert the table's train and dev in place of those that it drew."""
    whole = downstream.train_dataset.dataset
    for split, dataset in (("train", downstream.train_dataset), ("dev", downstream.dev_dataset)):
        dataset.indices = [number for number, one in enumerate(whole.meta_data) if one["split"] == split]
