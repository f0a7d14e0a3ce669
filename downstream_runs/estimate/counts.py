"""What a computation asks of an accelerator, counted on the CPU: kernels, FLOPs, and bytes read and written.

Counted are torch's operations as they are dispatched, so one for each that an accelerator would be given,
whatever it makes of it. Fused attention and recurrent layers, which torch computes otherwise on a CPU, are
counted by formula and not computed.
"""

from __future__ import annotations

import contextlib
import dataclasses
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._subclasses.fake_tensor import FakeTensorMode, is_fake
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

NO_KERNEL = frozenset(
    {"detach", "_unsafe_view", "lift_fresh", "_local_scalar_dense", "empty", "empty_like", "empty_strided"}
    | {"new_empty", "new_empty_strided"}
)
"""Operations that start nothing on a device, beside views."""

RATES = {torch.float64: "fp64", torch.bfloat16: "bf16", torch.float16: "bf16"}
"""The peak by which products of a type are computed, where it is not fp32."""


@dataclass(frozen=True)
class Counts:
    """kernels: operations that are started; steps: of recurrent layers, for each step of time.

    fp32, tf32, bf16, fp64: FLOPs by the precision in which torch has them computed by default, convolutions
    and recurrent layers in TF32, matrix products not. products, others: bytes read and written by operations
    that have FLOPs, and by those that have none.
    """

    kernels: float = 0.0
    steps: float = 0.0
    fp32: float = 0.0
    tf32: float = 0.0
    bf16: float = 0.0
    fp64: float = 0.0
    products: float = 0.0
    others: float = 0.0

    def __add__(self, other: Counts) -> Counts:
        pairs = zip(dataclasses.astuple(self), dataclasses.astuple(other), strict=True)
        return Counts(*(one + two for one, two in pairs))

    def times(self, factor: float) -> Counts:
        """All of it so many times."""
        return Counts(*(factor * number for number in dataclasses.astuple(self)))

    def larger(self, batch: float, length: float = 1.0) -> Counts:
        """Of a batch of so many times the utterances, each so many times as long, in as many operations."""
        all_of_it = self.times(batch * length)
        return dataclasses.replace(all_of_it, kernels=self.kernels, steps=self.steps * length)


NOTHING = Counts()


class _Operations(TorchDispatchMode):
    """Counts every operation of torch's."""

    def __init__(self) -> None:
        super().__init__()
        self.counts = Counts()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.ops.aten._local_scalar_dense.default and is_fake(args[0]):
            if args[0].dtype == torch.bool:
                return True
            if not args[0].is_floating_point():
                raise _NeedsValues
            return 1.0  # as True, the answer to whether samples are finite
        if func is torch.ops.aten.is_pinned.default:
            return False
        if func is torch.ops.aten._pin_memory.default:  # which a tensor without values cannot
            return args[0]
        output = func(*args, **(kwargs or {}))
        space, name = func._schema.name.split("::")
        aliases = (one.alias_info for one in func._schema.returns)
        is_view = any(one is not None and not one.is_write for one in aliases)
        if space == "aten" and name not in NO_KERNEL and not is_view:
            self.counts += _of_operation(func, name, args, kwargs or {}, output)
        return output


class _NeedsValues(Exception):
    """Tensors without values do not do."""


def _of_operation(func: Any, name: str, args: Any, kwargs: Any, output: Any) -> Counts:
    tensors = [one for one in pytree.tree_leaves((args, kwargs, output)) if isinstance(one, torch.Tensor)]
    if not tensors:
        return Counts()  # a question about types
    moved = sum(one.nbytes for one in tensors)
    formula = flop_registry.get(func._overloadpacket)
    if formula is None:
        return Counts(kernels=1, others=moved)
    flops = formula(*args, **kwargs, out_val=output)
    rate = RATES.get(tensors[0].dtype, "tf32" if "conv" in name else "fp32")
    return Counts(kernels=1, products=moved, **{rate: flops})


