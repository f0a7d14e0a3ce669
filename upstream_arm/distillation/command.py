"""Distil a student from a frozen teacher."""

from __future__ import annotations

import argparse
import json
import os
import shlex
from pathlib import Path
from typing import Any

from upstream_arm.common import devices
from upstream_arm.common.arguments import between
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.program import PROGRAM
from upstream_arm.config import StudentConfig, reuse_pattern
from upstream_arm.config_yaml import load_yaml
from upstream_arm.distillation.plans import TABLES, plan
from upstream_arm.distillation.settings import (
    FORMS,
    HOURS,
    OBJECTIVES,
    PRECISIONS,
    RATIOS,
    UNMASKED,
    VALIDATION,
    MaskRatio,
    Settings,
    recipe,
)
from upstream_arm.encoders import hub
from upstream_arm.names import SWITCHES

EXAMPLES = """\
examples:
  python -m upstream_arm distill --teacher facebook/hubert-base-ls960 --data /corpora --preset armhubert_s
  python -m upstream_arm distill --teacher random:hubert --data runs/demo-data --preset tiny
  torchrun --nproc-per-node 4 -m upstream_arm distill --teacher ... --data ... --preset armhubert
  python -m upstream_arm distill --teacher ... --data ... --preset unfolded --self-distillation 1
  python -m upstream_arm distill --ablation table3 --teacher facebook/hubert-base-ls960 --data /corpora

Killed at any time, the same command goes on and ends with the same student.
"""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `distill`."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = EXAMPLES
    add = parser.add_argument
    count, positive = between(0, 2**32 - 1), between(1, 2**32 - 1)  # numpy takes no larger seed
    add(
        "--teacher",
        required=True,
        help="folder or Hugging Face name (hf:ORG/NAME) of a HuBERT, WavLM, Whisper or another speech "
        "encoder of transformers; s3prl:UPSTREAM; random:hubert, random:wav2vec2 or random:wavlm",
    )
    add("--data", required=True, metavar="DIR", help="LibriSpeech, or a folder of flac or wav files")
    add("--preset", metavar="NAME", help="the student: armhubert, armhubert_s, maskhubert, table2_..., tiny")
    add("--model-config", metavar="YAML", help="the student's yaml, in place of a preset's shape")
    add("--reuse-pattern", metavar="P", help="none, 2by6, 3by4, 6by2 or a list, over the student's")
    softmax = "default %(default)s, the paper's equation 4"
    add("--reuse-softmax", choices=SWITCHES["reuse_softmax"], default="single", help=softmax)
    add("--batching", choices=SWITCHES["batching"], default="exact", help="default %(default)s")
    add("--hours", type=int, choices=sorted(RATIOS), help="of LibriSpeech (default: the preset's)")
    folders = "comma-separated folders of DATA, over those of --hours"
    add("--train", metavar="SPLITS", type=_splits, help=folders)
    validation = "likewise for validation (default dev-clean; '' for none)"
    add("--dev", metavar="SPLITS", type=_splits, default=VALIDATION, help=validation)
    add("--out", metavar="DIR", type=Path, help="the run's folder (default runs/distill/...)")
    add("--loss", choices=FORMS, default="paper", help="form of the loss (default %(default)s)")
    add("--objective", choices=OBJECTIVES, default="full", help="of the loss (default %(default)s)")
    add("--mask-ratio", metavar="R", help="0.8, or 0.4:0.8 for a linear schedule (default: the hours')")
    add("--epochs", type=int, help="default: the recipe's")
    add("--batch-size", type=int, help="utterances at once on a device (default: what the devices allow)")
    add("--effective-batch", type=int, help="utterances behind one step (default 72)")
    add("--learning-rate", type=float, help="at its peak (default: the recipe's)")
    add("--repeats", type=int, metavar="N", help="unfold the student: run each of its layers N times")
    path = "weight of the loss between an unfolded student's deepest and shallowest path (default 0)"
    add("--self-distillation", type=float, default=0.0, metavar="W", help=path)
    add("--precision", choices=PRECISIONS, help="default fp16 on an accelerator, fp32 on a CPU")
    add("--seed", type=count, default=0)
    add("--device", metavar="NAME", default="auto", help=f"{devices.NAMES}; default %(default)s")
    add("--workers", type=count, default=2, help="processes that read audio (default %(default)s)")
    add("--save-every", type=positive, default=500, metavar="STEPS", help="default %(default)s")
    add("--validate-every", type=positive, default=1000, metavar="STEPS", help="default %(default)s")
    kept = "keep the student after every so many steps too, as student-STEP.safetensors (default: the last)"
    add("--keep-every", type=positive, metavar="STEPS", help=kept)
    add("--ablation", choices=TABLES, help="print the commands that make the students of a table")


