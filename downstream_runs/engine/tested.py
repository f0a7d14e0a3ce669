"""The head of a finished run on another test set than its task's: numbers of their own, never the task's."""

from __future__ import annotations

import dataclasses
import sys
import time
from pathlib import Path

from downstream_runs.core import results
from downstream_runs.core.results import TEST_ONLY, Result
from downstream_runs.core.run import RunPlan, resolve_config
from downstream_runs.core.run_folder import CACHE, EVENTS, S3PRL_LOG
from downstream_runs.core.run_folder import TEST_ONLY as RESULT
from downstream_runs.corpora import audio
from downstream_runs.engine import result_builder, session
from downstream_runs.engine.checkpoints import read_tensors
from downstream_runs.engine.trained_run import TrainedRun
from upstream_arm.common import lock
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import sha256_file
from upstream_arm.common.stages import stage


def test(plan: RunPlan, split: str, head: Result, trained: Path, folder: Path) -> Result:
    """Evaluate `split` of the plan's data with the selected checkpoint of the run in `trained`, whose result
    is `head`, into `folder`, and write the result there.

    UsageError for data that cannot be used, and where upstream or checkpoint are not those of the result.
    """
    config, began, terminal = resolve_config(plan), time.monotonic(), sys.stderr
    with session.sigterm_as_exit(), session.plain_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        with lock.hold(folder):
            data = plan.task.corpus.prepare(plan.data, plan.out / CACHE, config, plan.partial)
            with stage("hashing a sample of the audio"):
                data = audio.sampled(data)
            with session.logged(folder):
                with stage("loading the upstream and s3prl's lists", terminal):
                    run = session.build(plan, config, data, folder, terminal)
                run.steps = head.steps
                _load(run, head, trained)
                return _evaluated(run, split, head, trained, began)


def _load(run: TrainedRun, head: Result, trained: Path) -> None:
    """Put the run's selected checkpoint in place, on the upstream that it was trained on."""
    rule = run.plan.task.selection
    assert rule is not None  # the caller has seen to it
    upstream = run.components.upstream
    found = getattr(upstream, "files_sha256", None) or run.components.upstream_sha256
    if head.upstream_weights_sha256 not in (None, found):
        raise UsageError(
            f"the upstream has the weights {found[:12]} (SHA-256), and the head in {trained} was trained on "
            f"{str(head.upstream_weights_sha256)[:12]}; name these with --ckpt FILE"
        )
    path = trained / rule.artefact
    try:
        state, sha256 = read_tensors(path), sha256_file(path)
    except (RunFailed, OSError) as error:
        raise UsageError(f"{path} cannot be read ({error}), the run's checkpoint was expected") from None
    if sha256 != head.artefacts.get(rule.artefact):
        raise UsageError(f"{path} is not the checkpoint of the result beside it; train with --rerun always")
    try:
        run.components.load_trained_state(state)
    except RuntimeError as error:
        raise UsageError(f"the head of {path} does not fit this test set: {error}") from None


def _evaluated(run: TrainedRun, split: str, head: Result, trained: Path, began: float) -> Result:
    task, folder = run.plan.task, run.folder
    found = run.evaluate(split, head.steps)
    run.keep_items(split, found.scores)
    run.write_items()
    how = next(metric.selection for metric in head.metrics if metric.role == "headline")
    metrics = tuple(
        dataclasses.replace(
            spec.measured(score, run.name(split), how, official=spec.official), official=False
        )
        for score in found.scores
        for spec in [task.metric(score.metric)]
    )
    names = [str(path.relative_to(folder)) for path in sorted(folder.rglob("*")) if path.is_file()]
    left_out = (lock.NAME, RESULT, S3PRL_LOG, EVENTS)
    run.artefacts = [name for name in names if name not in left_out]
    run.plan = dataclasses.replace(run.plan, task=dataclasses.replace(task, artefacts=()))
    run.labels = tuple(dict.fromkeys((*run.labels, TEST_ONLY)))
    of = f"{trained.name} (its result: {head.content_sha256[:12]})"
    run.deviations.append(f"tested only: the head was trained and chosen in the run {of}")
    result = result_builder.make_result(run, metrics, time.monotonic() - began)
    return results.write(folder / RESULT, result)
