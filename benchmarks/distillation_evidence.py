"""Does the full loss beat its ablations? Small students of a small self-trained teacher on real speech.

    python benchmarks/distillation_evidence.py OUT SPEECH...    # SPEECH: folders of flac or wav files

The teacher comes from `distillation_teacher.py` (made first, in OUT/teacher). Students of six layers of
width 48 are distilled from it by every objective, with and without attention map reuse, over a few seeds; a
seed gives every row the same initial weights (where the shapes agree) and the same batches and masks. They
are compared on held-out speakers by:

- distance: squared error on clean input as a share of the variance of the teacher's features, of the last
  layer and as the mean of all;
- masked, unmasked: the two parts of equation 6 (paper's form), whatever the student was trained with.

Killed, the same command goes on. Nothing here says how a student of real size does on SUPERB.
"""

from __future__ import annotations

import argparse
import csv
import json
import statistics
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from distillation_teacher import batches, lay_out, train

from upstream_arm.checkpoint import load_student
from upstream_arm.config import reuse_pattern
from upstream_arm.distillation.objective import DistillationObjective, validate
from upstream_arm.distillation.settings import TINY_STUDENT, MaskRatio, Objective, Settings
from upstream_arm.distillation.teachers import load_teacher
from upstream_arm.distillation.training import RuntimeOptions, distil

COLUMNS = ("row", "seed", "loss", "masked", "unmasked", "distance_last", "distance_mean")
MEASURES = {
    "distance_last": "distance, last layer",
    "distance_mean": "distance, mean of layers",
    "masked": "masked part",
    "unmasked": "unmasked part",
}
RATIO = MaskRatio(0.4, 0.4)
# Row of the table: objective, reuse pattern.
ROWS: tuple[tuple[str, Objective, str], ...] = (
    ("full loss, map reuse 2by6", "full", "2by6"),
    ("full loss, no map reuse", "full", "none"),
    ("no unmasked part", "masked_only", "2by6"),
    ("unmasked part from clean input", "unmasked_from_clean", "2by6"),
    ("no masking (layer to layer)", "layer_to_layer", "2by6"),
)


def settings_of(options: argparse.Namespace, objective: Objective, pattern: str, seed: int) -> Settings:
    """One student."""
    return Settings(
        preset="tiny",
        student=TINY_STUDENT.replace(reuse_softmax="single", reuse_pattern=reuse_pattern(pattern, layers=6)),
        teacher=str(options.out / "teacher"),
        data=str(options.out / "speech"),
        train=("train",),
        dev=(),
        form="paper",
        objective=objective,
        ratio=None if objective == "layer_to_layer" else RATIO,
        epochs=options.epochs,
        batch_size=options.batch,
        effective_batch=options.batch,
        learning_rate=options.learning_rate,
        precision="fp32",
        seed=seed,
        full_epochs=options.epochs,
    )


def students(options: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Distil one student after the other and measure it on held-out speakers."""
    convs = TINY_STUDENT.conv_layers
    dev = batches(options.out / "speech", "dev", options.batch, 1, RATIO, convs)
    held_out = [dev[number] for number in range(len(dev))]
    frozen = load_teacher(str(options.out / "teacher"), 6)
    full = DistillationObjective(frozen, "paper", "full", "fp32")
    for seed in range(options.seeds):
        for row, objective, pattern in ROWS:
            folder = options.out / f"{objective}_{pattern}_seed{seed}"
            settings = settings_of(options, objective, pattern, seed)
            made = load_student(distil(settings, folder, RuntimeOptions(device="cpu", save_every=100)))
            record = {"row": row, "seed": seed, **validate(full, made, held_out)}
            yield {**record, "distance_mean": statistics.mean(record["distance"])}


def table(found: Sequence[dict[str, Any]]) -> str:
    """Mean and range over seeds, and in how many seeds a row is further off than the first one."""
    lines = [f"| student | {' | '.join(MEASURES.values())} |", "|---" * (len(MEASURES) + 1) + "|"]
    for row, _, _ in ROWS:
        cells = []
        for key in MEASURES:
            full = [float(record[key]) for record in found if record["row"] == ROWS[0][0]]
            own = [float(record[key]) for record in found if record["row"] == row]
            further = sum(one > other for one, other in zip(own, full, strict=True))
            beaten = "" if row == ROWS[0][0] else f"; further in {further} of {len(own)}"
            cells.append(f"{statistics.mean(own):.3f} ({min(own):.3f} to {max(own):.3f}{beaten})")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curve(options: argparse.Namespace) -> str:
    """The losses of the first student in ten stretches of its training."""
    text = (options.out / "full_2by6_seed0" / "metrics.jsonl").read_text()
    records = [json.loads(line) for line in text.splitlines()]
    tenth = max(1, len(records) // 10)
    lines = ["| steps | masked | unmasked | masked fraction |", "|---|---|---|---|"]
    for start in range(0, tenth * 10, tenth):
        part = records[start : start + tenth]
        means = [statistics.mean(r[key] for r in part) for key in ("masked", "unmasked", "masked_fraction")]
        lines.append(
            f"| {start + 1} to {start + len(part)} | " + " | ".join(f"{mean:.3f}" for mean in means) + " |"
        )
    return "\n".join(lines)


def main() -> None:
    """Make the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("speech", type=Path, nargs="+")
    parser.add_argument("--teacher-steps", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-3)
    options = parser.parse_args()
    lay_out(options.speech, options.out / "speech")
    print(f"teacher: {train(options.out / 'speech', options.out / 'teacher', options.teacher_steps)}")
    found = []
    for record in students(options):
        found.append(record)
        print(f"{record['row']} seed {record['seed']}: distance {record['distance_last']:.3f}", flush=True)
    with (options.out / "evidence.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)
    print(f"\n{table(found)}\n\nfull loss with map reuse, seed 0, while training:\n\n{curve(options)}")


if __name__ == "__main__":
    main()
