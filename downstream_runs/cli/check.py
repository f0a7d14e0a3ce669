"""Check the corpora of the tasks: files, counts, sample rate, a sample decoded."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator
from pathlib import Path

from downstream_runs.cli.findings import Finding, show
from downstream_runs.core.corpus import PreparedData, Problem
from downstream_runs.core.run_folder import CACHE
from downstream_runs.core.settings import override
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import audio, data_root
from downstream_runs.corpora.audio import Form
from upstream_arm import listings
from upstream_arm.common.errors import DONE, WRONG_USE, UsageError

Seen = dict[Path, tuple[bool, str]]
"""Of files that were decoded, whether they are good, and their form or what is wrong with them, in words."""

SHOWN = 5
"""Files that are named, of those with which something is wrong."""

DECODED = 20
"""Audio files that are decoded as a sample of the corpus."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The tasks, and where their corpora are."""
    add = parser.add_argument
    add("task", nargs="*", metavar="TASK", help="e.g. asr (default: every task)")
    add("--data", type=Path, metavar="DIR", help="folder of the corpora")
    add(
        "--partial",
        action="store_true",
        help="take a part of a corpus as a run with --partial does",
    )
    add("--full", action="store_true", help="decode every file to its end (default: a sample of them)")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where the tables of lengths are kept")


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Print what there is of each corpus, and what its task costs; 0 if every corpus is good, else 2."""
    from downstream_runs import tasks

    asked = [tasks.get(name) for name in options.task or tasks.names()]
    root = data_root.data_root(options.data)
    if root is None:
        raise data_root.no_data("check", "the corpora of the tasks")
    good = True
    seen: Seen | None = {} if options.full else None
    for task in asked:
        print(f"{task.name}: {task.title} on {task.corpus.name}")
        good = show(corpus(task, root.path, options.out, options.partial, seen)) and good
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
    task: TaskSpec, data: Path, out: Path, partial: bool = False, seen: Seen | None = None
) -> Iterator[Finding]:
    """What there is of a task's corpus below `data`, complete or not, which `partial` makes no fault.

    seen: of every file that was decoded already, where all are; None decodes a sample.
    """
    config = task.recipes["superb"].copy_config()
    if partial and task.folds_of is not None:
        override(config, task.fold_key, task.folds_of(data)[0])
    try:
        prepared = task.corpus.prepare(data, out / CACHE, config, partial)
    except UsageError as error:
        about = task.corpus
        yield Finding(str(error), False, f"get {about.name} ({about.size}, {about.licence}) from {about.url}")
        return
    counts = ", ".join(f"{split} {number:,}" for split, number in prepared.utterances.items())
    yield Finding(f"{prepared.root}: {counts} utterances")
    for label in prepared.labels:
        yield Finding(f"labelled {label}: not the official corpus, and its numbers will say so")
    for deviation in prepared.deviations:
        yield Finding(f"differs from the official corpus: {deviation}")
    yield decoded(prepared) if seen is None else decoded_in_full(prepared, seen)


def decoded(prepared: PreparedData) -> Finding:
    """A sample of the corpus's audio files, the same each time, read to their ends."""
    from downstream_runs.audio import AudioProblem

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


def decoded_in_full(prepared: PreparedData, seen: Seen) -> Finding:
    """Every audio file of the corpus, read to its end on all cores; those that another task had only once."""
    files = sorted(set(prepared.audio))
    forms: dict[Path, str] = {}

    def decode(path: Path) -> int:
        found = audio.form(path, decoded=True)
        forms[path] = _in_words(found)
        return found.samples

    new = [audio.AudioFile.at(path) for path in files if path not in seen]
    for file, result in audio.in_threads(decode, new, f"decode {prepared.root.name}"):
        bad = isinstance(result, Problem)
        seen[file.path] = (not bad, str(result) if bad else forms[file.path])
    wrong = [text for good, text in (seen[path] for path in files) if not good]
    if wrong:
        more = f" and {len(wrong) - SHOWN:,} more" if len(wrong) > SHOWN else ""
        said = f"{len(wrong):,} of {len(files):,} audio files: {'; '.join(wrong[:SHOWN])}{more}"
        return Finding(said, False, "get these files again")
    kinds = " and ".join(sorted({seen[path][1] for path in files}))
    return Finding(f"all {len(files):,} audio files decoded to their ends: {kinds}")


def _in_words(form: Form) -> str:
    return f"{form.rate:,} Hz with {form.channels} channel{'s'[: form.channels - 1]}"
