"""Steps a second and memory of distillation, against the straightforward way of doing it.

    python benchmarks/distillation.py                              # armhubert; on a GPU if there is one
    python benchmarks/distillation.py --preset tiny --seconds 2    # small models

Ours: the teacher's convolutions once, its layers once on clean and masked frames together, the student
without written-out attention maps (single softmax). Straightforward: two complete passes of the teacher,
all maps of the student written out. Both compute the same loss; forward, backward and optimiser step are
timed, turn by turn in one process; memory is what a step needs beyond weights and the optimiser's state. The
teacher is the HuBERT BASE architecture with random weights (`random:hubert` for tiny): what is measured is
cost.
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import functools
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from upstream import peak_memory

from upstream_arm.convolutions import frames
from upstream_arm.distillation.data import Batch
from upstream_arm.distillation.masking import sample_mask
from upstream_arm.distillation.objective import DistillationObjective
from upstream_arm.distillation.settings import recipe
from upstream_arm.distillation.teachers import Targets, Teacher, TransformersTeacher, random_teacher
from upstream_arm.distillation.training import adamw, fitted
from upstream_arm.frontend import valid_frames
from upstream_arm.student import Student


class TwoPasses(Teacher):
    """The same teacher as transformers is called without further thought: once clean, once masked."""

    def __init__(self, teacher: TransformersTeacher) -> None:
        super().__init__(teacher.model, teacher.labels)

    @torch.no_grad()
    def forward(self, wavs: Tensor, lengths: Sequence[int], mask: Tensor | None) -> Targets:
        """Two complete passes."""
        own = torch.tensor(lengths, device=wavs.device).unsqueeze(1)
        attention = torch.arange(wavs.shape[1], device=wavs.device) < own
        passes = [
            self.model(
                wavs,
                attention_mask=attention.long() if min(lengths) < wavs.shape[1] else None,
                mask_time_indices=indices,
                output_hidden_states=True,
            ).hidden_states[1:]
            for indices in (None, mask)
        ]
        return Targets(list(passes[0]), list(passes[1]))


def teacher_of(preset: str) -> TransformersTeacher:
    """HuBERT BASE with random weights, or the tiny random teacher."""
    if preset == "tiny":
        return random_teacher("hubert")
    from transformers import HubertConfig, HubertModel

    return TransformersTeacher(HubertModel(HubertConfig()))


def one_step(objective: DistillationObjective, student: Student, optimizer: Any, batch: Batch) -> float:
    """Forward, backward, step; the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss = objective.loss(student, batch)
    loss.total.backward()
    optimizer.step()
    return loss.total.item()


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("--preset", default="armhubert")
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--precision", choices=("fp32", "bf16", "fp16"), default="fp32")
    options = parser.parse_args()
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    torch.manual_seed(0)
    teacher = teacher_of(options.preset)
    config = fitted(recipe(options.preset).config, teacher.width, teacher.layers)
    config = config.replace(
        reuse_softmax="single", dropout=0.0, attention_dropout=0.0, activation_dropout=0.0, dropout_input=0.0
    )
    batch = make_batch(options, config.conv_layers).to(device)
    weights = Student(config).state_dict()
    ways = {}
    for name, taught in (("ours", teacher), ("straightforward", TwoPasses(teacher))):
        taught.to(device)
        student = Student(config).to(device).train()
        student.load_state_dict(weights)
        student.explicit = name != "ours"
        objective = DistillationObjective(taught, "paper", "full", options.precision)
        ways[name] = (objective, student, adamw(student, 1e-4), batch)
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    losses: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, way in ways.items():
        losses[name] = one_step(*way)  # makes the optimiser's state
        way[2].zero_grad(set_to_none=True)
        if device.type == "cpu":
            # What the first step gave back to the allocator would otherwise count as there before.
            ctypes.CDLL(None).malloc_trim(0)
        memory[name] = peak_memory(functools.partial(one_step, *way), device)
    for _ in range(options.runs):
        for name, way in ways.items():
            start = time.perf_counter()
            one_step(*way)  # its loss is read, so a GPU has finished
            seconds[name].append(time.perf_counter() - start)
    print(
        f"{options.preset}, {options.batch} x {options.seconds:g} s, {options.precision}, {device.type}, "
        f"{torch.get_num_threads()} thread(s); losses of the first step {losses}"
    )
    print("| | steps/s (median) | steps/s (best) | peak memory of a step, MiB |\n|---|---|---|---|")
    for name, values in seconds.items():
        speeds = f"{1 / statistics.median(values):.3f} | {1 / min(values):.3f}"
        print(f"| {name} | {speeds} | {memory[name]:.0f} |")


def make_batch(options: argparse.Namespace, conv_layers: Any) -> Batch:
    """Noise of equal lengths with the masks of a ratio of 0.8."""
    length = int(options.seconds * 16_000)
    count = frames(length, conv_layers)
    mask = sample_mask([count] * options.batch, 0.8, np.random.default_rng(0))
    valid = valid_frames([count] * options.batch, count, torch.device("cpu"))
    wavs = 0.1 * torch.randn(options.batch, length)
    return dataclasses.replace(
        Batch(0, wavs, [length] * options.batch, valid, None), mask=torch.from_numpy(mask)
    )


if __name__ == "__main__":
    main()
