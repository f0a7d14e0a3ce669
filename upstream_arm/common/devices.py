"""Devices by name, what there is of them here, and the one rule for what a kind of device cannot do.

A name is `auto` (the accelerator that torch finds, but not Apple's; else the CPU), `cpu`, or that of an
accelerator: `cuda` (NVIDIA, and AMD by ROCm), `mps` (Apple) or `xpu` (Intel), where there are several with a
number as in `cuda:1`.

The rule: what torch cannot do on an accelerator is done on the CPU. An operation that it lacks on Apple's,
such as the CTC loss (torch 2.11, testing/_internal/common_mps.py), torch itself moves there and back if the
variable below is set before it is first imported, hence up here; everything else is listed in `LACKS`, and
who needs it asks `able`. torch is imported inside functions: `--help` answers at once.
"""

from __future__ import annotations

import contextlib
import os
import re
import warnings
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown

if TYPE_CHECKING:
    import torch

os.environ.setdefault("PYTORCH_ENABLE_MPS_FALLBACK", "1")

KINDS = ("cuda", "mps", "xpu")
"""Accelerators by torch's names."""
NAMES = "auto, cpu, cuda, mps or xpu (one of several: cuda:N)"
PINNED = ("cuda", "xpu")
"""Copy from page-locked memory while they compute; mps shares the host's memory."""
VISIBLE: Mapping[str, str] = {"cuda": "CUDA_VISIBLE_DEVICES", "xpu": "ZE_AFFINITY_MASK"}
"""The variable that says which devices a process sees, read when it first uses one."""

FLOAT64, PEAKS = "numbers of 64 bits", "the most memory that was taken"
BY_NAME_ONLY = "mps"
"""Lacks so much of torch that who wants its speed says so."""
LACKS: Mapping[str, frozenset[str]] = {"mps": frozenset({FLOAT64, PEAKS})}
"""What torch cannot do on a kind of device."""


def check(name: str) -> str:
    """The name of a device as it is; UsageError for what is none."""
    if not re.fullmatch(rf"auto|cpu|({'|'.join(KINDS)})(:[0-9]{{1,3}})?", name):
        raise UsageError(f"device {shown(name)} is unknown, expected {NAMES}")
    return name


def accelerator() -> str | None:
    """The kind of accelerator that there is here, in torch's word; None without one."""
    import torch

    found = torch.accelerator.current_accelerator(check_available=True)
    return None if found is None else found.type


def count(kind: str | None = None) -> int:
    """How many accelerators torch sees, of that kind if one is named."""
    import torch

    there = accelerator()
    return torch.accelerator.device_count() if there is not None and kind in (None, there) else 0


def pick(name: str) -> torch.device:
    """The device of that name, `auto` as described above; UsageError if it is not here."""
    import torch

    there, number = accelerator(), count()
    if check(name) == "auto":
        return torch.device("cpu") if there in (None, BY_NAME_ONLY) else torch.device(str(there), 0)
    device = torch.device(name)
    if device.type == "cpu" or (device.type == there and (device.index or 0) < number):
        return device
    offered = ["cpu", *(f"{there}:{index}" for index in range(number))]
    raise UsageError(f"device {name} is not here, torch sees {', '.join(offered)}; use one of these, or auto")


def able(device: torch.device, need: str) -> torch.device:
    """Where to do what needs FLOAT64 or PEAKS: the device, or by the rule above the CPU."""
    import torch

    return torch.device("cpu") if need in LACKS.get(device.type, ()) else device


def casts(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether torch's autocast computes in `dtype` there; by itself it may only warn, and stay with fp32."""
    import torch

    if not torch.amp.is_autocast_available(device.type):
        return False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with torch.autocast(device.type, dtype):
                return torch.is_autocast_enabled(device.type)
        except RuntimeError:  # a CUDA device that is too old for bf16
            return False


def name(device: torch.device) -> str:
    """What the maker calls an accelerator; its kind where torch does not know, and for the CPU."""
    import torch

    if device.type == "cpu":
        return device.type
    if device.type == "mps":
        return torch.backends.mps.get_name()
    named: Any = getattr(torch.get_device_module(device), "get_device_name", None)
    return named(device) if named else device.type


def to_device(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """A tensor on `device`; from the CPU to a GPU through page-locked memory, so that nothing waits for it.

    From other memory the host waits until the device has done all that came before. torch keeps the memory
    until the copy is over.
    """
    if device.type not in PINNED or tensor.device.type != "cpu":
        return tensor.to(device)
    return tensor.pin_memory().to(device, non_blocking=True)


def synchronize(device: torch.device) -> None:
    """Wait until it has done all that it was given."""
    import torch

    if device.type != "cpu":
        torch.accelerator.synchronize(device)


def empty_cache(device: torch.device) -> None:
    """Give the memory back that torch holds there and does not use."""
    import torch

    if device.type != "cpu":
        torch.get_device_module(device).empty_cache()


@contextlib.contextmanager
def whole_fp32() -> Iterator[None]:
    """Within it cuDNN computes convolutions and LSTMs in fp32; by torch's default in TF32, of 10 bits.

    On an H100 TF32 changes a student's features by 1.2e-3 of the largest, and those of an utterance that is
    encoded beside others as much again.
    """
    import torch

    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


def memory(device: torch.device) -> int | None:
    """The bytes of an accelerator's memory, of Apple's what torch should take; None if it does not tell."""
    import torch

    if device.type != accelerator():  # a tensor without values says that it is where nothing is
        return None
    if device.type == "mps":
        return torch.mps.recommended_max_memory()
    told: Any = getattr(torch.get_device_module(device), "get_device_properties", None)
    return told(device).total_memory if told else None


def backend(kind: str) -> str:
    """torch.distributed's backend for that kind of device: NCCL for cuda, XCCL for xpu, else Gloo."""
    import torch

    return torch.distributed.get_default_backend_for_device(kind)


def random_states() -> dict[str, list[torch.Tensor]]:
    """The states of the accelerators' random generators, by kind; of none without an accelerator."""
    import torch

    kind = accelerator()
    if kind is None:
        return {}
    module = torch.get_device_module(kind)
    return {kind: [module.get_rng_state(torch.device(kind, index)) for index in range(count())]}


def restore_random_states(states: Mapping[str, list[torch.Tensor]]) -> None:
    """Put back what `random_states` took, if there are as many accelerators of that kind here."""
    import torch

    kind = accelerator()
    kept = [] if kind is None else states.get(kind, [])
    if kind is None or len(kept) != count():
        return
    module = torch.get_device_module(kind)
    for index, state in enumerate(kept):
        module.set_rng_state(state, torch.device(kind, index))
