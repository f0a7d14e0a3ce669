"""Dynamic int8 of an upstream's linear layers, on the CPU.

Weights are rounded to int8 with a scale for each output, inputs at each call with a scale for each frame,
both symmetric, and products are summed in whole numbers, by the operation that torchao uses too. No scale
depends on another frame. But what differs in the last bit of a float, as features of an utterance alone and
in a batch do, may differ by a step of 1/127 once it is rounded, and by more some layers later.

torch's own `quantize_dynamic` is deprecated, has one scale for a whole batch, and breaks models that read the
weights of their layers, as fused attention does: such a layer multiplies here in float with rounded weights.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from downstream_runs.core.efficiency import Quantized
from downstream_runs.core.generators import random_states, restore_random_states
from downstream_runs.upstreams import efficiency
from upstream_arm.common.errors import UsageError

LARGEST = 127


class Int8Linear(nn.Module):
    """A linear layer of int8 weights.

    codes: the rounded weights, `[in, out]`, as a parameter, so that the upstream counts as many as before.
    scale: `[out]`, of what a whole number of an output's weights is worth.
    """

    scale: Tensor

    def __init__(self, linear: nn.Linear) -> None:
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.dtype = linear.weight.dtype
        codes, scale = _rounded(linear.weight.detach().float())
        self.codes = nn.Parameter(codes.T.contiguous(), requires_grad=False)
        self.register_buffer("scale", scale.squeeze(-1))
        self.bias = linear.bias

    @property
    def weight(self) -> Tensor:
        """The rounded weights `[out, in]` in the type that they had, for a model that reads them."""
        return (self.codes.T * self.scale.unsqueeze(-1)).to(self.dtype)

    def forward(self, x: Tensor) -> Tensor:
        """`[..., in]` to `[..., out]`, in the type of the input."""
        codes, scale = _rounded(x.float().reshape(-1, self.in_features))
        y = torch._int_mm(codes, self.codes) * scale * self.scale
        if self.bias is not None:
            y = y + self.bias.float()
        return y.to(x.dtype).view(*x.shape[:-1], self.out_features)


def _rounded(rows: Tensor) -> tuple[Tensor, Tensor]:
    """Rows `[row, value]` as int8, and `[row, 1]`, what a whole number of each is worth."""
    scale = rows.abs().amax(dim=-1, keepdim=True) / LARGEST
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    return (rows / scale).round().to(torch.int8), scale


def quantize(module: nn.Module, name: str, device: torch.device) -> Quantized:
    """Replace the linear layers of an upstream; returns what that made of its size and speed here.

    UsageError for another device than the CPU, for an upstream without linear layers, and for one whose
    weights are not finite.
    """
    if device.type != "cpu":
        raise UsageError(f"--quantize int8 is for the CPU, and the run is on {device}: add --device cpu")
    found = {path: part for path, part in module.named_modules() if type(part) is nn.Linear}
    if not found:
        raise UsageError(f"{name} has no linear layers to quantize: leave --quantize out")
    for path, linear in found.items():
        if not bool(linear.weight.isfinite().all()):
            raise UsageError(f"{path} of {name} has weights that are not finite: repair its checkpoint")
    before = random_states()
    float_bytes, float_rtf = size(module), efficiency.real_time_factor(module)
    made = {id(linear): Int8Linear(linear) for linear in found.values()}
    for parent in list(module.modules()):
        for child, part in list(parent._modules.items()):  # named_children leaves out one that is there twice
            if id(part) in made:
                setattr(parent, child, made[id(part)])
    rtf = efficiency.real_time_factor(module)
    restore_random_states(before)
    return Quantized("int8", len(made), size(module), float_bytes, rtf, float_rtf, efficiency.machine(device))


def size(module: nn.Module) -> int:
    """Bytes of a module's parameters and buffers, shared ones once."""
    return sum(tensor.nbytes for tensor in {*module.parameters(), *module.buffers()})
