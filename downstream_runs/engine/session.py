"""One run from its plan to its result: directory, lock, journals, training, test."""

from __future__ import annotations

import contextlib
import dataclasses
import errno
import json
import signal
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import IO, Any

import torch

from downstream_runs import bridge
from downstream_runs.core import official, records, results
from downstream_runs.core.corpus import PreparedData, shortfall
from downstream_runs.core.results import Result
from downstream_runs.core.run import (
    RunPlan,
    as_begun,
    check_same,
    file_identity,
    identity,
    resolve_config,
    run_dir,
)
from downstream_runs.core.run_folder import CACHE, CHECKPOINTS, PLAN, RESULT, S3PRL_LOG, RunFolder
from downstream_runs.core.settings import leaves
from downstream_runs.corpora import audio, noise
from downstream_runs.engine import (
    components,
    distributed,
    feature_setup,
    folds,
    result_builder,
    train,
    upstream_card,
)
from downstream_runs.engine.batches import Reading
from downstream_runs.engine.distributed import ALONE, DistributedContext
from downstream_runs.engine.trained_run import TrainedRun
from downstream_runs.upstreams import weights
from upstream_arm.common import lock, processes
from upstream_arm.common.arguments import without
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import atomic_write_text, read_json
from upstream_arm.common.stages import stage

RERUN = ("missing", "always", "never")


def run(plan: RunPlan, *, rerun: str = "missing", with_demo: bool = False) -> Result:
    """Do what is missing of a run, all its folds where the plan names none; returns the task's result.

    The number of a task with folds is the mean of the folds' numbers; there is none before all are done.
    `rerun`: `missing` continues an unfinished run and hands back a finished one's result; `always` discards
    what is there; `never` hands back a finished result and leaves an unfinished run alone (UsageError).
    with_demo: make the task's synthetic corpus first.

    A run that is killed at any moment and run again gives the same numbers. UsageError for bad input, a run
    directory in use, or one that holds another plan's run; RunFailed for a run that cannot go on. Why it
    failed is left in its folder. KeyboardInterrupt and SIGTERM (as SystemExit 143) pass through, with all
    files whole.
    """
    with RunFolder(run_dir(plan)).attempt():
        if with_demo:
            with stage(f"making {plan.task.corpus.name} of synthetic speech"):
                plan.task.corpus.make_demo(plan.data)
        if not plan.task.folds or plan.fold is not None:
            return _run(plan, rerun)
        found = [_run(dataclasses.replace(plan, fold=fold), rerun) for fold in plan.folds]
        folder = run_dir(plan)
        return results.write_unless_same(folder / RESULT, folds.mean(plan, found, folder))


def _run(plan: RunPlan, rerun: str) -> Result:
    """The same for a run without folds, or for one fold."""
    if rerun not in RERUN:
        raise UsageError(f"--rerun {rerun!r} is unknown, expected one of {', '.join(RERUN)}")
    config = resolve_config(plan)
    folder = run_dir(plan, config).resolve()
    files = RunFolder(folder)
    # A finished run is handed back also where its devices are not.
    if rerun == "always" or not files.is_finished:
        distributed.check(plan)
    clean = _trained_without_noise(plan, files, rerun)
    with sigterm_as_exit(), plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with lock.hold(folder):
            if rerun == "always":
                files.remove()
            files.remove(".*.tmp", f"{CHECKPOINTS}/.*.tmp")  # what a killed process was writing
            data = plan.task.corpus.prepare(plan.data, plan.out / CACHE, config, plan.partial)
            with stage("hashing a sample of the audio"):
                data = audio.sampled(data)
            _check_plan(plan, config, data, folder)
            if not files.is_finished:
                if rerun == "never" and records.begun(folder):
                    raise UsageError(f"{folder} holds an unfinished run; --rerun missing continues it")
                if clean is not None:
                    RunFolder(folder).begin_as(clean)
                if plan.devices > 1 and clean is None:
                    distributed.train(_train_and_test, plan, config, data, folder)
                else:
                    _train_and_test(plan, config, data, folder)
            # A fold's result is pinned by that of all folds, a rate's by its sweep's.
            part = plan.fold is not None or plan.group
            return results.named(folder / RESULT, None if part else plan.name or None)