def run(options: argparse.Namespace) -> int:
    """Distil, or print a plan; UpstreamError for anything that cannot be used."""
    if options.ablation:
        print(plan(options.ablation, options.words))
        return 0
    settings = settings_of(options)

    from upstream_arm.distillation.training import RuntimeOptions, distil

    every = options.save_every, options.validate_every, options.keep_every
    runtime = RuntimeOptions(options.device, options.workers, *every)
    print(summary(distil(settings, options.out or default_folder(settings), runtime)), flush=True)
    return 0


def settings_of(options: argparse.Namespace) -> Settings:
    """The settings that the options ask for; UpstreamError for values that cannot be used."""
    if options.preset is None and options.model_config is None:
        raise UpstreamError(
            "no student is named; give --preset NAME (such as armhubert_s), or --model-config YAML"
        )
    chosen = recipe(options.preset or "armhubert", options.hours)
    values = {
        name: getattr(chosen if getattr(options, name) is None else options, name)
        for name in ("epochs", "effective_batch", "learning_rate", "batch_size")
    }
    if options.batch_size is None:
        # The recipe's, or the largest below it of which this run's devices make the effective batch evenly;
        # where none does, Settings.accumulation says so.
        at_once = int(os.environ.get("WORLD_SIZE", "1"))
        fitting = (
            n for n in range(chosen.batch_size, 0, -1) if values["effective_batch"] % (n * at_once) == 0
        )
        values["batch_size"] = next(fitting, chosen.batch_size)
    precision: Any = options.precision or ("fp32" if devices.pick(options.device).type == "cpu" else "fp16")
    ratio = options.mask_ratio or (None if options.objective in UNMASKED else str(RATIOS[chosen.hours]))
    return Settings(
        preset=chosen.name if options.preset else Path(options.model_config).stem,
        student=_student(options, load_yaml(options.model_config) if options.model_config else chosen.config),
        teacher=_pinned(options.teacher),
        data=options.data,
        train=HOURS[chosen.hours] if options.train is None else options.train,
        dev=options.dev,
        form=options.loss,
        objective=options.objective,
        ratio=None if ratio is None else MaskRatio.parse(ratio),
        precision=precision,
        seed=options.seed,
        full_epochs=chosen.epochs,
        self_distillation=options.self_distillation,
        **values,
    )


def default_folder(settings: Settings) -> Path:
    """`runs/distill/` with a name that tells the usual runs apart."""
    teacher = settings.teacher.rstrip("/").split("/")[-1].replace(":", "-")
    parts = [settings.preset, "from", teacher, settings.objective, settings.form]
    if settings.student.repeats is not None:
        parts.append(f"repeats{settings.student.repeats}")
    if settings.self_distillation:
        parts.append(f"self{settings.self_distillation:g}")
    if settings.ratio is not None:
        parts.append(str(settings.ratio).replace(":", "-"))
    return Path("runs", "distill", "_".join([*parts, f"seed{settings.seed}"]))


def summary(student: Path) -> str:
    """What was made, and how to benchmark it."""
    from upstream_arm.checkpoint import read

    checkpoint = read(student)
    final = json.loads(str(checkpoint.metadata["final"]))
    lines = [
        f"wrote {student} after {checkpoint.metadata['steps']} steps: loss {final['loss']:.4g} "
        f"(masked {final['masked']:.4g}, unmasked {final['unmasked']:.4g})"
    ]
    dev = final.get("dev", {})
    if "distance_last" in dev:
        lines.append(
            f"held out: loss {dev['loss']:.4g}, distance of the last layer {dev['distance_last']:.4g} (0 is "
            "a copy of the teacher, 1 no better than its mean)"
        )
    if checkpoint.labels:
        labels = ", ".join(checkpoint.labels)
        lines.append(f"labels: {labels}; results with it say nothing about a published student")
    lines.append(f"benchmark it: {PROGRAM} armhubert_local asr --ckpt {shlex.quote(str(student))}")
    return "\n".join(lines)


def _student(options: argparse.Namespace, config: StudentConfig) -> StudentConfig:
    changes: dict[str, Any] = {"reuse_softmax": options.reuse_softmax, "batching": options.batching}
    if options.reuse_pattern:
        changes["reuse_pattern"] = reuse_pattern(options.reuse_pattern, config.blocks)
    if options.repeats is not None:
        changes["repeats"] = options.repeats
    if options.objective == "star":
        changes["projection_dim"] = None
    return config.replace(**changes)


def _pinned(teacher: str) -> str:
    """The teacher with the commit that its branch is now, so that a run goes on with the same one."""
    if not teacher.startswith("hf:"):
        return teacher

    repository, revision = hub.parse(teacher)
    return hub.text(repository, hub.resolve(repository, revision))


def _splits(text: str) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip())
