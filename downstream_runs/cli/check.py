"""Check the corpora of the tasks: files, counts, sample rate, a sample decoded; or a table of your own."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from downstream_runs import tasks
from downstream_runs.audio import AudioProblem
from downstream_runs.cli import plans
from downstream_runs.cli.findings import Finding, show
from downstream_runs.cli.options import add_table
from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.run_folder import CACHE
from downstream_runs.core.settings import override
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import audio, data_root, verified
from downstream_runs.corpora.audio import Form
from downstream_runs.corpora.fetching import sources
from downstream_runs.tasks import own
from upstream_arm import listings
from upstream_arm.common.errors import DONE, WRONG_USE, UsageError
from upstream_arm.common.program import PROGRAM

SHOWN = 100
"""Faults of a table that are printed; the number of others is."""

FILES_SHOWN = 5
"""Files that are named, of those with which something is wrong."""

DECODED = 20
"""Audio files that are decoded as a sample of the corpus."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The tasks, and where their corpora are."""
    add = parser.add_argument
    add(
        "task",
        nargs="*",
        metavar="TASK",
        help="e.g. asr (default: every task), or of a --table its kind (default: what its columns say)",
    )
    add("--data", type=Path, metavar="DIR", help="folder of the corpora")
    add(
        "--partial",
        action="store_true",
        help="take a part of a corpus as a run with --partial does",
    )
    add("--full", action="store_true", help="decode every file to its end (default: a sample of them)")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where the tables of lengths are kept")
    add_table(parser)


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Print what there is of each corpus, and what its task costs; 0 if every corpus is good, else 2."""
    plans.require_table_options(options)
    if options.table is not None:
        return DONE if show(own_table(options)) else WRONG_USE
    asked = [tasks.get(name) for name in options.task or tasks.names()]
    root = data_root.data_root(options.data)
    if root is None:
        raise data_root.no_data("check", "the corpora of the tasks")
    good = True
    for task in asked:
        print(f"{task.name}: {task.title} on {task.corpus.name}")
        good = show(corpus(task, root.path, options.out, options.partial, options.full)) and good
        steps = task.recipes["superb"].config.get("runner", {}).get("total_steps")
        trained = f"{steps:,} steps" if steps else "no training"
        hours = f"about {task.cost.hours} h on one H100 with stock s3prl (published by a user)"
        hours = hours if task.cost.hours else "no published figure"
        print(f"     cost: recipe superb: {trained}; {hours}")
        search = f"{task.cost.search_gb:.0f} GB until it ends, for 12 layers of 768"
        takes = search if task.cost.search_gb else f"{task.cost.run_gb} GB"
        print(f"     disk: corpus {task.corpus.size}; a run takes about {takes}")
    return DONE if good else WRONG_USE


def corpus(
    task: TaskSpec, data: Path, out: Path, partial: bool = False, full: bool = False, *, brief: bool = False
) -> Iterator[Finding]:
    """What there is of a task's corpus below `data`, complete or not, which `partial` makes no fault.

    full: decode every file that the manifest of the corpus does not know (default: a sample). brief: leave
    to a run what takes it long to prepare.
    """
    prepare = task.corpus.examine if brief else task.corpus.prepare
    try:
        prepared = prepare(data, out / CACHE, config_of(task, data, partial), partial)
    except UsageError as error:
        about = task.corpus
        remedy = f"get {about.name} ({about.size}, {about.licence}) from {about.url}"
        if any(task.name in source.tasks for source in sources.load()):
            remedy += f", or run {PROGRAM} data {task.name} --data {data}, which says or does what is left"
        yield Finding(str(error), False, remedy)
        return
    counts = ", ".join(f"{split} {number:,}" for split, number in prepared.utterances.items())
    yield Finding(f"{prepared.root}: {counts} utterances")
    for label in prepared.labels:
        yield Finding(f"labelled {label}: not the official corpus, and its numbers will say so")
    for deviation in prepared.deviations:
        yield Finding(f"differs from the official corpus: {deviation}")
    yield decoded(prepared, out / CACHE, full)
    if not prepared.sha256:
        yield Finding(f"the rest takes long, and is done once: by the first run, or by check {task.name}")


def config_of(task: TaskSpec, data: Path, partial: bool) -> dict[str, Any]:
    """The configuration that a corpus is looked at with; of a part of it, the first fold that there is."""
    config = task.recipes["superb"].copy_config()
    if partial and task.folds_of is not None:
        override(config, task.fold_key, task.folds_of(data)[0])
    return config


def own_table(options: argparse.Namespace) -> Iterator[Finding]:
    """All that is wrong with a table of one's own and its audio, or else what a run has of it."""
    if len(options.task) > 1:
        raise UsageError(f"--table is of one kind of task, {' and '.join(options.task)} were given: name one")
    kind = options.task[0] if options.task else own.kind_of(options.table, options.trials)
    divided = {"split_by": options.split_by, "split_seed": options.split_seed, "trials": options.trials}
    faults = own.faults(kind, options.table, options.out / CACHE, **divided)
    yield from (Finding(one, False, one.remedy) for one in faults[:SHOWN])
    if len(faults) > SHOWN:
        yield Finding(f"{len(faults) - SHOWN:,} more of {len(faults):,} faults", False, "correct these first")
    if faults:
        return
    try:
        task = own.define(kind, options.table, options.task_name, **divided)
        config = task.recipes["superb"].copy_config()
        prepared = task.corpus.prepare(options.table.parent, options.out / CACHE, config)
    except UsageError as error:
        yield Finding(str(error), False)
        return
    counts = ", ".join(f"{split} {number:,}" for split, number in prepared.utterances.items())
    yield Finding(f"{prepared.root}: {kind}, {counts} utterances, every file decoded to its end")
    yield from (Finding(f"every result will say: {deviation}") for deviation in prepared.deviations)


def decoded(prepared: PreparedData, cache: Path, full: bool) -> Finding:
    """All of the corpus's audio files, where they were decoded once or now are, else a sample of them."""
    if full and (wrong := verified.verify(prepared.root, prepared.audio, cache).problems):
        more = f" and {len(wrong) - FILES_SHOWN:,} more" if len(wrong) > FILES_SHOWN else ""
        said = f"{len(wrong):,} of {len(set(prepared.audio)):,} audio files: {'; '.join(wrong[:FILES_SHOWN])}"
        return Finding(f"{said}{more}", False, "get these files again")
    if days := verified.decoded_on(prepared.root, prepared.audio, cache):
        return Finding(
            f"all {len(set(prepared.audio)):,} audio files were decoded to their ends on "
            f"{' to '.join(days)}, and are as they were then"
        )
    return _sample_decoded(prepared)


def _sample_decoded(prepared: PreparedData) -> Finding:
    """A sample of the audio files, the same each time, read to their ends."""
    files = sorted(set(prepared.audio))
    chosen = random.Random(0).sample(files, min(DECODED, len(files)))
    forms = set()
    for path in chosen:
        try:
            found = audio.form(path, decoded=True)
        except AudioProblem as problem:
            return Finding(problem.what, False, "get that file again")
        forms.add(_in_words(found))
    counts = f"{len(chosen)} of {len(files):,} audio files decoded to their ends"
    return Finding(f"{counts}: {' and '.join(sorted(forms))}")


def _in_words(form: Form) -> str:
    return f"{form.rate:,} Hz with {form.channels} channel{'s'[: form.channels - 1]}"
