"""The training loop: from settings to a student, killed any time and gone on with."""

from __future__ import annotations

import contextlib
import dataclasses
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader
from tqdm import tqdm

from upstream_arm.checkpoint import LABELS_KEY
from upstream_arm.common import lock
from upstream_arm.common.errors import UpstreamError
from upstream_arm.convolutions import receptive_field
from upstream_arm.distillation import corpus, state
from upstream_arm.distillation.devices import Place, place
from upstream_arm.distillation.losses import layer_weights
from upstream_arm.distillation.settings import BETAS, EPS, WEIGHT_DECAY, Settings, learning_rate
from upstream_arm.distillation.step import Matching, validate
from upstream_arm.distillation.stream import Batch, Numbers, Stream, seed_dropout
from upstream_arm.distillation.students import fitted
from upstream_arm.distillation.teacher import Teacher
from upstream_arm.distillation.teachers import load_teacher
from upstream_arm.student import Student


@dataclasses.dataclass(frozen=True)
class Habits:
    """What a run does beside computing; none of it changes the student.

    Attributes:
        device: `cpu`, `cuda` or None for a GPU where there is one.
        workers: processes that read audio and draw masks.
        save_every: steps between two states; the end of the run is always kept.
        validate_every: steps between two validations; the last step always has one.
    """

    device: str | None = None
    workers: int = 0
    save_every: int = 500
    validate_every: int = 1000


