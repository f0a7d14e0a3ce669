"""Where the time of a step goes on the device that is here: heads, the encoder in batches, launches.

    python benchmarks/steps.py                             # PR, ASR, SF, ASV, SD, SID: a minute on a GPU
    python benchmarks/steps.py --device cpu --tasks sd --steps 1

A step is one of a task's head with the official recipe, on random features as long as those of the official
corpus and with the labels of its demo. Of each: milliseconds, and what torch's profiler names first on the
device. The encoder is armhubert with random weights. On a CUDA device its launches by a graph are beside.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs import bridge, tasks
from downstream_runs.estimate import heads
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.measure import FEWEST_FRAMES
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common import devices
from upstream_arm.expert import from_seed
from upstream_arm.presets import PRESETS

WARM, NAMED = 3, 6
BATCHES = ((1, 8.0), (8, 8.0), (32, 8.0), (16, 12.7))
"""Utterances and their seconds."""
LAUNCHES = 2000


def seconds(call: Callable[[], Any], device: torch.device, times: int, warm: int = WARM) -> float:
    """Of one call, among so many that are not waited for singly."""
    for _ in range(warm):
        call()
    devices.synchronize(device)
    began = time.perf_counter()
    for _ in range(times):
        call()
    devices.synchronize(device)
    return (time.perf_counter() - began) / times


def of_head(name: str, upstream: CheckedUpstream, device: torch.device, place: Path, times: int) -> None:
    """Print the step of a task's head."""
    task, shape = tasks.get(name), Shape.of(upstream, device)
    head = heads.build(task, "superb", upstream, device, place / name)
    wavs, others = next(head.batches(most=1))
    frames, _, _ = head.real_frames(shape, wavs)
    backward = head.on_noise(shape, [max(round(count), FEWEST_FRAMES) for count in frames], others)

    def step() -> None:
        for _ in range(head.accumulate):
            backward()
        head.update()

    each = seconds(step, device, times)
    about = f"{len(wavs)} utterances, {sum(frames) / len(frames):.0f} frames, accumulated {head.accumulate}"
    print(f"{name} ({about}): {1e3 * each:.1f} ms a step", flush=True)
    if device.type == "cuda":
        with profile(activities=[ProfilerActivity.CPU, ProfilerActivity.CUDA]) as found:
            step()
            devices.synchronize(device)
        events = [one for one in found.key_averages() if one.device_type == torch.autograd.DeviceType.CUDA]
        events.sort(key=lambda event: -event.self_device_time_total)
        for event in events[:NAMED]:
            print(f"    {event.self_device_time_total / 1e3:8.2f} ms x{event.count:<5} {event.key[:80]}")


def of_encoder(upstream: CheckedUpstream, device: torch.device, times: int) -> None:
    """Print how much faster than real time batches are encoded."""
    for count, length in BATCHES:
        wavs = [torch.randn(int(16_000 * length), device=device) / 10 for _ in range(count)]
        with torch.no_grad():
            each = seconds(lambda given=wavs: upstream(given), device, times)  # type: ignore[misc]
        rate = count * length / each
        print(
            f"encoder, {count} x {length:g} s: {1e3 * each:.1f} ms, {rate:,.0f} times real time", flush=True
        )


def of_launches(upstream: CheckedUpstream, device: torch.device, times: int) -> None:
    """Print what a small operation takes, and on a CUDA device, what graphs of launches take instead."""
    small = torch.randn(16, 16, device=device)
    each = seconds(lambda: small * 1.0, device, LAUNCHES)
    print(f"a small operation: {1e6 * each:.2f} us")
    if device.type != "cuda":
        return
    student, wav = upstream.module.student, torch.randn(1, 8 * 16_000, device=device) / 10
    with torch.no_grad():
        eager = seconds(lambda: student(wav, [wav.shape[1]]), device, times)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            student(wav, [wav.shape[1]])
        print(
            f"student, 8 s: {1e3 * eager:.2f} ms; by a graph {1e3 * seconds(graph.replay, device, times):.2f}"
        )


def main() -> None:
    """Print it all."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="auto", help=devices.NAMES)
    parser.add_argument("--tasks", default="pr,asr,sf,asv,sd,sid")
    parser.add_argument("--steps", type=int, default=10, help="that are measured (default: 10)")
    options = parser.parse_args()
    device = devices.pick(options.device)
    bridge.apply()
    upstream = CheckedUpstream(from_seed(PRESETS["armhubert"]).eval().to(device), "armhubert_random")
    print(f"on {devices.name(device)}, torch {torch.__version__}")
    with tempfile.TemporaryDirectory() as place:
        for name in options.tasks.split(","):
            of_head(name, upstream, device, Path(place), options.steps)
    of_encoder(upstream, device, options.steps)
    of_launches(upstream, device, options.steps)


if __name__ == "__main__":
    main()
