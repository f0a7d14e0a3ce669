"""Does the full loss beat its ablations? A small student and a small teacher on real speech, on a CPU.

    python benchmarks/distillation_evidence.py SPEECH OUT    # SPEECH: a folder of flac or wav files

The teacher is `random:hubert`: transformers' HubertModel, six layers of width 64, its weights random but
fixed. It has learnt nothing, but it is a function of the speech that a student can learn. Students of six
layers of width 48 are distilled from it by every objective, with and without attention map reuse, over a
few seeds, and compared on held-out speakers (the last fifth of the file names' first parts) by:

- distance: squared error on clean input as a share of the variance of the teacher's features, last layer;
- masked, unmasked: the two parts of equation 6 (paper's form), whatever the student was trained with.

Nothing here says how a student of real size does on SUPERB.
"""

from __future__ import annotations

import argparse
import csv
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import soundfile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from upstream_arm.checkpoint import load_student
from upstream_arm.config import reuse_pattern
from upstream_arm.distillation import corpus
from upstream_arm.distillation.losses import Objective
from upstream_arm.distillation.ratio import MaskRatio
from upstream_arm.distillation.settings import Settings
from upstream_arm.distillation.step import Matching, validate
from upstream_arm.distillation.stream import Stream
from upstream_arm.distillation.students import tiny_student
from upstream_arm.distillation.teachers import load_teacher
from upstream_arm.distillation.training import Habits, distil

SECONDS = 2
TEACHER = "random:hubert"
COLUMNS = ("row", "seed", "loss", "masked", "unmasked", "distance_last")
RATIO = MaskRatio(0.4, 0.4)
# Row of the table: objective, reuse pattern.
ROWS: tuple[tuple[str, Objective, str], ...] = (
    ("full loss, map reuse 2by6", "full", "2by6"),
    ("full loss, no map reuse", "full", "none"),
    ("no unmasked part", "masked_only", "2by6"),
    ("unmasked part from clean input", "unmasked_from_clean", "2by6"),
    ("no masking (layer to layer)", "layer_to_layer", "2by6"),
)


def lay_out(speech: Path, folder: Path) -> None:
    """Copy the first seconds of the recordings into train and dev, no speaker in both."""
    files = sorted(path for path in speech.rglob("*") if path.suffix in corpus.SUFFIXES)
    speakers = sorted({path.name.split("-")[0] for path in files})
    held_out = set(speakers[-max(1, len(speakers) // 5) :])
    for path in files:
        part = folder / ("dev" if path.name.split("-")[0] in held_out else "train")
        part.mkdir(parents=True, exist_ok=True)
        start, rate = soundfile.read(path, frames=SECONDS * corpus.SAMPLE_RATE)
        soundfile.write(part / f"{path.stem}.flac", start, rate)


def batches(data: Path, part: str, size: int, epochs: int, cache: Path) -> Stream:
    """The stream of a part."""
    found = corpus.utterances(data, (part,), cache)
    layers = tiny_student().conv_layers
    return Stream(corpus.buckets(found, size), layers, RATIO, epochs, 0, shuffled=part == "train")


def students(options: argparse.Namespace, data: Path) -> Iterator[dict[str, Any]]:
    """Distil one student after the other and measure it on held-out speakers."""
    dev = batches(data, "dev", options.batch, 1, options.out / "lengths-dev.json")
    held_out = [dev[number] for number in range(len(dev))]
    frozen = load_teacher(TEACHER, 6)
    for seed in range(options.seeds):
        for row, objective, pattern in ROWS:
            student = tiny_student().replace(
                reuse_softmax="single", reuse_pattern=reuse_pattern(pattern, layers=6)
            )
            settings = Settings(
                preset="tiny",
                student=student,
                teacher=TEACHER,
                data=str(data),
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
            folder = options.out / f"{objective}_{pattern}_seed{seed}"
            made = load_student(distil(settings, folder, Habits(device="cpu", save_every=10**6)))
            matching = Matching(frozen, student.layers, "paper", "full", "fp32")
            yield {"row": row, "seed": seed, **validate(matching, made, held_out)}


def table(found: list[dict[str, Any]]) -> str:
    """Mean and standard deviation over seeds."""
    lines = ["| student | distance | masked | unmasked |", "|---|---|---|---|"]
    for row, _, _ in ROWS:
        own = [record for record in found if record["row"] == row]
        cells = []
        for key in ("distance_last", "masked", "unmasked"):
            values = [float(record[key]) for record in own]
            spread = statistics.stdev(values) if len(values) > 1 else 0.0
            cells.append(f"{statistics.mean(values):.3f} ± {spread:.3f}")
        lines.append(f"| {row} | {' | '.join(cells)} |")
    return "\n".join(lines)


def curve(options: argparse.Namespace) -> str:
    """The losses of the first student in ten stretches of its training."""
    import json

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
    parser.add_argument("speech", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--epochs", type=int, default=32)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--learning-rate", type=float, default=1e-2)
    options = parser.parse_args()
    data = options.out / "speech"
    lay_out(options.speech, data)
    found = []
    for record in students(options, data):
        found.append(record)
        print(f"{record['row']} seed {record['seed']}: distance {record['distance_last']:.3f}", flush=True)
    with (options.out / "evidence.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore")
        writer.writeheader()
        writer.writerows(found)
    print(f"\n{table(found)}\n\nfull loss with map reuse, seed 0, while training:\n\n{curve(options)}")


if __name__ == "__main__":
    main()
