"""The student's leaner path against its explicit one and against HuBERT BASE, side by side.

All models of a row share one process and take turns run by run, so that a machine whose speed drifts
slows all of them; with one thread on a CPU it is the process's own seconds that count. Both paths have the
same random weights; HuBERT BASE is transformers' architecture with random weights: what is measured is the
cost of the architecture, no checkpoint is involved.

    python benchmarks/upstream.py                     # the whole table
    python benchmarks/upstream.py --seconds 10 --batch 8 --threads 1
    python benchmarks/upstream.py --seconds 60 100 --batch 1 --threads 1 --only-lean

Explicit: one padded batch, attention maps written out, as the released code does. Lean: what
`Student` does by default.
"""

from __future__ import annotations

import argparse
import functools
import gc
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from upstream_arm.common import devices
from upstream_arm.presets import PRESETS
from upstream_arm.profiling.formulas import HUBERT_BASE, macs
from upstream_arm.student import Student, StudentOutput

SAMPLE_RATE = 16_000
MEBIBYTE = 1 << 20

Forward = Callable[[Tensor], Any]


def students(preset: str, device: torch.device, only_lean: bool) -> dict[str, Forward]:
    """The student's variants on one set of weights."""
    torch.manual_seed(0)
    config = PRESETS[preset]
    weights = Student(config).state_dict()
    variants: dict[str, Forward] = {}
    for softmax in ("single", "double"):
        for explicit in (False,) if only_lean else (True, False):
            student = Student(config.replace(reuse_softmax=softmax)).eval().to(device)
            student.load_state_dict(weights)
            student.explicit = explicit
            name = f"{softmax} {'explicit' if explicit else 'lean'}"
            variants[name] = functools.partial(forward, student)
    return variants


def forward(student: Student, wavs: Tensor) -> StudentOutput:
    """A batch of equally long waveforms through a student."""
    output: StudentOutput = student(wavs, [wavs.shape[1]] * len(wavs))
    return output


def hubert_base(device: torch.device) -> Forward:
    """transformers' HuBERT BASE architecture with random weights."""
    from transformers import HubertConfig, HubertModel

    model: nn.Module = HubertModel(HubertConfig()).eval().to(device)
    return lambda wavs: model(wavs, output_hidden_states=True)


def peak_memory(run: Callable[[], Any], device: torch.device) -> float:
    """Memory in MiB that a run needs at its peak beyond what was there before it."""
    gc.collect()
    if device.type != "cpu":
        torch.accelerator.reset_peak_memory_stats(device)
        before = torch.accelerator.memory_allocated(device)
        run()
        devices.synchronize(device)
        return (torch.accelerator.max_memory_allocated(device) - before) / MEBIBYTE
    # Linux: writing 5 resets the peak of the resident set to its present size.
    Path("/proc/self/clear_refs").write_text("5")
    before = resident("VmRSS")
    run()
    return (resident("VmHWM") - before) / MEBIBYTE


def resident(field: str) -> int:
    """A memory field of this process, in bytes."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def measure(
    forwards: dict[str, Forward], wavs: Tensor, budget: float, device: torch.device
) -> tuple[dict[str, list[float]], dict[str, float]]:
    """Seconds of each run in turns, and each one's peak memory.

    Stops after `budget` seconds, but not before every model ran 3 times after its warm-up.
    """
    memory = {
        name: peak_memory(functools.partial(forward, wavs), device) for name, forward in forwards.items()
    }
    times: dict[str, list[float]] = {name: [] for name in forwards}
    alone = device.type == "cpu" and torch.get_num_threads() == 1
    clock = time.process_time if alone else time.perf_counter
    start = time.perf_counter()
    rounds = 0
    while rounds < 3 or (time.perf_counter() - start < budget and rounds < 50):
        for name, forward in forwards.items():
            began = clock()
            forward(wavs)
            devices.synchronize(device)
            times[name].append(clock() - began)
        rounds += 1
    return times, memory


def largest_difference(forwards: dict[str, Forward], wavs: Tensor, softmax: str) -> float:
    """Largest difference between the two paths' features, over all layers."""
    explicit, lean = (forwards[f"{softmax} {path}"](wavs).hidden_states for path in ("explicit", "lean"))
    return max((one - other).abs().max().item() for one, other in zip(explicit, lean, strict=True))


