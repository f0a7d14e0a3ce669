"""What an upstream costs: parameters, multiply-accumulates, time and memory of one utterance.

MACs are SUPERB's: the sum over its 32 utterances, each alone (`upstream_arm.profiling`). Time and memory are
of SECONDS of audio at batch size 1, on the device that the upstream is on.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.efficiency import Efficiency
from downstream_runs.core.generators import random_states, restore_random_states
from upstream_arm.common import devices
from upstream_arm.common.processes import cores
from upstream_arm.profiling import profile
from upstream_arm.profiling.utterances import LENGTHS, SAMPLE_RATE

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

SECONDS = 10
CALLS = 3
"""Timed calls, of which the median counts; one more goes before them."""


def measure(module: nn.Module) -> Efficiency:
    """All of it: a minute of audio is encoded, and four more where MACs need the content of tensors."""
    device = device_of(module)
    return Efficiency(
        parameters(module), macs(module), real_time_factor(module), peak_memory(module), machine(device)
    )


def parameters(module: nn.Module) -> int:
    """All parameters, shared ones once."""
    return sum(parameter.numel() for parameter in module.parameters())


def macs(module: nn.Module) -> int | None:
    """Multiply-accumulates over SUPERB's 32 utterances.

    Of this project's students from a closed formula. Of another module they are counted on tensors without
    content (torch's meta device), which takes no arithmetic; one that needs the content is run. None where
    that fails too.
    """
    from upstream_arm.profiling import hooks
    from upstream_arm.student import Student

    student = getattr(module, "student", None)
    if isinstance(student, Student):
        return profile.of_config("", student.config).macs
    before = random_states()
    try:
        for forward in (_without_content, lambda upstream, wav: upstream([wav])):
            try:
                return sum(sum(count.values()) for count in hooks.count(module, LENGTHS, forward))
            except Exception:  # an upstream may raise anything
                continue
        return None
    finally:
        restore_random_states(before)


def real_time_factor(module: nn.Module) -> float:
    """Seconds of computation for a second of audio: the median of CALLS calls of SECONDS at batch size 1."""
    import torch

    device = device_of(module)
    wav = _noise(device)
    module.eval()
    with torch.no_grad():
        took = [timed(lambda: module([wav]), device) for _ in range(CALLS + 1)]
    return statistics.median(took[1:]) / SECONDS


def timed(function: Callable[[], Any], device: torch.device) -> float:
    """Seconds of one call, to its end on the device."""

    devices.synchronize(device)
    began = time.perf_counter()
    function()
    devices.synchronize(device)
    return time.perf_counter() - began


def peak_memory(module: nn.Module) -> int:
    """Bytes of weights and buffers, and of the most that its tensors take while it encodes SECONDS."""
    import torch

    device = device_of(module)
    if devices.able(device, devices.PEAKS) != device:
        try:
            return peak_memory(module.to("cpu"))
        finally:
            module.to(device)
    wav = _noise(device)
    held = {tensor.data_ptr(): tensor.nbytes for tensor in (*module.parameters(), *module.buffers())}
    with torch.no_grad():
        module.eval()([wav])  # what is kept from the first call on is no need of one utterance
        if device.type == "cpu":
            return sum(held.values()) + _peak_on_cpu(module, wav)
        devices.synchronize(device)
        torch.accelerator.reset_peak_memory_stats(device)
        before = torch.accelerator.memory_allocated(device)
        module([wav])
        return sum(held.values()) + torch.accelerator.max_memory_allocated(device) - before


def device_of(module: nn.Module) -> torch.device:
    """Where a module's weights are; the CPU for one without any."""
    import torch

    first = next(iter((*module.parameters(), *module.buffers())), None)
    return torch.device("cpu") if first is None else first.device


def machine(device: torch.device) -> str:
    """The device in words: an accelerator's name, or the CPU's with the threads that torch uses."""
    import torch

    if device.type != "cpu":
        return devices.name(device)
    return f"{_cpu()}, {torch.get_num_threads()} threads of {cores()} cores"


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text(encoding="utf-8", errors="replace").splitlines() if info.is_file() else []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or platform.machine())


def _without_content(upstream: nn.Module, wav: Tensor) -> Any:
    """A forward pass of shapes alone."""
    import torch

    state = {name: one.to("meta") for name, one in (*upstream.named_parameters(), *upstream.named_buffers())}
    return torch.func.functional_call(upstream, state, ([wav.to("meta")],))


def _peak_on_cpu(module: nn.Module, wav: Tensor) -> int:
    """The most bytes that torch's allocator had given out during a call, more than before it."""
    import torch

    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # it complains where there is no GPU
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as place:
        warnings.simplefilter("ignore")
        with torch.autograd.profiler.profile(profile_memory=True) as profiler:
            module([wav])
        trace = Path(place) / "trace.json"
        profiler.export_chrome_trace(str(trace))
        events = json.loads(trace.read_text(encoding="utf-8"))["traceEvents"]
    given = [event for event in events if event.get("name") == "[memory]"]
    peak = total = 0
    for event in sorted(given, key=lambda event: float(event["ts"])):
        total += event["args"]["Bytes"]
        peak = max(peak, total)
    return peak


def _noise(device: torch.device) -> Tensor:
    import torch

    generator = torch.Generator().manual_seed(0)
    return (0.1 * torch.randn(SECONDS * SAMPLE_RATE, generator=generator)).to(device)
