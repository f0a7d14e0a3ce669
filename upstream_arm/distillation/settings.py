"""Everything that decides what a distillation run computes, and the paper's values of it."""

from __future__ import annotations

import dataclasses
import json
from typing import TYPE_CHECKING, Any, Literal

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.distillation.ratio import MaskRatio

if TYPE_CHECKING:
    from upstream_arm.distillation.losses import Form, Objective

Precision = Literal["fp32", "bf16", "fp16"]

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16", "fp16")
FORMS: tuple[Form, ...] = ("paper", "released")
OBJECTIVES: tuple[Objective, ...] = ("full", "masked_only", "unmasked_from_clean", "layer_to_layer", "star")
#: These see no masks.
UNMASKED: tuple[Objective, ...] = ("layer_to_layer", "star")

#: Section 4.1: 200 epochs (100 for S models at 960 h, Table 1) at an effective batch of 72.
EPOCHS = 200
EPOCHS_S_960H = 100
EFFECTIVE_BATCH = 72
#: Section 5.2: the ratio used for each amount of data.
RATIOS = {960: 0.8, 100: 0.4}
#: From the authors' yaml files: with attention map reuse, and MaskHuBERT.
LEARNING_RATE = 5e-3
LEARNING_RATE_MASKHUBERT = 5e-4
#: From the authors' yaml files and s3prl's AdamW_with_schedule: betas, eps, warm-up; weight decay is 0.01 on
#: all but biases, whatever the yaml says. There is no clipping.
BETAS = (0.9, 0.98)
EPS = 1e-6
WARMUP = 0.05
WEIGHT_DECAY = 0.01


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run. Two runs of equal settings compute the same.

    Attributes:
        preset: the student's name, for the record.
        student: its shape; the projections' width is that of the teacher once it is known.
        teacher: as `teachers.load_teacher` reads it.
        data: the corpus' folder, as given.
        train: its splits to learn from.
        dev: its splits to validate on; may be empty.
        form: of the loss.
        objective: of the loss.
        ratio: of masked frames; None exactly for `layer_to_layer` and `star`.
        epochs: passes over the training data.
        batch_size: utterances that go through the models together.
        effective_batch: utterances behind one step of the optimiser.
        learning_rate: at the end of the warm-up.
        precision: of the forward pass; weights are fp32.
        seed: of initial weights, order, masks and dropout.
        full_epochs: of the recipe that this run follows; fewer `epochs` are labelled "shortened".
        self_distillation: weight of an unfolded student's self-distillation (see `unfolding`); 0 for none.
    """

    preset: str
    student: StudentConfig
    teacher: str
    data: str
    train: tuple[str, ...]
    dev: tuple[str, ...]
    form: Form
    objective: Objective
    ratio: MaskRatio | None
    epochs: int
    batch_size: int
    effective_batch: int
    learning_rate: float
    precision: Precision
    seed: int
    full_epochs: int
    self_distillation: float = 0.0

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "effective_batch"):
            if getattr(self, name) < 1:
                raise UpstreamError(
                    f"{name} is {getattr(self, name)}, expected at least 1; correct the option"
                )
        if not 0 < self.learning_rate < float("inf"):
            raise UpstreamError(f"the learning rate is {self.learning_rate}, expected a positive number")
        if not 0 <= self.self_distillation < float("inf"):
            raise UpstreamError(
                f"the weight of self-distillation is {self.self_distillation}, expected 0 or more"
            )
        if self.self_distillation and (self.student.repeats or 1) < 2:
            raise UpstreamError(
                f"{self.preset} has one path alone, and self-distillation compares two; give an unfolded "
                "student of two repeats or more, such as --preset unfolded, or leave --self-distillation out"
            )
        if (self.ratio is None) != (self.objective in UNMASKED):
            raise UpstreamError(
                f"the objective {self.objective} and the mask ratio {self.ratio} contradict each other; "
                f"leave --mask-ratio out for {' and '.join(UNMASKED)}, and give it for every other"
            )

    def to_mapping(self) -> dict[str, Any]:
        """Plain values for json; the same for equal settings."""
        mapping = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        mapping["student"] = self.student.to_mapping()
        mapping["ratio"] = None if self.ratio is None else str(self.ratio)
        if not self.self_distillation:  # runs from before this setting go on
            del mapping["self_distillation"]
        plain: dict[str, Any] = json.loads(json.dumps(mapping))
        return plain

    def accumulation(self, devices: int) -> int:
        """Batches of each device behind one step of the optimiser.

        Raises:
            UpstreamError: if the effective batch is no multiple of what goes through at once.
        """
        at_once = self.batch_size * devices
        if self.effective_batch % at_once:
            raise UpstreamError(
                f"an effective batch of {self.effective_batch} is no multiple of {self.batch_size} "
                f"utterances on {devices} device(s); change --batch-size or --effective-batch"
            )
        return self.effective_batch // at_once


def learning_rate(step: int, steps: int, peak: float) -> float:
    """The rate of step `step` (from 0) of `steps`: linear to `peak` over 5 %, then linear to 0."""
    progress = (step + 1) / (steps + 1)
    return peak * min(progress / WARMUP, (1 - progress) / (1 - WARMUP))
