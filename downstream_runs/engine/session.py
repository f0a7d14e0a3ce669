"""One run from its plan to its result: directory, lock, journals, training, test."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from downstream_runs.engine import lock, parallel
from downstream_runs.engine.batches import Reading
from downstream_runs.engine.bench import Bench
from downstream_runs.engine.parallel import ALONE, Ranks
from downstream_runs.engine.plan import (
    RunPlan,
    check_same,
    file_identity,
    identity,
    leaves,
    resolve_config,
    run_dir,
)
from downstream_runs.engine.records import Journal
from downstream_runs.errors import RunFailed, UsageError
from downstream_runs.files import atomic_write_text
from downstream_runs.tasks.spec import PreparedData

if TYPE_CHECKING:
    from reports.results import Result

RERUN = ("missing", "always", "never")
RESULT, PLAN, S3PRL_LOG = "result.json", "plan.json", "s3prl.log"


def run(plan: RunPlan, *, rerun: str = "missing") -> Result:
    """Do what is missing of a run and return its result.

    `rerun`: `missing` continues an unfinished run and hands back a finished one's result; `always` discards
    what is there; `never` hands back a finished result and leaves an unfinished run alone (UsageError).
    A run that is killed at any moment and run again gives the same numbers. UsageError for bad input, a run
    directory in use, or one that holds another plan's run; RunFailed for a run that cannot go on.
    KeyboardInterrupt and SIGTERM (as SystemExit 143) pass through, with all files whole.
    """
    if rerun not in RERUN:
        raise UsageError(f"--rerun {rerun!r} is unknown, expected one of {', '.join(RERUN)}")
    config = resolve_config(plan)
    folder = run_dir(plan, config).resolve()
    if rerun == "always" or not (folder / RESULT).exists():
        parallel.check(plan)
    with _plain_errors(folder), _sigterm_as_exit():
        folder.mkdir(parents=True, exist_ok=True)
        with lock.hold(folder):
            if rerun == "always":
                _clear(folder)
            _remove_temporary(folder)
            data = plan.task.prepare(plan.data, plan.cache or plan.out / "cache", config)
            _check_plan(plan, config, data, folder)
            if (folder / RESULT).exists():
                return _finished(folder)
            if rerun == "never" and (folder / "events.jsonl").exists():
                raise UsageError(f"{folder} holds an unfinished run; --rerun missing continues it")
            if plan.devices > 1:
                parallel.train(_train_and_test, plan, config, data, folder)
            else:
                _train_and_test(plan, config, data, folder)
            return _finished(folder)


def _train_and_test(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path, ranks: Ranks = ALONE
) -> None:
    """Write the result; of several ranks only the leader does, the others are done when training is."""
    terminal = sys.stderr
    with (folder / S3PRL_LOG).open("a", encoding="utf-8", buffering=1) as log, _quiet(log):
        from downstream_runs import bridge

        bridge.apply()
        import torch

        from downstream_runs.engine import finish, parts, records
        from reports import results

        try:
            with ranks.leader_first():
                built = parts.build(plan, _with_data(config, data), folder)
            labels = finish.run_labels(plan, config, data, built.upstream)
            print("labels:", ", ".join(labels) or "none", file=log)
            journal = records.Journal(folder, labels)
            bench = Bench(
                plan, config, data, folder, built, _Bars(terminal, labels), journal, _reading(plan, config)
            )
            _store_features(bench)
            if plan.task.train_split is None:
                journal.rewind(0)
                _begin(journal, plan, 0, records.begun(folder))
            else:
                _train(bench, lambda message: print(message, file=terminal), ranks)
                if not ranks.leader:
                    return
            metrics = (plan.task.test or finish.best_on_dev)(bench)
            bench.write_items()
            _say_stored(bench)
            result = finish.make_result(bench, metrics, labels, records.seconds(folder))
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                "out of memory outside a training step; use a GPU with more memory, or --device cpu"
            ) from error
        results.write(folder / RESULT, result)
        journal.event("end", bench.steps, wall_seconds=result.wall_seconds)


def _store_features(bench: Bench) -> None:
    """Put a store before the upstream, if the plan asks for one and the task trains."""
    from downstream_runs.features import source
    from downstream_runs.features.store import Store

    plan, upstream = bench.plan, bench.parts.upstream
    batch_free = source.is_batch_free(upstream)
    if plan.task.train_split is None:
        return
    few = bench.data.utterances[plan.task.train_split]
    # Another head than the recipe's may have a non-linearity or attention before its mean.
    same_head = not any(key.startswith("downstream_expert.modelrc") for key in plan.overrides)
    choice = source.choose(plan.features, plan.task.pooled and same_head, batch_free, few)
    if choice.mode == "off":
        return
    switches = getattr(upstream, "switches", None) or {}
    files = [file_identity(plan.ckpt), file_identity(plan.model_config)]
    identity = source.identity(plan.upstream, files, bench.parts.upstream_sha256, switches)
    cache = plan.cache or plan.out / "cache"
    folder = source.folder(cache, identity) / f"{choice.kind}-{choice.precision}"
    if choice.mode == "disk":
        store = Store(folder, plan.features.limit)
    else:
        store = Store(None, plan.features.limit or source.MEMORY_BYTES)
    rate = bench.parts.featurizer.downsample_rate
    bench.parts.source = source.Source(upstream, identity, choice, store, rate, plan.task.random_items)
    bench.config = {**bench.config, "features": {"kind": choice.kind, "precision": choice.precision}}
    bench.deviations += source.deviations(choice, batch_free)


def _say_stored(bench: Bench) -> None:
    if bench.parts.source is not None:
        store = bench.parts.source.store
        bench.journal.event(
            "features",
            bench.steps,
            folder=None if store.folder is None else str(store.folder),
            used_again=store.hits,
            computed=store.misses,
            stored=store.written,
            bytes=store.bytes,
            full=store.full,
        )


def _train(bench: Bench, tell: Callable[[str], None], ranks: Ranks) -> None:
    """Train to the last step, from the newest good checkpoint if there is one."""
    from downstream_runs.engine import state
    from downstream_runs.engine.loop import Trainer

    plan, journal = bench.plan, bench.journal

    def warn(message: str) -> None:
        tell(message)
        journal.event("damaged_checkpoint", 0, message=message)

    checkpoints = state.Checkpoints(bench.folder, warn)
    resumed = ranks.share(checkpoints.latest())
    step = 0 if resumed is None else resumed["step"]
    checkpoints.drop_after(step)
    journal.rewind(step)
    _begin(journal, plan, step, resumed is not None)
    trainer = Trainer(
        bench.parts,
        plan.task,
        bench.config,
        bench.data,
        bench.folder,
        journal,
        checkpoints,
        bench.bar,
        bench.reading,
        precision=plan.precision,
        fold=plan.fold,
        ranks=ranks,
    )
    trainer.train(resumed)
    bench.steps, bench.best = trainer.step, trainer.best
    bench.deviations += trainer.deviations


def _begin(journal: Journal, plan: RunPlan, step: int, again: bool) -> None:
    journal.event("resume" if again else "start", step, pid=os.getpid(), command=list(plan.command))


def _reading(plan: RunPlan, config: Mapping[str, Any]) -> Reading:
    """No more loading processes than the recipe asks for and than there are cores to spare."""
    asked = next((value for key, value in leaves(config) if key.endswith(".num_workers")), 0)
    spare = max(len(os.sched_getaffinity(0)) - plan.devices, 0) // plan.devices
    return Reading(min(asked, spare), plan.seed if asked and plan.task.random_items else None)


def _finished(folder: Path) -> Result:
    from reports import results

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
        check_same(stored, wanted, folder)
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


def _clear(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != "lock":
            _remove(path)


def _remove_temporary(folder: Path) -> None:
    """What a killed run was writing."""
    for pattern in (".*.tmp", "checkpoints/.*.tmp"):
        for path in folder.glob(pattern):
            _remove(path)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink()


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
def _quiet(log: IO[str]) -> Iterator[None]:
    """What s3prl prints goes to its log."""
    with contextlib.redirect_stdout(log), contextlib.redirect_stderr(log):
        yield


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
def _sigterm_as_exit() -> Iterator[None]:
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
