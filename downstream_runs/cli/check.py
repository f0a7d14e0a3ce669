"""`./run_superb.sh check [TASK]`: is the corpus of a task complete, and what will the task cost."""

from __future__ import annotations

import argparse
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs import costs
from downstream_runs.core.program import PROGRAM
from downstream_runs.core.run_folder import CACHE
from downstream_runs.corpora import data_root as settings
from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.task import PreparedData, Recipe, TaskSpec

DECODED = 20
"""Audio files that are decoded as a sample of the corpus."""


@dataclass(frozen=True)
class Finding:
    """One line about a corpus."""

    good: bool
    text: str


def main(argv: Sequence[str] | None = None) -> int:
    """Print what was found for each task; 0 if every corpus can be used, else 2."""
    options = _parser().parse_args(argv)
    from downstream_runs import tasks

    asked = [tasks.get(name) for name in options.task or tasks.names()]
    root = settings.data_root(options.data)
    if root is None:
        raise settings.no_data("check", "the corpora of the tasks")
    good = True
    for task in asked:
        print(f"{task.name}: {task.title} on {task.corpus.name}")
        for finding in corpus(task, root.path, options.out, options.partial):
            good = good and finding.good
            print(f"  {'good   ' if finding.good else 'MISSING'} {finding.text}")
        print(f"  cost    {cost(task.recipes['superb'])}; {costs.sentence(task.name)}")
        print(f"  disk    corpus {task.corpus.size}; {costs.disk(task.name)}")
    return 0 if good else 2


def corpus(task: TaskSpec, data: Path, out: Path, partial: bool = False) -> Iterator[Finding]:
    """What there is of a task's corpus below `data`, complete or not, which `partial` makes no fault."""
    config = task.recipes["superb"].copy_config()
    if partial and task.folds_of is not None:
        *parents, last = task.fold_key.split(".")
        block = config
        for name in parents:
            block = block[name]
        block[last] = task.folds_of(data)[0]
    try:
        prepared = task.prepare(data, out / CACHE, config, partial)
    except UsageError as error:
        yield Finding(False, str(error))
        about = task.corpus
        yield Finding(False, f"get {about.name} ({about.size}, {about.licence}) from {about.url}")
        return
    counts = ", ".join(f"{split} {number:,}" for split, number in prepared.utterances.items())
    yield Finding(True, f"{prepared.root}: {counts} utterances")
    for label in prepared.labels:
        yield Finding(True, f"labelled {label}: not the official corpus, and its numbers will say so")
    for deviation in prepared.deviations:
        yield Finding(True, f"differs from the official corpus: {deviation}")
    yield decoded(prepared)


def decoded(prepared: PreparedData) -> Finding:
    """A sample of the corpus's audio files, the same each time, read to their ends."""
    from downstream_runs.corpora.audio import AudioProblem, decode_any

    files = sorted(set(prepared.audio))
    chosen = random.Random(0).sample(files, min(DECODED, len(files)))
    forms = set()
    for path in chosen:
        try:
            form = decode_any(path)
        except AudioProblem as problem:
            return Finding(False, f"{problem}; get that file again")
        forms.add(f"{form.rate:,} Hz with {form.channels} channel{'s'[: form.channels - 1]}")
    return Finding(
        True,
        f"{len(chosen)} of {len(files):,} audio files decoded to their ends: {' and '.join(sorted(forms))}",
    )


def cost(recipe: Recipe) -> str:
    """The steps of a recipe in words."""
    steps = recipe.config.get("runner", {}).get("total_steps")
    return f"recipe {recipe.name}: {steps:,} steps" if steps else f"recipe {recipe.name}: no training"


def _parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog=f"{PROGRAM} check",
        description="Check the corpora of the tasks: files, counts, sample rate, a sample decoded.",
        allow_abbrev=False,
    )
    parser.add_argument("task", nargs="*", metavar="TASK", help="e.g. asr (default: every task)")
    parser.add_argument("--data", type=Path, metavar="DIR", help="folder of the corpora")
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a part of a corpus as it is, as a run with --partial does",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="where the tables of lengths are kept"
    )
    return parser
