"""What one batch costs: teacher and student on the same frames, and how far apart they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

from upstream_arm.common import devices
from upstream_arm.distillation.data import Batch
from upstream_arm.distillation.losses import Loss, distillation_loss, self_distillation_loss, star_loss
from upstream_arm.distillation.settings import Form, Objective, Precision
from upstream_arm.distillation.teachers import Targets, Teacher, of_length

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclasses.dataclass(frozen=True)
class DistillationObjective:
    """How a student's layers are compared with those of a frozen teacher; the fields are those of `Settings`.

    Of a deeper teacher every (its layers / the student's)-th layer is used.
    """

    teacher: Teacher
    form: Form
    objective: Objective
    precision: Precision
    self_distillation: float = 0.0

    def loss(self, student: Callable[..., Any], batch: Batch) -> Loss:
        """The loss of a batch that is on the models' device."""
        with self.autocast(batch):
            targets = self.targets(batch)
            if not self.self_distillation:
                output = student(batch.wavs, batch.lengths, batch.mask)
                return self._compared(output.hidden_states, targets, batch)
            output = student(batch.wavs, batch.lengths, batch.mask, shallowest=True)
        deepest = self._compared(output.hidden_states, targets, batch)
        shallowest = self._compared(output.shallow, targets, batch)
        divergence = self_distillation_loss(output.hidden_states[-1], output.shallow[-1], batch.valid)
        total = deepest.total + shallowest.total + self.self_distillation * divergence
        return dataclasses.replace(deepest, total=total, divergence=divergence.detach())

    def targets(self, batch: Batch) -> Targets:
        """The teacher's layers on the student's frames; its masked pass is made for the full objective alone.

        Teachers that pad their input have a frame or two more, which are left out.
        """
        targets: Targets = self.teacher(
            batch.wavs, batch.lengths, batch.mask if self.objective == "full" else None
        )
        frames = batch.valid.shape[1]
        if targets.clean[0].shape[1] == frames:
            return targets
        clean = [of_length(state, frames) for state in targets.clean]
        masked = targets.masked and [of_length(state, frames) for state in targets.masked]
        return Targets(clean, masked)

    def autocast(self, batch: Batch) -> torch.autocast:
        """The precision of forward passes on the batch's device."""
        device = batch.wavs.device.type
        return torch.autocast(device, DTYPES[self.precision], enabled=self.precision != "fp32")

    def _compared(self, states: list[Tensor], targets: Targets, batch: Batch) -> Loss:
        clean = spread(targets.clean, len(states))
        if self.objective == "star":
            return star_loss(states, clean, batch.valid)
        masked = None if targets.masked is None else spread(targets.masked, len(states))
        return distillation_loss(
            states, clean, masked, batch.mask, batch.valid, form=self.form, objective=self.objective
        )


def spread(targets: list[Tensor], layers: int) -> list[Tensor]:
    """Of a teacher's layers those that `layers` of a student match, spread evenly, the last among them."""
    every = len(targets) // layers
    return targets[every - 1 :: every]


def validate(objective: DistillationObjective, student: Any, batches: Iterable[Batch]) -> dict[str, Any]:
    """Losses and distances on held-out speech, the student in evaluation mode.

    Returns:
        `loss`, `masked`, `unmasked`: the objective on masks that training does not see, mean over batches;
        `distance`: for each layer the squared error on CLEAN input as a share of the variance of the
        teacher's features (0 is a perfect copy, 1 is no better than the teacher's mean frame);
        `distance_last`: of the last layer; no distances for a student of another width than its teacher's;
        `distance_last_shallowest`: with self-distillation, that of the shallowest path.
    """
    was_training = student.training
    student.eval()
    deepest, shallowest = _Distances(), _Distances()
    losses: list[Tensor] = []
    with torch.no_grad():
        for batch in batches:
            losses.append(objective.loss(student, batch).sums().float().cpu())
            with objective.autocast(batch):
                output = student(batch.wavs, batch.lengths, shallowest=objective.self_distillation > 0)
                targets = objective.targets(dataclasses.replace(batch, mask=None)).clean
            for distances, states in ((deepest, output.hidden_states), (shallowest, output.shallow)):
                if states is not None and states[0].shape == targets[0].shape:
                    distances.add(states, spread(targets, len(states)), batch.valid)
    student.train(was_training)
    values = torch.stack(losses).mean(dim=0).tolist()
    record: dict[str, Any] = dict(zip(("loss", "masked", "unmasked"), values, strict=True))
    if deepest.frames:
        record["distance"] = deepest.values()
        record["distance_last"] = record["distance"][-1]
    if shallowest.frames:
        record["distance_last_shallowest"] = shallowest.values()[-1]
    return record


class _Distances:
    """Squared errors and variances of the teacher's features over frames, layer by layer, in fp64."""

    frames = 0
    errors: Tensor | float = 0.0  # [layer]
    squares: Tensor | float = 0.0  # [layer]
    sums: Tensor | float = 0.0  # [layer, feature]

    def add(self, states: list[Tensor], targets: list[Tensor], valid: Tensor) -> None:
        self.frames += int(valid.sum())
        place = devices.able(valid.device, devices.FLOAT64)
        pairs = [
            (s[valid].to(place, torch.float64), t[valid].to(place, torch.float64))
            for s, t in zip(states, targets, strict=True)
        ]
        self.errors += torch.stack([(own - wanted).square().sum() for own, wanted in pairs])
        self.squares += torch.stack([wanted.square().sum() for _, wanted in pairs])
        self.sums += torch.stack([wanted.sum(dim=0) for _, wanted in pairs])

    def values(self) -> list[float]:
        means = torch.stack([total.square().sum() for total in torch.as_tensor(self.sums)]) / self.frames
        return [float(value) for value in self.errors / (self.squares - means)]