def tera_flops(name: str, preset: str, batch: int, samples: int, median: float) -> float:
    """Achieved TFLOP/s, two operations a multiply-accumulate, counted from the explicit computation."""
    shape = HUBERT_BASE if name == "HuBERT BASE" else PRESETS[preset]
    return 2 * batch * sum(macs(shape, samples).values()) / median / 1e12


def row(
    arguments: argparse.Namespace,
    forwards: dict[str, Forward],
    device: torch.device,
    batch: int,
    seconds: float,
) -> None:
    """Measure and print one batch size and length."""
    samples = int(seconds * SAMPLE_RATE)
    wavs = (torch.randn(batch, samples) * 0.1).to(device)
    times, memory = measure(forwards, wavs, arguments.budget, device)
    runs = len(next(iter(times.values())))
    print(f"\nbatch {batch} x {seconds:g} s, {runs} runs each in turns")
    print(f"{'model':<16} {'median s':>9} {'min s':>9} {'max s':>9} {'peak MiB':>9} {'TFLOP/s':>8}")
    for name, each in times.items():
        median = statistics.median(each)
        speed = tera_flops(name, arguments.preset, batch, samples, median)
        spread = f"{median:>9.4f} {min(each):>9.4f} {max(each):>9.4f}"
        print(f"{name:<16} {spread} {memory[name]:>9.0f} {speed:>8.3f}")
    pairs = zip(times["double lean"], times["single lean"], strict=True)
    ratio = statistics.median(double / single for double, single in pairs)
    print(f"double lean / single lean = {ratio:.2f} (median of pairs)")
    for softmax in ("single", "double") if "single explicit" in times else ():
        pairs = zip(times[f"{softmax} explicit"], times[f"{softmax} lean"], strict=True)
        ratio = statistics.median(explicit / lean for explicit, lean in pairs)
        difference = largest_difference(forwards, wavs, softmax)
        print(
            f"{softmax}: explicit / lean = {ratio:.2f} (median of pairs), largest difference {difference:.1e}"
        )
    if "HuBERT BASE" in times:
        pairs = zip(times["HuBERT BASE"], times["double lean"], strict=True)
        ratio = statistics.median(base / lean for base, lean in pairs)
        print(f"HuBERT BASE / double lean = {ratio:.2f} (median of pairs)", flush=True)


def main() -> None:
    """Read the options and print a table for every batch size and length."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--preset", default="armhubert", choices=list(PRESETS))
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--seconds", type=float, nargs="+", default=[1.0, 10.0, 60.0])
    parser.add_argument("--device", default="auto", help=devices.NAMES)
    parser.add_argument("--threads", type=int, help="threads on a CPU; default: all cores")
    parser.add_argument("--budget", type=float, default=20.0, help="seconds of measuring a row")
    parser.add_argument("--no-hubert", action="store_true", help="leave HuBERT BASE out")
    parser.add_argument(
        "--only-lean", action="store_true", help="leave HuBERT BASE and the explicit path out"
    )
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    device = devices.pick(arguments.device)
    print(
        f"{arguments.preset}, random weights, fp32, on {devices.name(device)}, "
        f"{torch.get_num_threads()} CPU threads, torch {torch.__version__}"
    )
    forwards = students(arguments.preset, device, arguments.only_lean)
    if not (arguments.no_hubert or arguments.only_lean):
        forwards["HuBERT BASE"] = hubert_base(device)
    with torch.inference_mode():
        for seconds in arguments.seconds:
            for batch in arguments.batch:
                row(arguments, forwards, device, batch, seconds)


if __name__ == "__main__":
    main()
