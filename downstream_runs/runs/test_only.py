"""`test-only`: the head of a finished run on another split, or on the test rows of another table."""

from __future__ import annotations

import csv
import dataclasses
import io
import os
import re
from collections.abc import Iterable
from pathlib import Path

from downstream_runs.core.results import Result
from downstream_runs.core.run import RunPlan
from downstream_runs.core.run_folder import PLAN, TEST_ONLY, TESTED
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import table_texts, tables
from downstream_runs.corpora.tables import Row, Table
from downstream_runs.engine import tested
from downstream_runs.tasks import own
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, sha256_file

TABLES = (".csv", ".tsv")


def test_only(plan: RunPlan, head: Result, folder: Path, on: str) -> Path:
    """Test the head of the run in `folder`, whose plan and result are given; returns the file of the numbers.

    on: a split, a folder of the corpus, or a table.

    UsageError for a run whose head is not one that can be tested so, and for a test set that cannot be used.
    """
    task = plan.task
    if not (folder / PLAN).is_file():
        raise UsageError(
            f"{folder} is no run with one head: of a task with folds name one, as {folder}/fold1, and of a "
            "sweep the run of one rate"
        )
    if task.train_split is None or task.selection is None or task.test is not None:
        raise UsageError(f"{task.name} has a protocol of its own in place of one head on one test set")
    name = re.sub(r"[^A-Za-z0-9._-]+", "_", Path(on).stem if on.endswith(TABLES) else on)
    target = folder / TESTED.format(name=name)
    if on.endswith(TABLES):
        plan, split = dataclasses.replace(plan, task=_with_table(task, Path(on), target)), task.test_splits[0]
    else:
        plan, split = _with_split(plan, on)
    tested.test(plan, split, head, folder, target)
    return target / TEST_ONLY


def _with_split(plan: RunPlan, on: str) -> tuple[RunPlan, str]:
    """The plan whose corpus has what is asked for, and s3prl's name of that split."""
    task = plan.task
    known = (*task.dev_splits, *task.test_splits)
    if on in known:
        return plan, on
    test = task.test_splits[0]
    if test not in task.split_keys:
        raise UsageError(f"{task.name} has no split {on!r}, expected {' or '.join(known)}{_or_table(task)}")
    overrides = {**plan.overrides, task.split_keys[test]: on.split(",")}
    return dataclasses.replace(plan, overrides=overrides), test


def _or_table(task: TaskSpec) -> str:
    return ", or a table ending in .csv or .tsv" if "kind" in (task.own or {}) else ""


def _with_table(task: TaskSpec, path: Path, target: Path) -> TaskSpec:
    """The task with the test rows of another table, written into `target` beside all others of its own.

    Its own test rows are listed as dev, which is not read: labels and vocabulary stay those of the head.
    """
    record = task.own or {}
    if "kind" not in record or task.folds:
        raise UsageError(f"{task.name} is no task of a table with splits, so name a split in place of {path}")
    how = own.named(record["kind"])
    source = task.corpus.source  # type: ignore[attr-defined]
    first = tables.read(source)
    if first.sha256 != record["table_sha256"]:
        raise UsageError(f"{source.path} is not the table that the head was trained on: its SHA-256 differs")
    rows = _test_rows(tables.Source(path.expanduser().absolute(), how.answer))
    _require_known(first, rows, how.answer)
    mine = {os.path.realpath(first.path.parent / row.path): row for row in first.rows}
    both = {os.path.realpath(path.parent / row.path) for row in rows}
    for file in both:
        if file in mine and mine[file].split == "train":
            raise UsageError(f"{path} has {file} among its test rows, on which the head was trained")
    kept = [
        dataclasses.replace(row, split="dev" if row.split == "test" else row.split)
        for file, row in mine.items()
        if file not in both
    ]
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerow(("path", how.answer, "split", "speaker"))
    for parent, some in ((first.path.parent, kept), (path.absolute().parent, rows)):
        lines.writerows(
            (os.path.relpath(parent / row.path, target), row.answer, row.split, row.speaker) for row in some
        )
    target.mkdir(parents=True, exist_ok=True)
    written = target / "table.csv"
    atomic_write_text(written, text.getvalue())
    again = {key: value for key, value in record.items() if key not in ("split_by", "split_seed")}
    again |= {"table": str(written), "table_sha256": sha256_file(written)}
    return own.of_record(task.name, again, splits=task.corpus.splits)


def _test_rows(source: tables.Source) -> list[Row]:
    """The rows of a table's split test; UsageError where it has none."""
    rows = tables.read(source).of("test")
    if not rows:
        raise UsageError(f"{source.path} has no row of the split test; mark those that are to be tested so")
    return rows


def _require_known(table: Table, rows: Iterable[Row], answer: str) -> None:
    """UsageError for an answer that the head has no output for."""
    texts = answer not in ("label", "speaker")

    def parts(row: Row) -> list[str]:
        return table_texts.units(answer, row.answer) if texts else [row.answer]

    known = {part for row in table.rows for part in parts(row)}
    for row in rows:
        unknown = [part for part in parts(row) if part not in known]
        if unknown:
            raise UsageError(
                f"{row.place} has {unknown[0]!r} in its {answer}, which {table.path} has not: the head "
                "has no output for it; remove that row"
            )
