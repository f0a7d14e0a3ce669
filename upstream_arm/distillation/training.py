"""The training loop: from settings to a student, killed any time and gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader

from upstream_arm.checkpoint import LABELS_KEY, save_student
from upstream_arm.common import devices, lock, stages
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.convolutions import receptive_field
from upstream_arm.distillation import data, state
from upstream_arm.distillation.data import Batch, DistillationDataset, seed_dropout
from upstream_arm.distillation.devices import DistributedContext, distributed
from upstream_arm.distillation.objective import DTYPES, DistillationObjective, validate
from upstream_arm.distillation.settings import Settings
from upstream_arm.distillation.teachers import Teacher, UpstreamTeacher, load_teacher
from upstream_arm.student import Student

#: From the authors' yaml files and s3prl's AdamW_with_schedule: betas, eps, warm-up; weight decay is 0.01 on
#: all but biases, whatever the yaml says. There is no clipping.
BETAS, EPS, WARMUP, WEIGHT_DECAY = (0.9, 0.98), 1e-6, 0.05, 0.01
#: Batches, the first of the run, over which the features of some teachers are standardised.
STANDARDISED = 16


@dataclasses.dataclass(frozen=True)
class RuntimeOptions:
    """What a run does beside computing; none of it changes the student."""

    device: str = "auto"  # a name of upstream_arm.common.devices
    workers: int = 0  # processes that read audio and draw masks
    save_every: int = 500  # steps between two states; the end of the run is always kept
    validate_every: int = 1000  # steps between two validations; the last step always has one
    keep_every: int | None = None  # steps between two students that are kept beside the last one


def distil(settings: Settings, folder: Path, options: RuntimeOptions) -> Path:
    """Make a student, or go on making it; returns its safetensors.

    UsageError if teacher, corpus, folder or settings cannot be used, or the training diverges.
    """
    with distributed(options.device) as context, contextlib.ExitStack() as stack:
        if settings.precision != "fp32" and not devices.casts(context.device, DTYPES[settings.precision]):
            raise UpstreamError(
                f"torch computes nothing in {settings.precision} on {context.device}; give another "
                "--precision"
            )
        if context.first:
            folder.mkdir(parents=True, exist_ok=True)
            stack.enter_context(lock.hold(folder))
            state.open_folder(folder, settings.to_mapping())
        context.wait()
        run = Distillation(settings, folder, options, context)
        target = folder / state.STUDENT
        if run.done < run.steps or not target.is_file():
            run.train(target)
        context.wait()
        return target


class Distillation:
    """One process of a run: teacher, student, optimiser and batches, as they were after step `done`."""

    def __init__(
        self, settings: Settings, folder: Path, options: RuntimeOptions, context: DistributedContext
    ) -> None:
        self.settings, self.folder, self.options, self.context = settings, folder, options, context
        self.accumulation = settings.accumulation(context.devices)
        teacher = load_teacher(settings.teacher, settings.student.layers, settings.seed)
        config = fitted(settings.student, teacher.width, teacher.layers)
        check_teacher(teacher, settings)
        self.objective = DistillationObjective(
            teacher.to(context.device),
            settings.form,
            settings.objective,
            settings.precision,
            settings.self_distillation,
        )
        self.train_set, self.dev_set = self._read_corpus(config)
        if isinstance(teacher, UpstreamTeacher) and teacher.standardises:
            first = range(min(STANDARDISED, len(self.train_set)))
            teacher.standardise(self.train_set[number].to(context.device) for number in first)
        self.steps = max(1, len(self.train_set) // (self.accumulation * context.devices))
        torch.manual_seed(settings.seed)
        self.student = Student(config).to(context.device)
        # Without masks nothing uses it, and parallel training wants a gradient for every parameter.
        self.student.mask_emb.requires_grad_(settings.ratio is not None)
        self.optimizer = adamw(self.student, settings.learning_rate)
        self.scaler = torch.amp.GradScaler(context.device.type, enabled=settings.precision == "fp16")
        self.done, content = state.load(folder) or (0, None)
        if content is not None:
            for name, part in self._parts.items():
                part.load_state_dict(content[name])

    @property
    def _parts(self) -> dict[str, Any]:
        return {"student": self.student, "optimizer": self.optimizer, "scaler": self.scaler}

    def _read_corpus(self, config: StudentConfig) -> tuple[DistillationDataset, DistillationDataset]:
        settings, root = self.settings, data.find_root(Path(self.settings.data))
        short = ("shortened",) if settings.epochs < settings.full_epochs else ()
        # What keeps the student from being compared with published ones.
        self.labels = tuple(dict.fromkeys([*self.objective.teacher.labels, *data.labels(root), *short]))
        if not self.context.first:
            self.context.wait()  # for the lengths that the first keeps
        sets: list[DistillationDataset] = []
        for splits, name in ((settings.train, "lengths.json"), (settings.dev, "lengths-dev.json")):
            found = data.find_utterances(root, splits, self.folder / name) if splits else []
            buckets, shuffled = data.buckets(found, settings.batch_size), not sets
            epochs = settings.epochs if shuffled else 1
            sets.append(
                DistillationDataset(
                    buckets, config.conv_layers, settings.ratio, epochs, settings.seed, shuffled
                )
            )
        if self.context.first:
            self.context.wait()
        return sets[0], sets[1]

    def train(self, target: Path) -> None:
        """Make the steps that are left, and write the student to `target`."""
        settings, options, context = self.settings, self.options, self.context
        at_once = self.accumulation * context.devices
        numbers = range(self.done * at_once + context.rank, self.steps * at_once, context.devices)
        batches = iter(self._loader(self.train_set, numbers))
        model: nn.Module = self.student if context.devices == 1 else DistributedDataParallel(self.student)
        journal = state.Journal(self.folder, self.done) if context.first else None
        self.student.train()
        left = range(self.done + 1, self.steps + 1)
        bar = stages.bar(
            left,
            "distilling",
            self.steps,
            initial=self.done,
            unit="step",
            leave=True,
            disable=journal is None,
        )
        for step in bar:
            rate = learning_rate(step - 1, self.steps, settings.learning_rate)
            values = self._step(model, batches, rate)
            if journal is None:
                continue
            epoch = step * at_once / len(self.train_set.buckets)
            record: dict[str, Any] = {"step": step, "epoch": epoch, "learning_rate": rate, **values}
            bar.set_postfix(loss=f"{values['loss']:.4g}", refresh=False)
            last = step == self.steps
            if self.dev_set.buckets and (last or step % options.validate_every == 0):
                held_out = self._loader(self.dev_set, range(len(self.dev_set)))
                record["dev"] = validate(
                    self.objective, self.student, (batch.to(context.device) for batch in held_out)
                )
            journal.write(record)
            if last or step % options.save_every == 0:
                content = {name: part.state_dict() for name, part in self._parts.items()}
                state.save(self.folder, step, {**content, "devices": context.devices})
            if options.keep_every and step % options.keep_every == 0 and not last:
                self._write(self.folder / state.KEPT.format(step=step), record)
        if journal is not None:
            self._write(target, journal.last)

    def _write(self, target: Path, record: dict[str, Any]) -> None:
        """The student as it is after the step of `record`."""
        about = {"settings": self.settings.to_mapping(), "steps": self.steps, "final": record}
        labels = [*self.labels, *(["unfinished"] if record["step"] < self.steps else [])]
        remarks = {key: json.dumps(value) for key, value in {LABELS_KEY: labels, **about}.items()}
        save_student(self.student.state_dict(), self.student.config, target, remarks)

    def _loader(self, dataset: DistillationDataset, numbers: range) -> DataLoader[Batch]:
        """Reads the batches of these numbers ahead."""
        return DataLoader(
            dataset,
            batch_size=None,
            sampler=numbers,
            num_workers=self.options.workers,
            pin_memory=self.context.device.type in devices.PINNED,
        )

    def _step(self, model: nn.Module, batches: Iterator[Batch], rate: float) -> dict[str, float]:
        """One step of the optimiser; what is recorded of it, means over its batches."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        names = ["loss", "masked", "unmasked", "masked_fraction"]
        names += ["divergence"] if self.settings.self_distillation else []
        sums = torch.zeros(len(names), device=self.context.device)
        self.optimizer.zero_grad(set_to_none=True)
        for index in range(self.accumulation):
            batch = next(batches)
            fraction = batch.masked_fraction
            seed_dropout(self.settings.seed, batch.number)
            waits = index + 1 < self.accumulation and isinstance(model, DistributedDataParallel)
            with cast(DistributedDataParallel, model).no_sync() if waits else contextlib.nullcontext():
                loss = self.objective.loss(model, batch.to(self.context.device))
                self.scaler.scale(loss.total / self.accumulation).backward()
            further = [] if loss.divergence is None else [loss.divergence]
            sums += torch.stack([*loss.sums(), sums.new_full((), fraction), *further])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        values = self.context.mean(sums / self.accumulation).tolist()  # waited for once
        if not all(map(math.isfinite, values)):
            raise UpstreamError(
                f"the loss became {values[0]} in {self.folder}: the training diverged; lower "
                "--learning-rate, or take --precision bf16 or fp32, with another --out"
            )
        return dict(zip(names, values, strict=True))


