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
from upstream_arm.distillation.unfolding import self_distillation_loss

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
        self_distillation: weight of an unfolded student's self-distillation; 0 for none.
    """

    teacher: Teacher
    layers: int
    form: Form
    objective: Objective
    precision: Precision
    self_distillation: float = 0.0

    def loss(self, student: Callable[..., Any], batch: Batch) -> Loss:
        """The loss of a batch that is on the models' device."""
        with self._autocast(batch):
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
        """The teacher's layers; its masked pass is made for the full objective alone."""
        return self.teacher(batch.wavs, batch.lengths, batch.mask if self.objective == "full" else None)

    def _compared(self, states: list[Tensor], targets: Targets, batch: Batch) -> Loss:
        clean = shared_out(targets.clean, len(states))
        if self.objective == "star":
            return star_loss(states, clean, batch.valid)
        masked = None if targets.masked is None else shared_out(targets.masked, len(states))
        return distillation_loss(
            states, clean, masked, batch.mask, batch.valid, form=self.form, objective=self.objective
        )

    def _autocast(self, batch: Batch) -> Any:
        device = batch.wavs.device.type
        return torch.autocast(device, DTYPES[self.precision], enabled=self.precision != "fp32")


def shared_out(targets: list[Tensor], layers: int) -> list[Tensor]:
    """Of a teacher's layers those that `layers` of a student match, spread evenly, the last among them."""
    every = len(targets) // layers
    return targets[every - 1 :: every]


def validate(matching: Matching, student: Any, batches: Iterable[Batch]) -> dict[str, Any]:
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
    sums, shallow = _Distances(), _Distances()
    losses: list[Tensor] = []
    weights = torch.tensor(layer_weights(matching.layers))
    with torch.no_grad():
        for batch in batches:
            loss = matching.loss(student, batch)
            parts = [(weights * part.float().cpu()).sum() for part in (loss.masked, loss.unmasked)]
            losses.append(torch.stack([loss.total.float().cpu(), *parts]))
            clean = dataclasses.replace(batch, mask=None)
            with matching._autocast(batch):
                output = student(clean.wavs, clean.lengths, shallowest=matching.self_distillation > 0)
                targets = matching.targets(clean).clean
            for distances, states in ((sums, output.hidden_states), (shallow, output.shallow)):
                if states is not None and states[0].shape == targets[0].shape:
                    distances.add(states, shared_out(targets, len(states)), batch.valid)
    student.train(was_training)
    total, masked, unmasked = torch.stack(losses).mean(dim=0).tolist()
    found: dict[str, Any] = {"loss": total, "masked": masked, "unmasked": unmasked}
    if sums.frames:
        found["distance"] = sums.values()
        found["distance_last"] = found["distance"][-1]
    if shallow.frames:
        found["distance_last_shallowest"] = shallow.values()[-1]
    return found


class _Distances:
    """Squared errors and variances of the teacher's features over frames, layer by layer, in fp64."""

    def __init__(self) -> None:
        self.errors: dict[int, float] = {}
        self.squares: dict[int, float] = {}
        self.sums: dict[int, Tensor] = {}
        self.frames = 0

    def add(self, states: list[Tensor], targets: list[Tensor], valid: Tensor) -> None:
        self.frames += int(valid.sum())
        for layer, (state, target) in enumerate(zip(states, targets, strict=True)):
            own, wanted = state[valid].double(), target[valid].double()
            self.errors[layer] = self.errors.get(layer, 0.0) + float((own - wanted).square().sum())
            self.squares[layer] = self.squares.get(layer, 0.0) + float(wanted.square().sum())
            self.sums[layer] = self.sums.get(layer, 0.0) + wanted.sum(dim=0)

    def values(self) -> list[float]:
        means = {layer: float(total.square().sum()) / self.frames for layer, total in self.sums.items()}
        return [self.errors[layer] / (self.squares[layer] - means[layer]) for layer in sorted(means)]
