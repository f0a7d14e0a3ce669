"""One run from its plan to its result: directory, lock, journals, training, test."""

from __future__ import annotations

import contextlib
import errno
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from downstream_runs.core import records
from downstream_runs.core.run_folder import CACHE, PLAN, RESULT, S3PRL_LOG, RunFolder
from downstream_runs.core.task import PreparedData
from downstream_runs.corpora import contents
from downstream_runs.corpora.markers import shortfall
from downstream_runs.engine import parallel
from downstream_runs.engine.batches import Reading
from downstream_runs.engine.bench import Bench
from downstream_runs.engine.parallel import ALONE, Ranks
from downstream_runs.engine.plan import (
    RunPlan,
    as_begun,
    check_same,
    identity,
    leaves,
    resolve_config,
    run_dir,
)
from downstream_runs.tasks import official
from upstream_arm.common import lock, processes
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import atomic_write_text

if TYPE_CHECKING:
    from downstream_runs.core.results import Result

RERUN = ("missing", "always", "never")


@dataclass(frozen=True)
class Work:
    """A run whose directory is this process's: what it is to do. result: what was done before."""

    plan: RunPlan
    config: Mapping[str, Any]
    data: PreparedData
    folder: Path
    result: Result | None


def run(plan: RunPlan, *, rerun: str = "missing") -> Result:
    """Do what is missing of a run and return its result.

    `rerun`: `missing` continues an unfinished run and hands back a finished one's result; `always` discards
    what is there; `never` hands back a finished result and leaves an unfinished run alone (UsageError).
    A run that is killed at any moment and run again gives the same numbers. UsageError for bad input, a run
    directory in use, or one that holds another plan's run; RunFailed for a run that cannot go on.
    KeyboardInterrupt and SIGTERM (as SystemExit 143) pass through, with all files whole.
    """
    with sigterm_as_exit(), opened(plan, rerun) as work:
        if work.result is not None:
            return work.result
        if plan.devices > 1:
            parallel.train(_train_and_test, plan, work.config, work.data, work.folder)
        else:
            _train_and_test(plan, work.config, work.data, work.folder)
        return _finished(work.folder)


@contextlib.contextmanager
def opened(plan: RunPlan, rerun: str) -> Iterator[Work]:
    """Hold a run's directory, cleared where `rerun` says so; errors of files within become sentences."""
    if rerun not in RERUN:
        raise UsageError(f"--rerun {rerun!r} is unknown, expected one of {', '.join(RERUN)}")
    config = resolve_config(plan)
    folder = run_dir(plan, config).resolve()
    files = RunFolder(folder)
    # A finished run is handed back also where its devices are not.
    if rerun == "always" or not files.is_finished:
        parallel.check(plan)
    with _plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with lock.hold(folder):
            if rerun == "always":
                files.clear()
            files.remove_temporary()
            data = plan.task.prepare(plan.data, plan.cache or plan.out / CACHE, config, plan.partial)
            data = contents.sampled(data)
            _check_plan(plan, config, data, folder)
            result = _finished(folder) if files.is_finished else None
            if result is None and rerun == "never" and files.is_begun:
                raise UsageError(f"{folder} holds an unfinished run; --rerun missing continues it")
            yield Work(plan, config, data, folder, result)


def _train_and_test(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path, ranks: Ranks = ALONE
) -> None:
    """Write the result; of several ranks only the leader does, the others are done when training is."""
    terminal = sys.stderr
    with logged(folder), memory_errors():
        from downstream_runs.engine import training

        if data.partial and ranks.leader:
            print(shortfall(data.partial), file=terminal)
        with ranks.leader_first():
            bench = build(Work(plan, config, data, folder, None), terminal)
        if plan.task.train_split is None:
            bench.journal.rewind(0)
            training.note(bench, 0, records.begun(folder))
        else:
            training.train(bench, lambda message: print(message, file=terminal), ranks)
            if not ranks.leader:
                return
        conclude(bench)


