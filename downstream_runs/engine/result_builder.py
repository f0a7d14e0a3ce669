"""The end of a run: test with the selected checkpoint, and say in `result.json` what was done."""

from __future__ import annotations

import dataclasses
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from downstream_runs.core import official
from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.results import OWN_CORPUS, OWN_TASK, Corpus, Metric, Result
from downstream_runs.core.run import RunPlan, name_of
from downstream_runs.core.run_folder import METRICS
from downstream_runs.core.settings import leaves
from downstream_runs.core.task import Score, Selection
from downstream_runs.engine.trained_run import TrainedRun
from downstream_runs.upstreams import efficiency, weights
from upstream_arm import published_states
from upstream_arm.common import devices
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import sha256_file
from upstream_arm.common.program import FOLDER, installed

SKIPPED = "skipped_steps"
PACKAGES = ("torch", "torchaudio", "s3prl", "numpy", "editdistance", "rapidfuzz", "soundfile", "superb-arm")


def run_labels(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, upstream: Any
) -> tuple[str, ...]:
    """Everything that keeps the numbers from being compared with published ones, each once."""
    labels = [*data.labels, *([] if plan.task.own is None else [OWN_CORPUS])]
    labels += official.labels(plan.task, config)
    labels += plan.task.recipes[plan.recipe].labels
    if getattr(upstream, "untrained", False):
        labels.append("untrained")
    labels += getattr(upstream, "labels", ())
    if plan.quantize is not None:
        labels.append(plan.quantize)
    if plan.noise is not None:
        labels.append(plan.noise.label)
    if plan.task.train_split is not None:
        full = plan.task.recipes["superb"].config["runner"]["total_steps"]
        if config["runner"]["total_steps"] < full:
            labels.append("shortened")
    return tuple(dict.fromkeys(labels))


def best_on_dev(run: TrainedRun) -> tuple[Metric, ...]:
    """The test splits with the checkpoint that the task's rule selected, and what it had on dev."""
    task, how = run.plan.task, selection(run)
    run.load(_chosen(run)[0].artefact)
    metrics = []
    for one in [run.evaluate(split, run.steps) for split in task.test_splits]:
        run.keep_items(one.split, one.scores)
        for score in one.scores:
            spec = task.metric(score.metric)
            official = spec.official and one.split == task.test_splits[0]
            metrics.append(spec.measured(score, run.name(one.split), how, official=official))
    return (*metrics, *on_dev(run))


def on_dev(run: TrainedRun) -> tuple[Metric, ...]:
    """What the selected checkpoint had on the split that it was chosen on."""
    task, how, (rule, best) = run.plan.task, selection(run), _chosen(run)
    return tuple(
        task.metric(name).measured(
            Score(name, one["value"], one["counts"]), run.name(rule.split), how, official=False
        )
        for name, one in best["scores"].items()
    )


def selection(run: TrainedRun) -> str:
    """How the checkpoint was chosen, in words."""
    rule, best = _chosen(run)
    return run.plan.task.selected(run.name(rule.split), best["step"], run.steps)


def _chosen(run: TrainedRun) -> tuple[Selection, Mapping[str, Any]]:
    """The task's rule and the checkpoint that it chose; RunFailed if there is none."""
    if run.plan.task.selection is None or run.best is None:
        raise RunFailed("no evaluation on dev was made, so no checkpoint is selected; use --rerun always")
    return run.plan.task.selection, run.best


