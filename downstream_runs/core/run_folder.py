"""A run's folder, and the name of every file in it: no other module spells these names.

    OUT/                             --out, by default `runs`
    ├── cache/                       tables of lengths, stored features: shared by all runs
    ├── demo-data/                   the synthetic corpora of --demo
    ├── logs/                        what runs print that a launcher started, a file each
    ├── slurm/jobs.jsonl             which runs are in Slurm's queue
    └── UPSTREAM/TASK/
        ├── RECIPE-HASH/             a run; the hash is over its settings and files
        │   ├── lock                 the process that works on it
        │   ├── plan.json            what must stay the same for the run to be continued
        │   ├── events.jsonl         what happened, with the time (`core.records`)
        │   ├── metrics.jsonl        the numbers of training and of each evaluation
        │   ├── s3prl.log            what s3prl printed
        │   ├── checkpoints/         step-N.pt, the last two states to go on from
        │   ├── evaluation-SPLIT.pt  one of more than a minute, as far as it is, until its numbers are kept
        │   ├── states-N.ckpt        kept checkpoints, of tasks that choose among them
        │   ├── dev-best.ckpt, …     the selected checkpoint, s3prl's predictions: `TaskSpec.artefacts`
        │   ├── items.csv            each test item's share of the numbers
        │   ├── trials.csv, …        trials of ASV and QbE, QbE's layers.csv and benchmark.stdlist.xml
        │   ├── test-only-SET/       the head on another test set: predictions, items.csv, test-only.json
        │   ├── outcome.json         why the last attempt failed
        │   ├── result.json          of a finished run (`core.results`)
        │   └── foldN/               of a task with folds: the runs, whose mean is in result.json
        └── RECIPE-HASH-sweep/       learning rates: the files of the one that is best on dev
            ├── rates/RECIPE-HASH/   the run of each rate
            ├── sweep.json           what was tried
            └── result.json

A file of tensors has its SHA-256 beside it, in a file of its name with `.sha256` added.
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path

from upstream_arm.common import lock
from upstream_arm.common.files import atomic_path, atomic_write_text, read_json

CACHE, DEMO_DATA, LOGS, JOBS = "cache", "demo-data", "logs", "slurm/jobs.jsonl"
RATES, SWEEP_SUFFIX = "rates", "-sweep"
LOCK, PLAN, EVENTS, METRICS, S3PRL_LOG = lock.NAME, "plan.json", "events.jsonl", "metrics.jsonl", "s3prl.log"
CHECKPOINTS, PARTIAL_EVALUATION = "checkpoints", "evaluation-{split}.pt"
ITEMS, TRIALS, LAYERS, BENCHMARK = "items.csv", "trials.csv", "layers.csv", "benchmark.stdlist.xml"
OUTCOME, RESULT, SWEEP = "outcome.json", "result.json", "sweep.json"
BUNDLE = "bundle.json"
"""In a folder with what somebody shared of a run (`share.bundle`); of no run of ours."""
TESTED, TEST_ONLY = "test-only-{name}", "test-only.json"
"""A folder and the result in it; it is called otherwise than a run's, so that nothing takes it for one."""


def kept_checkpoint(step: int) -> str:
    """The name of a checkpoint that is kept for the task's protocol to choose among."""
    return f"states-{step}.ckpt"


def sha256_record(path: Path) -> Path:
    """The file with the SHA-256 of a file of tensors."""
    return path.with_name(path.name + ".sha256")


def is_fold(name: str) -> bool:
    """Whether this is the name of a fold's folder, whose result is no row of its own."""
    return re.fullmatch(r"fold[0-9]+", name) is not None


@dataclass(frozen=True)
class RunFolder:
    """The folder of one run, which need not exist yet."""

    path: Path

    @property
    def is_finished(self) -> bool:
        """Whether there is a result."""
        return (self.path / RESULT).exists()

    @contextlib.contextmanager
    def attempt(self) -> Iterator[None]:
        """An attempt at the run: it leaves the reason of a failure in the folder, until the next one."""
        outcome = self.path / OUTCOME
        with contextlib.suppress(OSError):
            outcome.unlink(missing_ok=True)
        try:
            yield
        except Exception as error:
            now = datetime.now(timezone.utc).isoformat(timespec="seconds")
            # The run's own error is what must be told, also where its folder cannot be written.
            with contextlib.suppress(OSError):
                atomic_write_text(outcome, json.dumps({"said": str(error), "time": now}) + "\n")
            raise

    def failure(self) -> str:
        """Why the last attempt failed, in words; empty where it did not."""
        return str((read_json(self.path / OUTCOME) or {}).get("said", ""))

    def checkpoint(self, step: int) -> Path:
        """The state at `step`, to go on from."""
        return self.path / CHECKPOINTS / f"step-{step:08d}.pt"

    def checkpoints(self) -> dict[int, Path]:
        """The states that there are, by their step, the newest first."""
        found = sorted((self.path / CHECKPOINTS).glob("step-*.pt"), reverse=True)
        return {int(path.stem.split("-")[1]): path for path in found}

    def begin_as(self, other: Path) -> None:
        """Take over what another run trained, as far as it is not here: its checkpoints and their numbers."""
        found = [path for pattern in (f"{CHECKPOINTS}/*", "*.ckpt*", METRICS) for path in other.glob(pattern)]
        for path in found:
            place = self.path / path.relative_to(other)
            if not place.exists():
                place.parent.mkdir(parents=True, exist_ok=True)
                with atomic_path(place) as temporary:
                    shutil.copyfile(path, temporary)

    def forget_evaluations(self) -> None:
        """Remove what is kept of evaluations whose numbers are written."""
        self.remove(PARTIAL_EVALUATION.format(split="*") + "*")

    def remove(self, *patterns: str) -> None:
        """Remove what matches the patterns, by default everything, but the lock."""
        for path in [path for pattern in patterns or ("*",) for path in self.path.glob(pattern)]:
            if path.is_dir() and not path.is_symlink():
                shutil.rmtree(path)
            elif path.name != LOCK:
                path.unlink()