class _Fused(TorchFunctionMode):
    """Counts fused attention and LSTMs by formula; their outputs are zeros."""

    def __init__(self, operations: _Operations) -> None:
        super().__init__()
        self._operations = operations

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func is torch.lstm:
            return self._lstm(*args)
        if func is torch.nn.functional.scaled_dot_product_attention:
            return self._attention(*args, **(kwargs or {}))
        return func(*args, **(kwargs or {}))

    def _attention(self, query: Any, key: Any, value: Any, attn_mask: Any = None, *_: Any, **__: Any) -> Any:
        """One kernel, here the one that makes the zeros, and three where a mask of bool becomes numbers."""
        heads, frames = query.shape[-3:-1]
        shape = (*query.shape[:-3], frames, heads, value.shape[-1])
        output = query.new_zeros(shape).transpose(-3, -2)  # as it lies on a GPU
        masked = attn_mask is not None and attn_mask.dtype == torch.bool
        pairs = query.shape[:-1].numel() * key.shape[-2]
        self._operations.counts += Counts(
            kernels=3 * masked,
            products=sum(one.nbytes for one in (query, key, value)),
            **{RATES.get(query.dtype, "fp32"): 2 * pairs * (query.shape[-1] + value.shape[-1])},
        )
        return output

    def _lstm(self, data: Any, sizes_or_state: Any, *rest: Any) -> Any:
        """torch's own has (data, state, weights, biases, layers, dropout, training, both, batch first) or, of
        packed sequences, (data, batch sizes, state, ...).

        For each layer and direction there is one product for all inputs, and for each step of time one of the
        recurrent weights, which stay in the cache, and one kernel for the gates; backward, twice the
        arithmetic and as many kernels.
        """
        packed = isinstance(sizes_or_state, torch.Tensor)
        state, weights, *others = rest if packed else (sizes_or_state, *rest)
        both, batch_first = others[4], len(others) > 5 and others[5]
        rows, wide = data.shape[:-1], state[0].shape[-1] * (2 if both else 1)
        times = len(sizes_or_state) if packed else rows[1 if batch_first else 0]
        matrices = [one for one in weights if one.dim() == 2]
        passes = 3 if torch.is_grad_enabled() else 1
        output = _Zeros.apply(data, (*rows, wide), *weights)
        moved = sum(one.nbytes for one in matrices) + data.nbytes + 4 * output.nbytes
        started = len(matrices) // 2 * min(passes, 2)
        self._operations.counts += Counts(
            kernels=started,
            steps=2 * times * started,
            tf32=passes * 2 * rows.numel() * sum(one.numel() for one in matrices),
            products=passes * moved,
        )
        return (output, *(one.clone() for one in state))


class _Zeros(torch.autograd.Function):
    """Zeros of a shape, and zero gradients."""

    @staticmethod
    def forward(ctx: Any, data: Any, shape: Any, *weights: Any) -> Any:
        ctx.save_for_backward(data, *weights)
        return data.new_zeros(shape)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        data, *weights = (torch.zeros_like(one) for one in ctx.saved_tensors)
        return data, None, *weights


@contextlib.contextmanager
def _counting() -> Iterator[_Operations]:
    operations = _Operations()
    with warnings.catch_warnings(), _Fused(operations), operations:
        warnings.simplefilter("ignore")  # of the GPU that is not there
        yield operations


def of_call(function: Callable[[], Any]) -> Counts:
    """The counts of a call, which is made on the CPU."""
    with _counting() as found:
        function()
    return found.counts


def of_pass(module: torch.nn.Module, lengths: Sequence[int]) -> Counts:
    """The counts of an upstream's forward pass of waveforms of so many samples.

    The module is called with tensors that have no values and say that they are on a GPU, which takes no
    arithmetic and the paths of a GPU. One that needs values is called on the CPU, with two of the
    waveforms at most; the rest is in proportion, kernels apart.
    """
    held = (*module.named_parameters(), *module.named_buffers())
    try:
        with FakeTensorMode(allow_non_fake_inputs=True), torch.no_grad():
            state = {name: torch.empty(one.shape, dtype=one.dtype, device="cuda") for name, one in held}
            wavs = [torch.empty(length, device="cuda") for length in lengths]
            return of_call(lambda: torch.func.functional_call(module, state, (wavs,)))
    except Exception:  # an upstream may raise anything
        few = [0.1 * torch.randn(length) for length in lengths[-2:]]
        with torch.no_grad():
            return of_call(lambda: module(few)).larger(sum(lengths) / sum(map(len, few)))