def fitted(config: StudentConfig, width: int, layers: int) -> StudentConfig:
    """The student with projections, if it has any, to the width of a teacher of so many layers.

    UpstreamError if the teacher's layers cannot be shared out evenly among the student's.
    """
    if layers % config.layers:
        raise UpstreamError(
            f"the teacher has {layers} layers and the student {config.layers}, expected a multiple; give "
            "another teacher, or a student of another depth (--model-config)"
        )
    return config if config.projection_dim is None else config.replace(projection_dim=width)


def check_teacher(teacher: Teacher, settings: Settings) -> None:
    """UpstreamError if the teacher takes no masks where some are needed, or has frames of its own."""
    if settings.objective == "full" and not teacher.maskable:
        raise UpstreamError(
            f"{settings.teacher} has no mask embedding, and the full loss needs its masked input; give "
            "another teacher, or another --objective"
        )
    if settings.objective != "star" and settings.student.projection_dim is None:
        raise UpstreamError(
            f"{settings.preset} has no projections to the teacher's width, which the objective "
            f"{settings.objective} compares; give --objective star, or another student"
        )
    first, step = receptive_field(settings.student.conv_layers)
    # Of a module behind s3prl's interface the step alone is known.
    theirs = receptive_field(teacher.conv_layers) if teacher.conv_layers else (first, teacher.step)
    if theirs != (first, step):
        raise UpstreamError(
            f"a frame of {settings.teacher} covers (samples, step) {theirs}, the student's {(first, step)}, "
            "expected them equal; give another teacher"
        )


def adamw(student: nn.Module, rate: float) -> torch.optim.AdamW:
    """The optimiser, with weight decay on everything but biases."""
    named = list(student.named_parameters())
    groups = [
        {"params": [p for name, p in named if not name.endswith("bias")], "weight_decay": WEIGHT_DECAY},
        {"params": [p for name, p in named if name.endswith("bias")], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPS)


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of step `step` (from 0) of `steps`: linear to `peak` over 5 %, then linear to 0."""
    progress = (step + 1) / (steps + 1)
    return peak * min(progress / WARMUP, (1 - progress) / (1 - WARMUP))
