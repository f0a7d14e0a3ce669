"""From waveform to frames: the convolutional front end and the positional convolution.

Module names follow the authors' checkpoints, so that their keys load as they are.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules import module as torch_module

from upstream_arm.common import devices
from upstream_arm.config import ConvLayer, StudentConfig
from upstream_arm.convolutions import frames

_OWN_HOOKS = ("_forward_hooks", "_forward_pre_hooks")
_GLOBAL_HOOKS = ("_global_forward_hooks", "_global_forward_pre_hooks")


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a call of `module` does what `kind.forward` does with the weights that it shows, and no more.

    False for everything that people put around or in the place of a layer: another class (LoRA and other
    adapters, quantised layers, parametrisations, which change the class), forward hooks (torch's pruning and
    its older weight normalisation are hooks), or a `forward` set on the instance.
    """
    hooked = any(getattr(module, name) for name in _OWN_HOOKS)
    hooked = hooked or any(getattr(torch_module, name) for name in _GLOBAL_HOOKS)
    return type(module) is kind and not hooked and "forward" not in vars(module)


def own_counts(
    lengths: Sequence[int], layers: Sequence[ConvLayer], device: torch.device
) -> tuple[Tensor, Tensor]:
    """The positions that utterances of so many samples have after the first convolution and after the last.

    [batch] each, in one copy to the device, from which all masks of a padded batch are made there.
    """
    table = [[frames(length, part) for length in lengths] for part in (layers[:1], layers)]
    first, last = devices.to_device(torch.tensor(table), device).unbind()
    return first, last


def valid_frames(counts: Sequence[int] | Tensor, total: int, device: torch.device) -> Tensor:
    """Which frames of a padded batch belong to an utterance, [batch, frame] of bool."""
    own = devices.to_device(torch.as_tensor(counts), device)
    return torch.arange(total, device=device) < own.unsqueeze(1)


def widened(x: Tensor) -> Tensor:
    """What a norm is given: fp32 under autocast, where torch itself widens it on accelerators alone."""
    # The type first: torch knows no autocast on `meta`, where sizes alone are computed.
    return x.float() if x.dtype != torch.float32 and torch.is_autocast_enabled(x.device.type) else x


class FrontEnd(nn.Module):
    """Convolutions, by default without bias, each followed by GELU, the first one by a GroupNorm before it.

    The GroupNorm has one group a channel: statistics over time. In a padded batch the released code
    takes them over the padding too; `valid_only` takes them over each utterance's own samples.
    """

    def __init__(self, layers: Sequence[ConvLayer], bias: bool = False) -> None:
        super().__init__()
        self.layers = tuple(layers)
        blocks = []
        channels = 1
        for index, (width, kernel, stride) in enumerate(self.layers):
            conv = nn.Conv1d(channels, width, kernel, stride, bias=bias)
            nn.init.kaiming_normal_(conv.weight)
            # The authors' blocks are (convolution, dropout of 0, norm, activation): norms have key 2.
            norm = [nn.GroupNorm(width, width)] if index == 0 else []
            blocks.append(nn.Sequential(conv, nn.Identity(), *norm))
            channels = width
        self.conv_layers = nn.ModuleList(blocks)

    def convolutions(self) -> list[nn.Conv1d]:
        """The convolutions in order."""
        return [cast(nn.Conv1d, cast(nn.Sequential, block)[0]) for block in self.conv_layers]

    def norm(self) -> nn.GroupNorm:
        """The GroupNorm after the first convolution."""
        return cast(nn.GroupNorm, cast(nn.Sequential, self.conv_layers[0])[2])

    def is_plain(self) -> bool:
        """Whether its convolutions and its norm are torch's own, so that their weights say what they do."""
        return (
            is_plain(self, FrontEnd)
            and is_plain(self.norm(), nn.GroupNorm)
            and all(is_plain(convolution, nn.Conv1d) for convolution in self.convolutions())
        )

    def forward(
        self, wavs: Tensor, lengths: Sequence[int], valid_only: bool, own: Tensor | None = None
    ) -> Tensor:
        """Convolve a padded batch, [batch, sample], to [batch, frame, channel].

        `lengths` are each utterance's own samples; for `valid_only` see the class. `own` are the positions
        after the first convolution, as `own_counts` has them, where they are on the device already.
        """
        first, *others = self.convolutions()
        norm = self.norm()
        x = first(wavs.unsqueeze(1))
        counts = [frames(length, self.layers[:1]) for length in lengths]
        padded = min(counts) < x.shape[2]
        x = F.gelu(_norm_over_valid(x, counts, own, norm) if valid_only and padded else norm(widened(x)))
        for convolution in others:
            x = F.gelu(convolution(x))
        return x.transpose(1, 2)