def make_result(run: TrainedRun, metrics: tuple[Metric, ...], wall_seconds: float) -> Result:
    """All that `result.json` holds."""
    plan, data, device = run.plan, run.data, run.components.device
    upstream = _upstream(run)
    artefacts = [name.format(fold=plan.fold) for name in plan.task.artefacts]
    # A run of fewer steps than are between two log lines has no numbers of its training.
    training = [METRICS] if run.steps and (run.folder / METRICS).exists() else []
    names = [*artefacts, *training, *run.artefacts]
    metrics = (*metrics, *skipped(run.skipped, run.steps, plan.task.train_split))
    # Official is what is on the task's own data.
    if {official.OTHER_DATA, OWN_CORPUS} & set(run.labels) or plan.noise is not None:
        metrics = tuple(dataclasses.replace(metric, official=False) for metric in metrics)
    versions = {"python": platform.python_version(), **{name: installed(name) for name in PACKAGES}}
    packages = {name: version for name, version in versions.items() if version is not None}
    return Result(
        task=plan.task.name,
        recipe=plan.recipe,
        labels=run.labels,
        deviations=_deviations(run),
        metrics=metrics,
        command=plan.command or tuple(sys.argv),
        config=recorded(plan, run.config),
        seed=plan.seed,
        steps=run.steps,
        packages=packages,
        git_commit=_git_commit(),
        **upstream,
        name=None if plan.fold else name_of(plan, run.folder),
        device=devices.name(device),
        wall_seconds=round(wall_seconds, 3),
        corpus=Corpus(
            name=_corpus_name(plan, data),
            root=str(data.root),
            counts={run.name(split): number for split, number in data.utterances.items()},
            hash=data.sha256,
        ),
        artefacts={name: sha256_file(run.folder / name) for name in names},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def recorded(plan: RunPlan, config: Mapping[str, Any]) -> dict[str, Any]:
    """The configuration as a result has it: with what defines a task of one's own, and with the noise."""
    noise = None if plan.noise is None else {**plan.noise.pinned, "folder": str(plan.noise.folder)}
    return {
        **config,
        **({} if plan.task.own is None else {OWN_TASK: dict(plan.task.own)}),
        **({} if noise is None else {"noise": noise}),
    }


def _upstream(run: TrainedRun) -> dict[str, Any]:
    """What `result.json` says of the upstream."""
    plan, upstream = run.plan, run.components.upstream
    # The file of the upstream's weights, as given or as the upstream says; s3prl's own name none.
    url = plan.ckpt if plan.ckpt is not None and "://" in plan.ckpt else None
    path = plan.ckpt if url is None else None
    path = path or getattr(upstream, "checkpoint_path", None)
    checkpoint = None if path is None else str(Path(path).resolve())
    switches = dict(getattr(upstream, "switches", None) or {}) | ({"ckpt_url": url} if url else {})
    sha256 = None if checkpoint is None else sha256_file(Path(checkpoint))
    return dict(
        upstream=weights.honest(plan.upstream, sha256),
        upstream_checkpoint=checkpoint,
        upstream_checkpoint_sha256=sha256,
        upstream_switches=switches,
        upstream_parameters=sum(parameter.numel() for parameter in upstream.parameters()),
        upstream_source=plan.source,
        upstream_revision=plan.revision,
        upstream_remote_code=plan.trust_remote_code,
        upstream_weights_sha256=getattr(upstream, "files_sha256", None) or run.components.upstream_sha256,
        states=plan.states,
        layer=plan.layer,
        quantize=upstream.quantized,
        efficiency=efficiency.measure(upstream.module) if plan.efficiency else None,
        card=run.card,
    )


def skipped(count: int, steps: int, split: str | None) -> tuple[Metric, ...]:
    """How many of a training's steps were left out, for information: s3prl does the same, no deviation."""
    if not count:
        return ()
    return (
        Metric(
            name=SKIPPED,
            value=100 * count / steps,
            unit="percent",
            direction="lower",
            counts={"skipped": count, "steps": steps},
            split=str(split),
            selection="steps whose gradient was not a number, left out as s3prl leaves them out",
            official=False,
            role="information",
        ),
    )


def _corpus_name(plan: RunPlan, data: PreparedData) -> str:
    """The corpus, which for a made one is not the real one whose layout it has."""
    name = plan.task.corpus.name
    if plan.task.own is not None:
        return name
    if data.partial:
        return f"part of {name}"
    made = " and ".join(data.labels)
    return f"{made} corpus in the layout of {name}" if made else name


def _deviations(run: TrainedRun) -> tuple[str, ...]:
    plan = run.plan
    recipe = dict(leaves(plan.task.recipes[plan.recipe].config))
    sentences = [*run.data.deviations, *plan.task.recipes[plan.recipe].deviations]
    sentences += [
        f"{key} is {value!r}, the recipe has {recipe.get(key)!r}"
        for key, value in sorted(plan.overrides.items())
        if key not in recipe or value != recipe[key]
    ]
    sentences += official.deviations(plan.task, run.config)
    if run.components.upstream.alone:
        sentences.append("each utterance is encoded alone (--batching exact); s3prl encodes it in a batch")
    sentences += _taken(plan)
    if plan.quantize is not None:
        sentences.append(
            f"dynamic {plan.quantize}: weights of the upstream's linear layers are rounded to it for each "
            "output, their inputs for each frame"
        )
    if plan.noise is not None:
        also = " and of dev, whose documents are the same" if plan.task.train_split is None else ""
        sentences.append(
            f"noise of {plan.noise.folder.name} was added to the recordings of the test{also} at "
            f"{plan.noise.snr:g} dB, after all that the task cuts of them; none to what is trained on"
        )
    sentences += data_parallel(plan, run.config)
    if plan.precision != "fp32":
        sentences.append(f"trained in mixed precision, {plan.precision}")
    rule = plan.task.selection
    if rule is not None and run.best is not None:
        value = run.best["value"]
        lower = plan.task.metric(rule.metric).better == "lower"
        if value >= rule.s3prl_bound if lower else value <= rule.s3prl_bound:
            split = run.name(rule.split)
            sentences.append(
                f"the best {rule.metric} on {split} is {value:.2f}; s3prl keeps a checkpoint only if it "
                f"is {'below' if lower else 'above'} {rule.s3prl_bound:g} and would have had none to test"
            )
    return tuple(dict.fromkeys([*sentences, *run.deviations]))


def _taken(plan: RunPlan) -> tuple[str, ...]:
    """A sentence where neither the task's protocol nor the upstream's published row has these features."""
    published = published_states.of(plan.upstream)
    usual = (plan.states, plan.layer) == (published_states.STATES, None)
    if usual or (published is not None and published.is_from(plan.states, plan.layer)):
        return ()
    chosen = published_states.in_words(plan.states, plan.layer)
    return (f"features are {chosen}, not the weighted sum over all hidden_states",)


def data_parallel(plan: RunPlan, config: Mapping[str, Any]) -> tuple[str, ...]:
    """What several devices change, in a sentence, if the plan has several."""
    if plan.devices == 1:
        return ()
    recipe = plan.task.recipes[plan.recipe].config["runner"]["gradient_accumulate_steps"]
    batches = plan.devices * config["runner"]["gradient_accumulate_steps"]
    size = "as many as" if batches == recipe else f"{batches / recipe:g} times as many as"
    return (
        f"trained data-parallel on {plan.devices} devices as s3prl's distributed runs are: a step has "
        f"{batches} of the recipe's batches, {size} in the recipe",
    )


def _git_commit() -> str | None:
    """The toolkit's commit if it runs from a git checkout, with -dirty behind it if files differ."""
    if not (FOLDER / ".git").exists():
        return None
    answers = []
    for words in (
        ("rev-parse", "HEAD"),
        ("status", "--porcelain", "--", "upstream_arm", "downstream_runs", "reports"),
    ):
        try:
            done = subprocess.run(
                ["git", "-C", str(FOLDER), *words], capture_output=True, text=True, timeout=20
            )
        except (OSError, subprocess.TimeoutExpired):
            return None
        answers.append(done.stdout.strip() if done.returncode == 0 else "")
    commit, changes = answers
    return f"{commit}-dirty" if commit and changes else commit or None
