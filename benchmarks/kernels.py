"""What a student's forward pass starts, copies and waits for on an accelerator, counted without one.

    python benchmarks/kernels.py
    python benchmarks/kernels.py --preset maskhubert

The device is the pretend one of `tests/support/rehearsal.py`: fused attention counts as one kernel, views as
none. Weights are random; counts do not depend on them.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from pathlib import Path
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "support"))

from upstream_arm.expert import UpstreamExpert
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

BATCHES = {"one utterance": [16_000], "two alike": [16_000, 16_000], "padded, two": [16_000, 12_000]}
"""Samples of each utterance of a batch."""


def rows(preset: str) -> list[tuple[str, tuple[int, int, int, int]]]:
    """Name and counts of each forward pass: of the student, and of its upstream with its checks."""
    rehearsal = importlib.import_module("rehearsal")
    found = []
    with rehearsal.counting(), torch.no_grad():
        student = Student(PRESETS[preset]).eval().to(rehearsal.DEVICE)
        expert = UpstreamExpert(student)
        for name, lengths in BATCHES.items():
            wavs: list[Any] = [torch.randn(length).to(rehearsal.DEVICE) for length in lengths]
            padded = torch.nn.utils.rnn.pad_sequence(wavs, batch_first=True)
            with rehearsal.counting() as counts:
                student(padded, lengths)
            found.append((f"student, {name}", counts.row()))
            with rehearsal.counting() as counts:
                expert(wavs)
            found.append((f"upstream, {name}", counts.row()))
    return found


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="armhubert")
    options = parser.parse_args()
    print(f"| {options.preset} | kernels | copies in | copies out | waits |\n| --- | --: | --: | --: | --: |")
    for name, counts in rows(options.preset):
        print(f"| {name} | {' | '.join(map(str, counts))} |")


if __name__ == "__main__":
    main()
