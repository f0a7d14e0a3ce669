"""What autocast and torch.compile change in the extraction of features: seconds and values.

`python benchmarks/extraction.py [--device cuda]` gives an upstream utterances of 1 to 15 seconds of noise one
by one, as `--features disk` does, plain, under `--features-autocast` and with `--features-compile`, in turns.
It prints seconds of extraction per hour of audio, the ratio to plain in the same round, and the largest and
the mean relative distance of an utterance's layers from plain ones. What compiling takes is apart.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

if TYPE_CHECKING:
    from downstream_runs.features.source import Source

SAMPLE_RATE = 16_000


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--upstream", default="armhubert_random", help="default: armhubert_random")
    parser.add_argument("--device", default="cpu", help="cpu (the default) or cuda")
    parser.add_argument("--utterances", type=int, default=24, help="default 24")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    options = parser.parse_args()
    import torch

    from downstream_runs import bridge
    from downstream_runs.features.settings import Choice
    from downstream_runs.features.source import Source
    from downstream_runs.features.store import Store

    bridge.apply()
    import s3prl.hub as hub

    torch.manual_seed(0)
    upstream = getattr(hub, options.upstream)().eval().to(options.device)
    lengths = torch.linspace(1, 15, options.utterances).mul(SAMPLE_RATE).int().tolist()
    waves = [0.1 * torch.randn(length) for length in lengths]
    choices = {
        "plain": Choice("memory"),
        "autocast bf16": Choice("memory", autocast="bf16"),
        "autocast fp16": Choice("memory", autocast="fp16"),
        "compiled": Choice("memory", compiled=True),
    }
    rate = upstream.get_downsample_rates("hidden_states")
    ways = {
        name: Source(upstream, options.upstream, choice, Store(None), rate, seldom=False)
        for name, choice in choices.items()
    }
    print(
        f"{options.upstream}, {options.utterances} utterances, {sum(lengths) / SAMPLE_RATE:.0f} s of noise, "
        f"{options.device}, {torch.get_num_threads()} threads, {options.rounds} rounds, torch "
        f"{torch.__version__}, load {os.getloadavg()[0]:.1f} at the start"
    )
    print(f"{'':<14} {'first s':>8} {'s/hour':>8} {'x plain':>8} {'largest':>9} {'mean':>9}")
    first = {name: seconds(way, waves, options.device) for name, way in ways.items()}
    rounds = [
        {name: seconds(way, waves, options.device)[0] for name, way in ways.items()}
        for _ in range(options.rounds)
    ]
    for name in ways:
        apart = [distance(one, other) for one, other in zip(first["plain"][1], first[name][1], strict=True)]
        hour = statistics.median(found[name] for found in rounds) * 3600 * SAMPLE_RATE / sum(lengths)
        ratio = statistics.median(found["plain"] / found[name] for found in rounds)
        print(
            f"{name:<14} {first[name][0]:>8.1f} {hour:>8.1f} {ratio:>8.2f} {max(apart):>9.1e} "
            f"{statistics.mean(apart):>9.1e}"
        )
    return 0


def seconds(way: Source, waves: list[Any], device: str) -> tuple[float, list[Any]]:
    """Seconds for all utterances, and all layers of each."""
    import torch

    started = time.perf_counter()
    found = [way.compute(wave, torch.device(device))["frames"] for wave in waves]
    return time.perf_counter() - started, found


def distance(one: Any, other: Any) -> float:
    """Root mean square of the difference over that of the first."""
    return float((one - other).norm() / one.norm())


if __name__ == "__main__":
    sys.exit(main())
