"""Everything that decides what a distillation run computes, and the values of arXiv 2305.11685."""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Literal, get_args

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig, reuse_pattern
from upstream_arm.presets import PRESETS, preset

Precision = Literal["fp32", "bf16", "fp16"]
Form = Literal["paper", "released"]
Objective = Literal["full", "masked_only", "unmasked_from_clean", "layer_to_layer", "star"]

PRECISIONS: tuple[Precision, ...] = get_args(Precision)
FORMS: tuple[Form, ...] = get_args(Form)
OBJECTIVES: tuple[Objective, ...] = get_args(Objective)
#: These see no masks.
UNMASKED: tuple[Objective, ...] = ("layer_to_layer", "star")

#: Section 4.1: 200 epochs (100 for S models at 960 h, Table 1) at an effective batch of 72.
EPOCHS, EPOCHS_S_960H, EFFECTIVE_BATCH = 200, 100, 72
#: By hours of LibriSpeech: the training splits, and section 5.2's ratio of masked frames.
HOURS = {100: ("train-clean-100",), 960: ("train-clean-100", "train-clean-360", "train-other-500")}
RATIOS = {960: 0.8, 100: 0.4}
VALIDATION = ("dev-clean",)
#: From the authors' yaml files: with attention map reuse, and MaskHuBERT.
LEARNING_RATE, LEARNING_RATE_MASKHUBERT = 5e-3, 5e-4

TINY = "tiny"
#: Six narrow layers with the paper's strides, every second one reusing a map: a minute on a CPU. Dropout is
#: left to the input: so small a student only loses by more.
TINY_STUDENT = StudentConfig(
    conv_layers=((24, 10, 5), (24, 1, 1), *((24, 3, 2),) * 4, (48, 1, 1), *((48, 2, 2),) * 2),
    embed_dim=48,
    ffn_dim=96,
    heads=4,
    reuse_pattern=reuse_pattern("2by6", layers=6),
    projection_dim=64,
    conv_pos=16,
    conv_pos_groups=4,
    dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
)


@dataclasses.dataclass(frozen=True)
class MaskRatio:
    """The nominal ratio of masked frames: constant, or linear over the epochs as `sch` in Table 4."""

    start: float
    end: float

    def __post_init__(self) -> None:
        for value in (self.start, self.end):
            if not 0 < value < 1:
                raise UpstreamError(
                    f"the mask ratio {value} is not between 0 and 1; give one such as 0.8, or 0.4:0.8 for "
                    "a linear schedule"
                )

    @classmethod
    def parse(cls, text: str) -> MaskRatio:
        """Read `0.8`, or `0.4:0.8` for a linear schedule; UpstreamError for anything else."""
        try:
            values = [float(part) for part in text.split(":")]
        except ValueError:
            values = []
        if len(values) not in (1, 2):
            raise UpstreamError(f"the mask ratio {text!r} is no number; give one such as 0.8, or 0.4:0.8")
        return cls(values[0], values[-1])

    def __str__(self) -> str:
        return f"{self.start:g}" if self.start == self.end else f"{self.start:g}:{self.end:g}"

    def at(self, epoch: int, epochs: int) -> float:
        """The ratio in `epoch`, counted from 0; the authors' schedule would reach `end` after the last."""
        return self.start + (self.end - self.start) * epoch / max(1, epochs)


@dataclasses.dataclass(frozen=True)
class Settings:
    """One run; two runs of equal settings compute the same. UpstreamError for values that contradict."""

    preset: str  # the student's name, for the record
    student: StudentConfig  # its projections get the teacher's width once that is known
    teacher: str  # as `teachers.load_teacher` reads it
    data: str  # the corpus' folder, as given
    train: tuple[str, ...]  # its splits to learn from
    dev: tuple[str, ...]  # its splits to validate on; may be empty
    form: Form
    objective: Objective
    ratio: MaskRatio | None  # None exactly for the objectives in UNMASKED
    epochs: int
    batch_size: int  # utterances that go through the models together
    effective_batch: int  # utterances behind one step of the optimiser
    learning_rate: float  # at the end of the warm-up
    precision: Precision  # of the forward passes; weights are fp32
    seed: int  # of initial weights, order, masks and dropout
    full_epochs: int  # of the recipe; a run of fewer `epochs` is labelled "shortened"
    self_distillation: float = 0.0  # weight of `losses.self_distillation_loss`; 0 for none

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
        """Batches of each device behind one step; UpstreamError if the effective batch is no multiple."""
        at_once = self.batch_size * devices
        if self.effective_batch % at_once:
            raise UpstreamError(
                f"an effective batch of {self.effective_batch} is no multiple of {self.batch_size} "
                f"utterances on {devices} device(s); change --batch-size or --effective-batch"
            )
        return self.effective_batch // at_once


@dataclasses.dataclass(frozen=True)
class StudentRecipe:
    """A student's shape and the values of its training; the fields are those of `Settings`."""

    name: str
    config: StudentConfig
    hours: int  # of LibriSpeech, 100 or 960
    epochs: int = EPOCHS
    learning_rate: float = LEARNING_RATE
    effective_batch: int = EFFECTIVE_BATCH
    batch_size: int = 18


def recipe(name: str, hours: int | None = None) -> StudentRecipe:
    """The recipe of a preset, or of `tiny`; `armhubert_s` and `armwavlm_s` are completed by the hours.

    Without `hours` they are those of the name: 100 for the students of Table 2, else 960. UpstreamError for
    an unknown name.
    """
    if name == TINY:
        # Its rates and batches suit the demo corpus of sixty short utterances.
        return StudentRecipe(TINY, TINY_STUDENT, hours or 100, 20, 5e-3, 10, 10)
    if hours is None:
        hours = 100 if name.endswith("_100h") or name.startswith("table2") else 960
    if name not in PRESETS and f"{name}_{hours}h" in PRESETS:
        name = f"{name}_{hours}h"
    return StudentRecipe(
        name=name,
        config=preset(name),
        hours=hours,
        epochs=EPOCHS_S_960H if name.endswith("_s_960h") else EPOCHS,
        learning_rate=LEARNING_RATE_MASKHUBERT if name == "maskhubert" else LEARNING_RATE,
    )