def _trained_without_noise(plan: RunPlan, files: RunFolder, rerun: str) -> Path | None:
    """The folder of the same run without noise, after it was done; None where it has no part in this one."""
    if plan.noise is None or plan.task.train_split is None or (files.is_finished and rerun != "always"):
        return None
    command = tuple(without(plan.command, ("--noise", "--noise-dir")))
    plain = dataclasses.replace(plan.without_noise, command=command)
    run(plain, rerun="missing" if rerun == "always" else rerun)
    return run_dir(plain)


def _train_and_test(
    plan: RunPlan,
    config: Mapping[str, Any],
    data: PreparedData,
    folder: Path,
    context: DistributedContext = ALONE,
) -> None:
    """Write the result; of several workers only the leader does, the others are done when training is."""
    terminal = sys.stderr
    with logged(folder):
        if data.partial and context.leader:
            print(shortfall(data.partial), file=terminal)
        with context.leader_first(), stage("loading the upstream and s3prl's lists", terminal):
            trained_run = build(plan, config, data, folder, terminal)
        if context.leader:
            upstream_card.introduce(trained_run)
        if plan.task.train_split is None:
            trained_run.journal.rewind(0)
            train.note_session(trained_run, 0, records.begun(folder))
        else:
            train.train(trained_run, context)
            if not context.leader:
                return
        metrics = (plan.task.test or result_builder.best_on_dev)(trained_run)
        trained_run.write_items()
        feature_setup.report(trained_run)
        result = result_builder.make_result(trained_run, metrics, records.seconds(folder))
        results.write(folder / RESULT, result)
        RunFolder(folder).forget_evaluations()
        trained_run.journal.event("end", trained_run.steps, wall_seconds=result.wall_seconds)


def build(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path, terminal: IO[str]
) -> TrainedRun:
    """Everything that a run is made of, with progress on `terminal`; what is printed goes to the log."""
    bridge.apply()
    built = components.build(plan, data.added_to(config), folder)
    labels = result_builder.run_labels(plan, config, data, built.upstream)
    print("labels:", ", ".join(labels) or "none", file=sys.stderr)
    if data.partial:
        print(shortfall(data.partial), file=sys.stderr)
    journal = records.Journal(folder, labels, official.read(plan.task, config))
    # No more loading processes than the recipe asks for and than there are cores to spare.
    asked = next((value for key, value in leaves(config) if key.endswith(".num_workers")), 0)
    spare = max(processes.cores() - plan.devices, 0) // plan.devices
    reading = Reading(min(asked, spare), plan.seed if plan.task.random_items and asked else None)
    mixer = None if plan.noise is None else noise.Mixer(plan.noise)
    trained_run = TrainedRun(
        plan, config, data, folder, built, terminal, journal, reading, labels, mixer=mixer
    )
    feature_setup.set_up(trained_run)
    return trained_run


@contextlib.contextmanager
def logged(folder: Path) -> Iterator[None]:
    """What s3prl prints goes to the run's log; memory that ends outside a training step becomes RunFailed."""
    with (
        (folder / S3PRL_LOG).open("a", encoding="utf-8", buffering=1) as log,
        contextlib.redirect_stdout(log),
        contextlib.redirect_stderr(log),
    ):
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                "out of memory outside a training step; use a GPU with more memory, or --device cpu"
            ) from error


def _check_plan(plan: RunPlan, config: Mapping[str, Any], data: PreparedData, folder: Path) -> None:
    path = folder / PLAN
    told = weights.told(plan.upstream, plan.ckpt, file_identity(plan.ckpt), plan.revision)
    wanted = json.loads(json.dumps(identity(plan, config, data, told)))
    if path.exists():
        stored = read_json(path)
        if stored is None:
            raise UsageError(f"{path} is no JSON; use --rerun always to discard the run, or another --out")
        check_same(stored, as_begun(stored, wanted), folder)
        if not plan.name or stored.get("name") == plan.name:
            return
        wanted = {**stored, "name": plan.name}
    atomic_write_text(path, json.dumps(wanted, indent=1) + "\n")


@contextlib.contextmanager
def plain_errors(folder: Path) -> Iterator[None]:
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
