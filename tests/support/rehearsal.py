"""A pretend accelerator for machines without one: its tensors are on `rehearsal:0`, computed on the CPU.

What would go wrong, or cost time, on a real device shows: operands on two devices are an error, and what the
device starts, copies and is waited for is counted, each with the line of ours or of s3prl that caused it.

    with rehearsal.counting() as counts:
        model.to(rehearsal.DEVICE)(waves.to(rehearsal.DEVICE))
    print(counts)

It has no autocast (torch has no rules of what to cast for it), no streams, so that copies never run beside
kernels, no second device, no compiler or graphs, no memory to measure or to run out of, and no pointers to
it. Attention and LSTMs are the CPU's own, counted as one kernel each way, as are torch's kernels for lists
of tensors, which a GPU may split. Random numbers are the CPU's, those of dropout too. torch's own CTC loss
and packed sequences take some lengths on the host, as they do for CUDA; nested tensors are not known.
"""

from __future__ import annotations

import contextlib
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.utils import _foreach_utils
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

from upstream_arm.common import devices

NAME = "rehearsal"
ON_HOST = frozenset(
    {
        "_pack_padded_sequence",
        "_pack_padded_sequence_backward",
        "_to_copy",
        "copy_",
        "index",
        "index_put_",
        "_index_put_impl_",
    }
    | {"_ctc_loss", "_ctc_loss_backward"}
)
"""Operations of which some arguments may lie on the host while others lie on the device."""

SIZED_BY_VALUES = frozenset({"_local_scalar_dense", "nonzero", "masked_select"})
"""Operations that give a number to the host, or whose result is as large as values on the device say."""

PAGE_LOCKED = "page_locked"
"""The attribute of a tensor on the host that says so."""

SEEN = ("upstream_arm", "downstream_runs", "s3prl/", "transformers/models")
"""Whose lines are named as causes, by parts of their paths."""


PASSED_OVER = ("__torch_function__", "to_device")
"""Functions of ours that do what others ask for."""


@dataclass
class Counts:
    """What happened on the device: each by operation or by the line that caused it, and how often.

    kernels: operations started, without views. copies_in, copies_out: from and to the host. waits: reads of
    single values, and sizes that depend on values, at which the host waits; so it does at every copy out.
    blocking: of the copies in those at which it waits, as they are not from page-locked memory or not marked
    `non_blocking`.
    """

    kernels: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    copies_in: Counter[str] = field(default_factory=Counter)
    copies_out: Counter[str] = field(default_factory=Counter)
    waits: Counter[str] = field(default_factory=Counter)
    blocking: Counter[str] = field(default_factory=Counter)

    def add(self, others: Counts) -> None:
        """Count what others have, too."""
        for name, counter in vars(others).items():
            getattr(self, name).update(counter)

    def row(self) -> tuple[int, int, int, int]:
        """How many kernels, copies in, copies out and waits."""
        return tuple(  # type: ignore[return-value]
            sum(each.values()) for each in (self.kernels, self.copies_in, self.copies_out, self.waits)
        )


class _Module:
    """What torch asks of the module of a device, as far as it asks."""

    def is_initialized(self) -> bool:
        return True

    def is_available(self) -> bool:
        return _working  # else torch's DataParallel in the same process would take it for a GPU

    def current_device(self) -> int:
        return 0

    def device_count(self) -> int:
        return 1

    def _is_in_bad_fork(self) -> bool:
        return False

    def manual_seed_all(self, seed: int) -> None:
        pass  # random numbers are the CPU's

    def get_rng_state(self, device: Any = None) -> torch.Tensor:
        return torch.get_rng_state()

    def set_rng_state(self, state: torch.Tensor, device: Any = None) -> None:
        pass

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        return [torch.bfloat16, torch.float16]

    def synchronize(self, device: Any = None) -> None:
        pass


_setup_privateuseone_for_python_backend(NAME, _Module())
DEVICE = torch.device(NAME, 0)
devices.PINNED = (*devices.PINNED, NAME)
_counts = Counts()
_working = False