def _norm_over_valid(x: Tensor, counts: Sequence[int], own: Tensor | None, norm: nn.GroupNorm) -> Tensor:
    """GroupNorm of [batch, channel, time] with statistics over each row's first `counts` positions.

    `own` are the same counts on the device, where they are there. What follows a row's own positions is
    padding and has no meaning.
    """
    if not is_plain(norm, nn.GroupNorm):
        rows = [norm(widened(row[None, :, :count])) for row, count in zip(x, counts, strict=True)]
        return torch.cat([F.pad(row, (0, x.shape[2] - row.shape[2])) for row in rows])
    with torch.autocast(x.device.type, enabled=False):
        values = x.float()
        mask = valid_frames(counts if own is None else own, x.shape[2], x.device).unsqueeze(1)
        sizes = mask.sum(dim=2, keepdim=True)
        mean = (values * mask).sum(dim=2, keepdim=True) / sizes
        centred = values - mean
        variance = (centred.square() * mask).sum(dim=2, keepdim=True) / sizes
        scale = norm.weight.float().unsqueeze(1) * torch.rsqrt(variance + norm.eps)
        return (centred * scale + norm.bias.float().unsqueeze(1)).to(x.dtype)


class PositionalConv(nn.Module):
    """Grouped convolution over time with weight normalisation per tap, followed by GELU.

    Keys `weight_g` [1, 1, kernel], `weight_v` [width, width / groups, kernel] and `bias` as in the
    checkpoints (the form that torch.nn.utils.weight_norm with dim=2 writes).
    """

    def __init__(self, config: StudentConfig) -> None:
        super().__init__()
        width, kernel, self.groups = config.embed_dim, config.conv_pos, config.conv_pos_groups
        self.weight_v = nn.Parameter(torch.empty(width, width // self.groups, kernel))
        self.weight_g = nn.Parameter(torch.empty(1, 1, kernel))
        self.bias = nn.Parameter(torch.zeros(width))
        # As fairseq and wav2vec 2.0 start it: normal with variance 4 / (kernel * width).
        nn.init.normal_(self.weight_v, std=(4.0 / (kernel * width)) ** 0.5)
        with torch.no_grad():
            self.weight_g.copy_(self.weight_v.norm(dim=(0, 1), keepdim=True))

    def weight(self) -> Tensor:
        """The normalised weight, [width, width / groups, kernel]."""
        return torch._weight_norm(self.weight_v, self.weight_g, 2)

    def forward(self, x: Tensor) -> Tensor:
        """[batch, frame, width] to the same shape: an even kernel gives one frame too many, dropped last."""
        kernel = self.weight_v.shape[2]
        y = F.conv1d(x.transpose(1, 2), self.weight(), self.bias, padding=kernel // 2, groups=self.groups)
        if kernel % 2 == 0:
            y = y[:, :, :-1]
        return F.gelu(y).transpose(1, 2)


def scale_gradient(x: Tensor, factor: float) -> Tensor:
    """The same values forward, the gradient times `factor` backward."""
    result: Tensor = _ScaleGradient.apply(x, factor)
    return result


class _ScaleGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, factor: float) -> Tensor:
        ctx.factor = factor
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        return gradients[0] * ctx.factor, None