def distil(settings: Settings, folder: Path, habits: Habits) -> Path:
    """Make a student, or go on making it.

    Returns:
        The student's safetensors.

    Raises:
        UpstreamError: if teacher, corpus, folder or settings cannot be used, or the training diverges.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with place(habits.device) as here, lock.hold(folder) if here.first else contextlib.nullcontext():
        if here.first:
            state.open_folder(folder, settings.to_mapping())
        here.wait()
        return Run(settings, folder, habits, here).finish()


class Run:
    """One process of a run."""

    def __init__(self, settings: Settings, folder: Path, habits: Habits, here: Place) -> None:
        self.settings, self.folder, self.habits, self.here = settings, folder, habits, here
        self.accumulation = settings.accumulation(here.devices)
        teacher = load_teacher(settings.teacher, settings.student.layers, settings.seed)
        config = fitted(settings.student, teacher.width, teacher.layers)
        check_teacher(teacher, settings)
        teacher.to(here.device)
        self.matching = Matching(
            teacher,
            config.layers,
            settings.form,
            settings.objective,
            settings.precision,
            settings.self_distillation,
        )
        root = corpus.find_root(Path(settings.data))
        self.labels = run_labels(settings, teacher, root)
        train = corpus.utterances(root, settings.train, folder / "lengths.json") if here.first else []
        here.wait()  # the others read what the first has kept
        train = train or corpus.utterances(root, settings.train, folder / "lengths.json")
        size = settings.batch_size
        self.stream = Stream(
            corpus.buckets(train, size), config.conv_layers, settings.ratio, settings.epochs, settings.seed
        )
        dev = corpus.utterances(root, settings.dev, folder / "lengths-dev.json") if settings.dev else []
        self.dev = Stream(
            corpus.buckets(dev, size), config.conv_layers, settings.ratio, 1, settings.seed, shuffled=False
        )
        self.steps = max(1, len(self.stream) // (self.accumulation * here.devices))
        torch.manual_seed(settings.seed)
        self.student = Student(config).to(here.device)
        # Without masks nothing uses it, and parallel training wants a gradient for every parameter.
        self.student.mask_emb.requires_grad_(settings.ratio is not None)
        self.optimizer = adamw(self.student, settings.learning_rate)
        self.scaler = torch.amp.GradScaler(here.device.type, enabled=settings.precision == "fp16")

    def finish(self) -> Path:
        """Train what is left of the run, and write the student."""
        done = self._restore()
        target = self.folder / state.STUDENT
        if done == self.steps and target.is_file():
            return target
        journal = state.Journal(self.folder, done) if self.here.first else None
        with contextlib.ExitStack() as stack:
            board = stack.enter_context(_board(self.folder, done)) if self.here.first else None
            for step, record in self._train(done):
                last = step == self.steps
                if journal is not None:
                    if self.dev.buckets and (last or step % self.habits.validate_every == 0):
                        record["dev"] = validate(self.matching, self.student, self._dev_batches())
                    journal.write(record)
                    _plot(board, step, record)
                    if last or step % self.habits.save_every == 0:
                        state.save(self.folder, step, self._content())
        if self.here.first:
            state.export(self.student, target, self._about(self._last_record()))
        self.here.wait()
        return target

    def _train(self, done: int) -> Iterable[tuple[int, dict[str, Any]]]:
        """The steps after the first `done`: number (from 1) and what is to be recorded of it."""
        here, numbers = (
            self.here,
            Numbers(done, self.steps, self.accumulation, self.here.rank, self.here.devices),
        )
        loader = iter(
            DataLoader(
                self.stream,
                batch_size=None,
                sampler=numbers,
                num_workers=self.habits.workers,
                pin_memory=here.device.type == "cuda",
            )
        )
        model: nn.Module = self.student
        if here.devices > 1:
            model = DistributedDataParallel(self.student)
        self.student.train()
        bar = tqdm(total=self.steps, initial=done, desc="distilling", unit="step", disable=not here.first)
        with bar:
            for step in range(done, self.steps):
                rate = learning_rate(step, self.steps, self.settings.learning_rate)
                values = self._step(model, loader, rate)
                record = {
                    "step": step + 1,
                    "epoch": (step + 1) * self.accumulation * here.devices / len(self.stream.buckets),
                    "learning_rate": rate,
                    **dict(zip(self._recorded, values, strict=True)),
                }
                bar.set_postfix(loss=f"{values[0]:.4g}", refresh=False)
                bar.update()
                yield step + 1, record

    @property
    def _recorded(self) -> tuple[str, ...]:
        further = ("divergence",) if self.settings.self_distillation else ()
        return ("loss", "masked", "unmasked", "masked_fraction", *further)

    def _step(self, model: nn.Module, loader: Any, rate: float) -> list[float]:
        """One step of the optimiser: the values that `_recorded` names, means over its batches."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        weights = torch.tensor(layer_weights(self.matching.layers), device=self.here.device)
        sums = torch.zeros(len(self._recorded), device=self.here.device)
        self.optimizer.zero_grad(set_to_none=True)
        for index in range(self.accumulation):
            batch: Batch = next(loader)
            fraction = batch.masked_fraction
            seed_dropout(self.settings.seed, batch.number)
            waits = index + 1 < self.accumulation and isinstance(model, DistributedDataParallel)
            with cast(DistributedDataParallel, model).no_sync() if waits else contextlib.nullcontext():
                loss = self.matching.loss(model, batch.to(self.here.device))
                self.scaler.scale(loss.total / self.accumulation).backward()
            parts = [(weights * part).sum() for part in (loss.masked, loss.unmasked)]
            further = [] if loss.divergence is None else [loss.divergence]
            sums += torch.stack([loss.total.detach(), *parts, sums.new_tensor(fraction), *further])
        self.scaler.step(self.optimizer)
        self.scaler.update()
        values = self.here.mean(sums / self.accumulation).tolist()
        if not torch.isfinite(torch.tensor(values)).all():
            raise UpstreamError(
                f"the loss became {values[0]} in {self.folder}: the training diverged; lower "
                "--learning-rate, or take --precision bf16 or fp32, with another --out"
            )
        return cast("list[float]", values)

    def _dev_batches(self) -> Iterable[Batch]:
        loader = DataLoader(self.dev, batch_size=None, num_workers=self.habits.workers)
        return (batch.to(self.here.device) for batch in loader)

    def _content(self) -> dict[str, Any]:
        return {
            "student": self.student.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "devices": self.here.devices,
        }

    def _restore(self) -> int:
        found = state.load(self.folder)
        if found is None:
            return 0
        step, content = found
        self.student.load_state_dict(content["student"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.scaler.load_state_dict(content["scaler"])
        return step

    def _last_record(self) -> dict[str, Any]:
        lines = (self.folder / state.METRICS).read_text(encoding="utf-8").splitlines()
        last: dict[str, Any] = json.loads(lines[-1])
        return last

    def _about(self, last: dict[str, Any]) -> dict[str, Any]:
        return {
            LABELS_KEY: list(self.labels),
            "settings": self.settings.to_mapping(),
            "steps": self.steps,
            "final": last,
        }


def check_teacher(teacher: Teacher, settings: Settings) -> None:
    """Make sure that the teacher can do what the settings ask of it.

    Raises:
        UpstreamError: if it takes no masks where some are needed, or its frames are not the student's.
    """
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
    theirs = getattr(teacher, "conv_layers", settings.student.conv_layers)
    if receptive_field(theirs) != receptive_field(settings.student.conv_layers):
        raise UpstreamError(
            f"a frame of {settings.teacher} covers (samples, step) {receptive_field(theirs)}, the student's "
            f"{receptive_field(settings.student.conv_layers)}, expected them equal; give another teacher"
        )


def run_labels(settings: Settings, teacher: Teacher, root: Path) -> tuple[str, ...]:
    """What keeps the student from being compared with published ones."""
    short = ("shortened",) if settings.epochs < settings.full_epochs else ()
    return tuple(dict.fromkeys([*teacher.labels, *corpus.labels(root), *short]))


def adamw(student: nn.Module, rate: float) -> torch.optim.AdamW:
    """The optimiser, with weight decay on everything but biases."""
    biases: list[Tensor] = []
    others: list[Tensor] = []
    for name, parameter in student.named_parameters():
        (biases if name.endswith("bias") else others).append(parameter)
    groups = [{"params": others, "weight_decay": WEIGHT_DECAY}, {"params": biases, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=rate, betas=BETAS, eps=EPS)


def _board(folder: Path, step: int) -> Any:
    from tensorboardX import SummaryWriter

    return SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)


def _plot(board: Any, step: int, record: dict[str, Any]) -> None:
    dev = record.get("dev", {})
    values = {**record, **{f"dev/{key}": value for key, value in dev.items()}}
    for key, value in values.items():
        if key != "step" and not isinstance(value, (dict, list)):
            board.add_scalar(key, value, step)