class OnDevice(torch.Tensor):
    """A tensor of the device; `held` has its values on the CPU."""

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnDevice:
        return torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined,no-any-return]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=DEVICE,
            requires_grad=False,
        )

    def __init__(self, held: torch.Tensor) -> None:
        self.held = held

    def __repr__(self, *, tensor_contents: Any = None) -> str:
        return f"OnDevice({self.held!r})"

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.held.detach().__reduce_ex__(protocol)

    def tolist(self) -> Any:
        _counts.copies_out[_cause()] += 1
        return self.held.tolist()

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.nn.functional.scaled_dot_product_attention:
            return _attention(*args, **(kwargs or {}))
        if func is torch.lstm:
            return _lstm(*args)
        if func is torch.nn.functional.ctc_loss:
            return _ctc_loss(*args, **(kwargs or {}))
        # torch's own would make results that are on the host tensors of the device.
        with torch._C.DisableTorchFunctionSubclass():
            return func(*args, **(kwargs or {}))

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


class _Mode(TorchDispatchMode):
    """Sees what makes new tensors on the device, which has no argument there yet."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        return _run(func, args, kwargs or {})


# As parameters of a GPU: one kernel for all of them where torch has that.
_foreach_utils._foreach_supported_types.append(OnDevice)


@contextlib.contextmanager
def counting() -> Iterator[Counts]:
    """Work with the device, and count from nothing."""
    global _counts, _working
    before, _counts, _working = (_counts, _working), Counts(), True
    try:
        with _Mode():
            yield _counts
    finally:
        _counts, _working = before


def on_host(tensor: torch.Tensor) -> torch.Tensor:
    """The values of a tensor, wherever it is; not counted."""
    return tensor.held if isinstance(tensor, OnDevice) else tensor


def _cause() -> str:
    """The innermost line of ours or of s3prl, passing over what copies and operations go through."""
    frame = sys._getframe(1)
    while frame is not None:
        name, code = frame.f_code.co_filename, frame.f_code.co_name
        if any(part in name for part in SEEN) and "/tests/" not in name and code not in PASSED_OVER:
            return f"{'/'.join(name.split('/')[-3:])}:{frame.f_lineno}"
        frame = frame.f_back  # type: ignore[assignment]
    return "elsewhere"


def _is_ours(device: Any) -> bool:
    return device is not None and torch.device(device).type == NAME


def _on_cpu(argument: Any) -> Any:
    """An argument as the CPU's operation takes it."""
    if isinstance(argument, OnDevice):
        return argument.held
    return torch.device("cpu") if isinstance(argument, torch.device) and _is_ours(argument) else argument


def _note_copy(to_ours: bool, source: torch.Tensor, non_blocking: bool) -> None:
    if to_ours != isinstance(source, OnDevice):
        (_counts.copies_in if to_ours else _counts.copies_out)[_cause()] += 1
        if to_ours and not (non_blocking and hasattr(source, PAGE_LOCKED)):
            _counts.blocking[_cause()] += 1
    elif to_ours:
        _counts.kernels["copy"] += 1


def _page_locked(tensor: torch.Tensor) -> torch.Tensor:
    """A copy that counts as page-locked; what is cut out of it does not."""
    copied = tensor.clone()
    setattr(copied, PAGE_LOCKED, True)
    return copied


def _run(func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Do one operation of torch on the CPU, and count it if it is the device's."""
    name = func._schema.name.split("::")[1]
    if name == "is_pinned":
        return hasattr(args[0], PAGE_LOCKED)
    if name == "_pin_memory":
        return _page_locked(args[0])
    flat, form = pytree.tree_flatten((args, dict(kwargs)))
    ours = any(isinstance(one, OnDevice) for one in flat)
    if ours and name not in ON_HOST:
        strangers = (one for one in flat if isinstance(one, torch.Tensor) and not isinstance(one, OnDevice))
        if any(one.dim() > 0 for one in strangers):
            raise RuntimeError(f"{name} got tensors on {DEVICE} and on the CPU, at {_cause()}")
    if ours and name in SIZED_BY_VALUES:
        _counts.waits[_cause()] += 1
    cpu_args, cpu_kwargs = pytree.tree_unflatten([_on_cpu(one) for one in flat], form)
    if name == "_to_copy":
        device = kwargs.get("device")
        to_ours = isinstance(args[0], OnDevice) if device is None else _is_ours(device)
        _note_copy(to_ours, args[0], kwargs.get("non_blocking", False))
        result = func(*cpu_args, **cpu_kwargs)
        return OnDevice(result) if to_ours else result
    if name == "copy_":
        return _copy(*args, **kwargs)
    result = func(*cpu_args, **cpu_kwargs)
    if name == "_local_scalar_dense" or not (ours or _is_ours(kwargs.get("device"))):
        return result
    aliases = (one.alias_info for one in func._schema.returns)
    is_view = any(one is not None and not one.is_write for one in aliases)
    (_counts.views if is_view or name in ("detach", "_unsafe_view") else _counts.kernels)[name] += 1
    if name == "_pack_padded_sequence":
        return OnDevice(result[0]), result[1]  # the sizes of its batches stay on the host
    wrapped = pytree.tree_map(
        lambda one: OnDevice(one) if isinstance(one, torch.Tensor) and not isinstance(one, OnDevice) else one,
        result,
    )
    return return_and_correct_aliasing(func, args, dict(kwargs), wrapped)


def _copy(target: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    _note_copy(isinstance(target, OnDevice), source, non_blocking)
    on_host(target).copy_(on_host(source))
    return target


def _attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_mask: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
) -> torch.Tensor:
    """The CPU's fused attention, as torch chooses it there, with its mask made as torch makes it."""
    with torch._C.DisableTorchFunctionSubclass():
        if dropout_p:
            return torch.nn.functional.scaled_dot_product_attention(
                query, key, value, attn_mask, dropout_p, is_causal, scale=scale
            )
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            shape, left_out = attn_mask.shape, attn_mask.logical_not()
            attn_mask = query.new_zeros(shape).masked_fill_(left_out, float("-inf"))
        output: torch.Tensor = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, is_causal, attn_mask=attn_mask, scale=scale
        )[0]
        return output


