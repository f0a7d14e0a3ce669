"""The end of a run: test with the selected checkpoint, and say in `result.json` what was done."""

from __future__ import annotations

import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

import downstream_runs
from downstream_runs.engine.evaluate import Bar, Evaluation, evaluate
from downstream_runs.engine.loop import Trainer
from downstream_runs.engine.plan import RunPlan, leaves
from downstream_runs.engine.state import read_tensors
from downstream_runs.errors import RunFailed
from downstream_runs.files import sha256_file
from downstream_runs.tasks.spec import PreparedData

if TYPE_CHECKING:
    import torch

    from reports.results import Metric, Result

PACKAGES = ("torch", "torchaudio", "s3prl", "numpy", "editdistance", "soundfile", "superb-arm")


def run_labels(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, upstream: Any
) -> tuple[str, ...]:
    """Everything that keeps the numbers from being compared with published ones, each once."""
    labels = [*plan.labels, *data.labels, *plan.task.recipes[plan.recipe].labels]
    if getattr(upstream, "untrained", False):
        labels.append("untrained")
    full = plan.task.recipes["superb"].config["runner"]["total_steps"]
    if config["runner"]["total_steps"] < full:
        labels.append("shortened")
    return tuple(dict.fromkeys(labels))


def test(trainer: Trainer, folder: Path, bar: Bar) -> list[Evaluation]:
    """Evaluate the test splits with the weights that the task's rule selected."""
    task = trainer.task
    artefact = folder / task.selection.artefact
    try:
        trainer.parts.load_trained_state(read_tensors(artefact))
    except (RunFailed, FileNotFoundError) as error:
        raise RunFailed(f"{error}; train again with --rerun always") from error
    return [
        evaluate(trainer.parts, task, trainer.data, split, trainer.step, folder, bar)
        for split in task.test_splits
    ]


def make_result(
    plan: RunPlan,
    config: Mapping[str, Any],
    trainer: Trainer,
    tests: list[Evaluation],
    labels: tuple[str, ...],
    folder: Path,
) -> Result:
    """All that `result.json` holds."""
    from reports.results import Corpus, Result

    upstream = trainer.parts.upstream
    checkpoint = _checkpoint(plan, upstream)
    return Result(
        upstream=plan.upstream,
        task=plan.task.name,
        recipe=plan.recipe,
        labels=labels,
        deviations=_deviations(plan, trainer),
        metrics=_metrics(trainer, tests),
        command=plan.command or tuple(sys.argv),
        config=config,
        seed=plan.seed,
        steps=trainer.step,
        packages=_packages(),
        git_commit=_git_commit(),
        upstream_checkpoint=checkpoint,
        upstream_checkpoint_sha256=None if checkpoint is None else sha256_file(Path(checkpoint)),
        upstream_switches=_switches(plan, upstream),
        upstream_parameters=sum(parameter.numel() for parameter in upstream.parameters()),
        device=_device_name(trainer.parts.device),
        wall_seconds=round(trainer.wall_seconds, 3),
        corpus=Corpus(
            name=_corpus_name(plan, trainer),
            root=str(trainer.data.root),
            counts=trainer.data.utterances,
            hash=trainer.data.sha256,
        ),
        artefacts={name: sha256_file(folder / name) for name in (*plan.task.artefacts, "metrics.jsonl")},
        created=datetime.now(timezone.utc).isoformat(timespec="seconds"),
    )


def _corpus_name(plan: RunPlan, trainer: Trainer) -> str:
    """The corpus, which for a made one is not the real one whose layout it has."""
    name = plan.task.corpus.name
    made = " and ".join(trainer.data.labels)
    return f"{made} corpus in the layout of {name}" if made else name


def _metrics(trainer: Trainer, tests: list[Evaluation]) -> tuple[Metric, ...]:
    from reports.results import Metric

    task, best = trainer.task, _best(trainer)
    rule = task.metric(task.selection.metric)
    how = "lowest" if rule.better == "lower" else "highest"
    selection = f"{how} {rule.name} on {task.selection.split}: step {best['step']} of {trainer.step}"
    values = [
        (found.split, score.metric, score.value, score.counts, found.split == task.test_splits[0])
        for found in tests
        for score in found.scores
    ]
    values += [
        (task.selection.split, name, score["value"], score["counts"], False)
        for name, score in best["scores"].items()
    ]
    return tuple(
        Metric(
            name=name,
            value=value,
            unit=task.metric(name).unit,
            direction=task.metric(name).better,
            counts=counts,
            split=split,
            selection=selection,
            official=tested and task.metric(name).official,
            role="headline" if tested and task.metric(name).official else "information",
        )
        for split, name, value, counts, tested in values
    )


def _best(trainer: Trainer) -> Mapping[str, Any]:
    if trainer.best is None:
        raise RunFailed(
            f"no evaluation of {trainer.task.selection.split} was made; start again with --rerun always"
        )
    return trainer.best


def _deviations(plan: RunPlan, trainer: Trainer) -> tuple[str, ...]:
    recipe = dict(leaves(plan.task.recipes[plan.recipe].config))
    sentences = list(trainer.data.deviations)
    sentences += [
        f"{key} is {value!r}, the recipe has {recipe.get(key)!r}"
        for key, value in sorted(plan.overrides.items())
    ]
    if plan.precision != "fp32":
        sentences.append(f"trained in mixed precision, {plan.precision}")
    rule, value = plan.task.selection, _best(trainer)["value"]
    lower = plan.task.metric(rule.metric).better == "lower"
    if value >= rule.s3prl_bound if lower else value <= rule.s3prl_bound:
        sentences.append(
            f"the best {rule.metric} on {rule.split} is {value:.2f}; s3prl keeps a checkpoint only if it is "
            f"{'below' if lower else 'above'} {rule.s3prl_bound:g} and would have had none to test"
        )
    return (*sentences, *trainer.deviations)


def _checkpoint(plan: RunPlan, upstream: Any) -> str | None:
    """The file of the upstream's weights, as given or as the upstream says; s3prl's own name none."""
    if plan.ckpt is not None and "://" not in plan.ckpt:
        return str(Path(plan.ckpt).resolve())
    path = getattr(upstream, "checkpoint_path", None)
    return None if path is None else str(Path(path).resolve())


def _switches(plan: RunPlan, upstream: Any) -> dict[str, Any]:
    switches = dict(getattr(upstream, "switches", None) or {})
    if plan.ckpt is not None and "://" in plan.ckpt:
        switches["ckpt_url"] = plan.ckpt
    return switches


def _packages() -> dict[str, str]:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """The toolkit's commit if it runs from a git checkout, with -dirty behind it if files differ."""
    root = Path(downstream_runs.__file__).resolve().parents[1]
    if not (root / ".git").exists():
        return None
    commit = _git(root, "rev-parse", "HEAD")
    changes = _git(root, "status", "--porcelain", "--", "upstream_arm", "downstream_runs", "reports")
    return f"{commit}-dirty" if commit and changes else commit


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=20
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def _device_name(device: torch.device) -> str:
    import torch

    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"