def build(work: Work, terminal: IO[str]) -> Bench:
    """Everything that a run is made of, with progress on `terminal`; what is printed goes to the log."""
    from downstream_runs import bridge

    bridge.apply()
    from downstream_runs.engine import finish, parts, storing

    plan, folder = work.plan, work.folder
    built = parts.build(plan, _with_data(work.config, work.data), folder)
    labels = finish.run_labels(plan, work.config, work.data, built.upstream)
    print("labels:", ", ".join(labels) or "none", file=sys.stderr)
    if work.data.partial:
        print(shortfall(work.data.partial), file=sys.stderr)
    bench = Bench(
        plan,
        work.config,
        work.data,
        folder,
        built,
        _Bars(terminal, labels),
        records.Journal(folder, labels, official.read(plan.task, work.config)),
        _reading(plan, work.config),
        labels,
    )
    storing.store_features(bench)
    return bench


def conclude(bench: Bench) -> Result:
    """Test a run whose training is done, and write its result."""
    from downstream_runs.core import results
    from downstream_runs.engine import finish, storing

    metrics = (bench.plan.task.test or finish.best_on_dev)(bench)
    bench.write_items()
    bench.label_items()
    storing.say_stored(bench)
    result = finish.make_result(bench, metrics, bench.labels, records.seconds(bench.folder))
    written = results.write(bench.folder / RESULT, result)
    bench.journal.event("end", bench.steps, wall_seconds=result.wall_seconds)
    return written


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """What s3prl prints goes to the run's log."""
    with (
        (folder / S3PRL_LOG).open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        yield


@contextlib.contextmanager
def memory_errors() -> Iterator[None]:
    """Memory that ends outside a training step becomes a sentence."""
    import torch

    try:
        yield
    except torch.OutOfMemoryError as error:
        raise RunFailed(
            "out of memory outside a training step; use a GPU with more memory, or --device cpu"
        ) from error


def _reading(plan: RunPlan, config: Mapping[str, Any]) -> Reading:
    """No more loading processes than the recipe asks for and than there are cores to spare."""
    asked = next((value for key, value in leaves(config) if key.endswith(".num_workers")), 0)
    spare = max(processes.cores() - plan.devices, 0) // plan.devices
    return Reading(min(asked, spare), plan.seed if plan.task.random_items and asked else None)


def _finished(folder: Path) -> Result:
    from downstream_runs.core import results

    return results.read(folder / RESULT)


def _check_plan(plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
    path = folder / PLAN
    wanted = json.loads(json.dumps(identity(plan, config, data)))
    if path.exists():
        try:
            stored = json.loads(path.read_text(encoding="utf-8"))
        except (ValueError, RecursionError):
            raise UsageError(
                f"{path} is no JSON; use --rerun always to discard the run, or another --out"
            ) from None
        check_same(stored, as_begun(stored, wanted), folder)
    else:
        atomic_write_text(path, json.dumps(wanted, indent=1) + "\n")


def _with_data(config: Mapping[str, Any], data: PreparedData) -> dict[str, Any]:
    """What s3prl gets: a copy with the corpus's paths added."""
    merged: dict[str, Any] = json.loads(json.dumps(config))
    for key, value in data.settings.items():
        *parents, last = key.split(".")
        block = merged["downstream_expert"]
        for name in parents:
            block = block.setdefault(name, {})
        block[last] = value
    return merged


class _Bars:
    """Progress bars on the terminal, which show the run's labels."""

    def __init__(self, terminal: IO[str], labels: tuple[str, ...]) -> None:
        self._terminal = terminal
        self._prefix = f"[{', '.join(labels)}] " if labels else ""

    def __call__(self, items: Any, *, desc: str, total: int) -> Any:
        from tqdm import tqdm

        seldom = 0.1 if self._terminal.isatty() else 30.0
        return tqdm(
            items,
            desc=self._prefix + desc,
            total=total,
            file=self._terminal,
            dynamic_ncols=True,
            mininterval=seldom,
            leave=items is None,
        )


@contextlib.contextmanager
def _plain_errors(folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        where = error.filename or folder
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise RunFailed(
                f"the disk of {where} is full; the last checkpoint is whole: make room and start the same "
                "command again, it goes on from there"
            ) from error
        if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EEXIST):
            raise UsageError(
                f"cannot use {where}: {error.strerror}; change its permissions or give another --out"
            ) from error
        raise RunFailed(
            f"{where}: {error.strerror or error}; start the same command again to go on"
        ) from error


@contextlib.contextmanager
def sigterm_as_exit() -> Iterator[None]:
    """SIGTERM unwinds like an interrupt, so that locks and temporary files go."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise SystemExit(128 + number)

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