def _ctc_loss(
    log_probs: torch.Tensor,
    targets: torch.Tensor,
    input_lengths: Any,
    target_lengths: Any,
    *others: Any,
    **named: Any,
) -> torch.Tensor:
    """torch's, with its lengths on the host: for a class of its own torch would take them where they are."""
    lengths = [one.cpu() if isinstance(one, OnDevice) else one for one in (input_lengths, target_lengths)]
    listed = [one.tolist() if isinstance(one, torch.Tensor) else one for one in lengths]
    with torch._C.DisableTorchFunctionSubclass():
        loss: torch.Tensor = torch.nn.functional.ctc_loss(log_probs, targets, *listed, *others, **named)
        return loss


class _Lstm(torch.autograd.Function):
    """The CPU's LSTM and its gradient: elsewhere torch has none that calls other operations."""

    @staticmethod
    def forward(ctx: Any, call: Any, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        ctx.set_materialize_grads(False)
        needed = zip(tensors, ctx.needs_input_grad[1:], strict=True)
        ctx.given = [on_host(one).detach().requires_grad_(need) for one, need in needed]
        with torch.enable_grad():
            ctx.found = call(ctx.given)
        _counts.kernels["lstm"] += 1
        return tuple(OnDevice(one.detach()) for one in ctx.found)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor | None) -> tuple[Any, ...]:
        pairs = zip(ctx.found, gradients, strict=True)
        outputs = [(one, on_host(gradient)) for one, gradient in pairs if gradient is not None]
        needed = [one for one in ctx.given if one.requires_grad]
        results = iter(torch.autograd.grad([one for one, _ in outputs], needed, [two for _, two in outputs]))
        _counts.kernels["lstm_backward"] += 1
        return None, *(OnDevice(next(results)) if one.requires_grad else None for one in ctx.given)


def _lstm(*args: Any) -> Any:
    flat, form = pytree.tree_flatten(args)
    places = [place for place, one in enumerate(flat) if isinstance(one, OnDevice)]

    def call(tensors: Sequence[torch.Tensor]) -> Any:
        filled = list(flat)
        for place, tensor in zip(places, tensors, strict=True):
            filled[place] = tensor
        return torch.lstm(*pytree.tree_unflatten(filled, form))

    return _Lstm.apply(call, *(flat[place] for place in places))  # type: ignore[no-untyped-call]


def _empty(size: Any, dtype: Any = None, layout: Any = None, device: Any = None, **options: Any) -> OnDevice:
    kind = dtype or torch.get_default_dtype()
    memory_format = options.get("memory_format") or torch.contiguous_format
    return OnDevice(torch.empty(size, dtype=kind, memory_format=memory_format))


def _empty_strided(
    size: Any, stride: Any, dtype: Any = None, layout: Any = None, device: Any = None, pin_memory: Any = None
) -> OnDevice:
    return OnDevice(torch.empty_strided(size, stride, dtype=dtype or torch.get_default_dtype()))


_library = torch.library.Library("aten", "IMPL")
_library.impl("empty.memory_format", _empty, "PrivateUse1")
_library.impl("empty_strided", _empty_strided, "PrivateUse1")
_library.impl("copy_", _copy, "PrivateUse1")
