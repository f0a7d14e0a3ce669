"""The same convolutions for one utterance on a CPU, without gradients: cache-sized and without reorders.

Equal to `FrontEnd` and `PositionalConv` up to fp32 rounding, by four rearrangements:

- The GroupNorm follows a linear map of 10 samples, so its mean and variance follow exactly from the mean
  and covariance of those 10-sample windows, and the normalisation folds into the first convolution.
- Everything after is local in time, so it runs in pieces whose activations stay in the cache.
- Activations are [frame, channel], where a convolution is one matrix product per `stride` taps over a
  strided view, with nothing copied.
- The positional convolution's groups are too narrow for fast convolutions (30 or 27 channels), so a few
  neighbouring frames are computed by one wider matrix product.
"""

from __future__ import annotations

import torch
from torch import Tensor

from upstream_arm.convolutions import frames, receptive_field
from upstream_arm.frontend import FrontEnd, PositionalConv

# Frames at a time; 100 (2 s) was the fastest of 8 to 500 on the CPU it was tried on, by a flat margin.
PIECE = 100

# Frames that one matrix product of the positional convolution computes side by side.
SPAN = 4


def convolve(front_end: FrontEnd, wav: Tensor) -> Tensor:
    """Run the front end on one waveform that is not padded, [sample] of float32, to [frame, channel]."""
    layers = front_end.layers
    weight, bias = _fold_norm(front_end, wav)
    # [out, in, kernel] to [out, kernel, in]: neighbouring taps are then one matrix.
    weights = [weight, *(convolution.weight for convolution in front_end.convolutions()[1:])]
    taps = [w.transpose(1, 2).contiguous() for w in weights]
    field, hop = receptive_field(layers)
    total = frames(len(wav), layers)
    output = wav.new_empty(total, layers[-1][0])
    for start in range(0, total, PIECE):
        end = min(total, start + PIECE)
        x = wav[start * hop : (end - 1) * hop + field].unsqueeze(1)
        for index, (weight, (_, _, stride)) in enumerate(zip(taps, layers, strict=True)):
            x = _convolve_rows(x, weight, stride, bias if index == 0 else None)
            torch.ops.aten.gelu_(x)
        output[start:end] = x
    return output


def _fold_norm(front_end: FrontEnd, wav: Tensor) -> tuple[Tensor, Tensor]:
    """The first convolution with the GroupNorm inside: weight [out, 1, kernel] and bias [out]."""
    _, kernel, stride = front_end.layers[0]
    norm = front_end.norm()
    # fp64, because a variance from a covariance cancels where the waveform has an offset.
    windows = wav.double().unfold(0, kernel, stride)
    mean = windows.mean(dim=0)
    centred = windows - mean
    covariance = centred.T @ centred / len(windows)
    weight = front_end.convolutions()[0].weight[:, 0].double()
    variance = ((weight @ covariance) * weight).sum(dim=1).clamp_min(0)
    scale = norm.weight.double() * torch.rsqrt(variance + norm.eps)
    bias = norm.bias.double() - (weight @ mean) * scale
    return (weight * scale.unsqueeze(1)).to(wav.dtype).unsqueeze(1), bias.to(wav.dtype)


def _convolve_rows(x: Tensor, taps: Tensor, stride: int, bias: Tensor | None) -> Tensor:
    """Valid convolution over the rows of a contiguous [time, in] with [out, kernel, in], plus a bias."""
    width, kernel, channels = taps.shape
    rows = (len(x) - kernel) // stride + 1
    result: Tensor | None = None
    for first in range(0, kernel, stride):
        count = min(stride, kernel - first)
        # `count` neighbouring taps lie side by side in memory, and rows do not overlap.
        view = x[first:].as_strided((rows, count * channels), (stride * channels, 1))
        matrix = taps[:, first : first + count].reshape(width, -1).T
        if result is not None:
            result.addmm_(view, matrix)
        elif bias is not None:
            result = torch.addmm(bias, view, matrix)
        else:
            result = view @ matrix
    assert result is not None, "a convolution has at least one tap"
    return result


def position(convolution: PositionalConv, x: Tensor) -> Tensor:
    """The positional convolution with its GELU, of one utterance: contiguous [frame, width] to the same."""
    weight = convolution.weight()
    groups = convolution.groups
    frames_in, width = x.shape
    narrow, kernel = weight.shape[1:]
    # [out, in, tap] to [group, tap * in, out]
    taps = weight.unflatten(0, (groups, narrow)).permute(0, 3, 2, 1).reshape(groups, -1, narrow)
    spans = -(-frames_in // SPAN)
    padded = x.new_zeros(groups, spans * SPAN + kernel, narrow)
    padded[:, kernel // 2 : kernel // 2 + frames_in] = x.unflatten(1, (groups, narrow)).transpose(0, 1)
    output = x.new_empty(groups, spans, SPAN * narrow)
    # SPAN shifted copies of a group's taps side by side; what lies between them stays 0.
    matrix = x.new_zeros((kernel + SPAN - 1) * narrow, SPAN * narrow)
    for group in range(groups):
        for shift in range(SPAN):
            rows = slice(shift * narrow, (shift + kernel) * narrow)
            matrix[rows, shift * narrow : (shift + 1) * narrow] = taps[group]
        windows = padded[group].as_strided((spans, len(matrix)), (SPAN * narrow, 1))
        torch.mm(windows, matrix, out=output[group])
    merged = output.view(groups, spans * SPAN, narrow)[:, :frames_in].transpose(0, 1).reshape(-1, width)
    return torch.ops.aten.gelu_(merged.add_(convolution.bias))
