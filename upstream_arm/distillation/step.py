"""What one batch costs: teacher and student on the same frames, and how far apart they are."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from upstream_arm.distillation.losses import Form, Loss, Objective, distillation_loss, layer_weights
from upstream_arm.distillation.settings import Precision
from upstream_arm.distillation.star import star_loss
from upstream_arm.distillation.stream import Batch
from upstream_arm.distillation.teacher import Targets

if TYPE_CHECKING:
    from upstream_arm.distillation.teacher import Teacher

DTYPES: dict[Precision, torch.dtype] = {
    "fp32": torch.float32,
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
}


@dataclasses.dataclass(frozen=True)
class Matching:
    """How a student's layers are compared with its teacher's.

    Attributes:
        teacher: the frozen teacher; of a deeper one every (its layers / the student's)-th layer is used.
        layers: of the student.
        form: of the loss.
        objective: of the loss.
        precision: of both forward passes.
    """

    teacher: Teacher
    layers: int
    form: Form
    objective: Objective
    precision: Precision

    def loss(self, student: Callable[..., Any], batch: Batch) -> Loss:
        """The loss of a batch that is on the models' device."""
        with self._autocast(batch):
            targets = self.targets(batch)
            output = student(batch.wavs, batch.lengths, batch.mask)
        if self.objective == "star":
            return star_loss(output.hidden_states, targets.clean, batch.valid)
        return distillation_loss(
            output.hidden_states,
            targets.clean,
            targets.masked,
            batch.mask,
            batch.valid,
            form=self.form,
            objective=self.objective,
        )

    def targets(self, batch: Batch) -> Targets:
        """The teacher's layers; its masked pass is made for the full objective alone."""
        found = self.teacher(batch.wavs, batch.lengths, batch.mask if self.objective == "full" else None)
        every = self.teacher.layers // self.layers
        masked = None if found.masked is None else found.masked[every - 1 :: every]
        return Targets(found.clean[every - 1 :: every], masked)

    def _autocast(self, batch: Batch) -> Any:
        device = batch.wavs.device.type
        return torch.autocast(device, DTYPES[self.precision], enabled=self.precision != "fp32")


def validate(matching: Matching, student: Any, batches: Iterable[Batch]) -> dict[str, Any]:
    """Losses and distances on held-out speech, the student in evaluation mode.

    Returns:
        `loss`, `masked`, `unmasked`: the objective on masks that training does not see, mean over batches;
        `distance`: for each layer the squared error on CLEAN input as a share of the variance of the
        teacher's features (0 is a perfect copy, 1 is no better than the teacher's mean frame);
        `distance_last`: of the last layer; no distances for a student of another width than its teacher's.
    """
    was_training = student.training
    student.eval()
    sums = _Distances(matching.layers)
    losses: list[Tensor] = []
    weights = torch.tensor(layer_weights(matching.layers))
    with torch.no_grad():
        for batch in batches:
            loss = matching.loss(student, batch)
            parts = [(weights * part.float().cpu()).sum() for part in (loss.masked, loss.unmasked)]
            losses.append(torch.stack([loss.total.float().cpu(), *parts]))
            clean = dataclasses.replace(batch, mask=None)
            with matching._autocast(batch):
                states = student(clean.wavs, clean.lengths).hidden_states
                targets = matching.targets(clean).clean
            if states[0].shape == targets[0].shape:
                sums.add(states, targets, batch.valid)
    student.train(was_training)
    total, masked, unmasked = torch.stack(losses).mean(dim=0).tolist()
    found: dict[str, Any] = {"loss": total, "masked": masked, "unmasked": unmasked}
    if sums.frames:
        found["distance"] = sums.values()
        found["distance_last"] = found["distance"][-1]
    return found


class _Distances:
    """Squared errors and variances of the teacher's features over frames, layer by layer, in fp64."""

    def __init__(self, layers: int) -> None:
        self.errors = [0.0] * layers
        self.squares = [0.0] * layers
        self.sums: list[Tensor | None] = [None] * layers
        self.frames = 0

    def add(self, states: list[Tensor], targets: list[Tensor], valid: Tensor) -> None:
        self.frames += int(valid.sum())
        for layer, (state, target) in enumerate(zip(states, targets, strict=True)):
            own, wanted = state[valid].double(), target[valid].double()
            self.errors[layer] += float((own - wanted).square().sum())
            self.squares[layer] += float(wanted.square().sum())
            total = wanted.sum(dim=0)
            before = self.sums[layer]
            self.sums[layer] = total if before is None else before + total

    def values(self) -> list[float]:
        shares = []
        for error, square, total in zip(self.errors, self.squares, self.sums, strict=True):
            assert total is not None, "validation has at least one batch"
            shares.append(error / (square - float(total.square().sum()) / self.frames))
        return shares
