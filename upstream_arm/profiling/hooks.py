"""Multiply-accumulates measured on any module, for upstreams that the closed formulas do not describe.

A forward pass of one synthetic waveform of each length, at batch size 1, under torch's own FlopCounterMode,
whose two operations a multiply-accumulate are halved. Fused attention, fused transformer layers and cuDNN's
recurrent layers hide their products from it, so they are switched off while counting; the CPU's fused LSTM is
counted by its shapes, since written out each frame would take a dozen calls.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from upstream_arm.common import stages

RULE = (
    "measured with torch.utils.flop_counter (halved) on 32 synthetic waveforms of the lengths that SUPERB's "
    "profiling tool uses (LibriSpeech test-clean), each alone, attention, transformer layers and recurrent "
    "layers written out: matrix products and convolutions; not counted: norms, activations, softmax, biases "
    "and other element-wise work, Fourier transforms, and whatever the upstream does outside torch"
)


def _vector_flop(*shapes: Any, out_shape: Any = None, **_: Any) -> int:
    return int(2 * math.prod(shapes[-2]))


def _int8_flop(a_shape: Any, b_shape: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    return int(2 * a_shape[0] * a_shape[1] * b_shape[-1])


def _lstm_flop(x: Any, of_input: Any, of_state: Any, *_: Any, out_shape: Any = None, **__: Any) -> int:
    frames = x[0] * x[1]  # [frame, batch, feature]
    return int(2 * frames * (math.prod(of_input) + math.prod(of_state)))


# Products with a vector, whose operand before the last has every factor, of int8, and an LSTM's layer:
# torch's own table lacks them.
_MORE_PRODUCTS = {
    torch.ops.aten._int_mm: _int8_flop,
    torch.ops.aten.mkldnn_rnn_layer: _lstm_flop,
    torch.ops.aten.mv: _vector_flop,
    torch.ops.aten.addmv: _vector_flop,
    torch.ops.aten.dot: _vector_flop,
}


def count(
    module: nn.Module,
    lengths: Sequence[int],
    forward: Callable[[nn.Module, Tensor], object] = lambda upstream, waveform: upstream([waveform]),
) -> list[dict[str, int]]:
    """Multiply-accumulates of `convolutions` and `matrix_products` of one pass, for each length in samples.

    The module is put into evaluation mode and should have no fast path of its own; `forward` runs it on one
    waveform [sample].
    """
    module.eval()
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    generator = torch.Generator().manual_seed(0)
    counts = []
    with torch.no_grad(), _written_out():
        for length in stages.bar(lengths, "counting MACs", len(lengths), unit="utterance"):
            waveform = 0.1 * torch.randn(length, generator=generator)
            with FlopCounterMode(display=False, custom_mapping=_MORE_PRODUCTS) as counter:
                forward(module, waveform.to(device))
            counts.append(_by_kind(counter.get_flop_counts().get("Global", {})))
    return counts


def parameters(module: nn.Module) -> dict[str, int]:
    """Parameters of each direct child, shared ones in the first that holds them, and `own` for the rest."""
    seen: set[int] = set()

    def new(part: nn.Module) -> int:
        fresh = [p for p in part.parameters() if id(p) not in seen]
        seen.update(map(id, fresh))
        return sum(p.numel() for p in fresh)

    parts = {name: new(child) for name, child in module.named_children()}
    parts["own"] = new(module)
    return {name: number for name, number in parts.items() if number}


def _by_kind(flops: dict[Any, int]) -> dict[str, int]:
    kinds = {"convolutions": 0, "matrix_products": 0}
    for operation, number in flops.items():
        kinds["convolutions" if "conv" in str(operation) else "matrix_products"] += number // 2
    return kinds


@contextlib.contextmanager
def _written_out() -> Iterator[None]:
    """Attention, transformer layers and cuDNN's recurrent layers as single products that the counter sees."""
    fast = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with torch.backends.cudnn.flags(enabled=False), sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fast)
