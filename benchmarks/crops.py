"""What stored crops change: SID with new crops in every epoch, and with 1, 2 or 4 in turn.

`python benchmarks/crops.py` trains SID's demo recipe on its synthetic corpus, whose utterances of one to two
seconds are cropped to half a second, as VoxCeleb1's of 4 to 145 seconds are to 8. It prints the accuracy on
test, mean and range over the seeds, and seconds. The speech is synthetic and the student has random weights:
the rows compare with each other, and say nothing about VoxCeleb1.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path
from statistics import mean

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs import tasks
from downstream_runs.engine import RunPlan, session
from downstream_runs.features.settings import Settings

SAMPLES = 8000
SETTINGS = {
    "new crops": Settings("memory"),
    "1 crop": Settings("memory", crops=1),
    "2 crops": Settings("memory", crops=2),
    "4 crops": Settings("memory", crops=4),
}


def measure(settings: Settings, options: argparse.Namespace, place: Path) -> tuple[list[float], float]:
    """Accuracies in percent, one a seed, and the seconds of all runs."""
    task = tasks.get("sid")
    started = time.monotonic()
    found = []
    for seed in range(options.seeds):
        plan = RunPlan(
            task=task,
            recipe="demo",
            upstream=options.upstream,
            data=place / "data",
            out=place / "runs",
            seed=1337 + seed,
            overrides={
                "downstream_expert.datarc.max_timestep": SAMPLES,
                "runner.total_steps": options.steps,
                "runner.eval_step": options.steps,
            },
            features=settings,
        )
        headline = session.run(plan).headline("acc")
        assert headline is not None
        found.append(headline.value)
    return found, time.monotonic() - started


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--upstream", default="armhubert_random", help="default: armhubert_random (untrained)"
    )
    parser.add_argument("--steps", type=int, default=240, help="of training, default 240")
    parser.add_argument("--seeds", type=int, default=3, help="default 3")
    options = parser.parse_args()
    print(
        f"SID demo corpus (synthetic speech), {options.upstream}, {options.steps} steps, crops of "
        f"{SAMPLES / 16000:g} s, {options.seeds} seeds"
    )
    print(f"{'':<14} {'acc %':>6} {'lowest':>7} {'highest':>8} {'s':>7}")
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        tasks.get("sid").demo(place / "data")
        for name, settings in SETTINGS.items():
            found, seconds = measure(settings, options, place)
            print(
                f"{name:<14} {mean(found):>6.2f} {min(found):>7.2f} {max(found):>8.2f} {seconds:>7.0f}",
                flush=True,
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
