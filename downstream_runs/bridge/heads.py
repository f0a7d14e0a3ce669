"""What s3prl's heads are spared around their own code: the same numbers, less memory moved and less waiting.

- torch's `pad_sequence` writes one sequence after another into the batch, and its gradient copies the whole
  batch for each. Here the gradient is a view of the batch's: a tenth of the time of both on a CPU.
- The poolings take slices of a batch, and the gradient of each slice is as large as the batch. Here they are
  given its rows, and lengths or masks on the host, which they ask once or more for each utterance.
- The frames around each frame, which the x-vector's layers take, are gathered by a kernel for each utterance
  that takes 3 ms of an H100, more than half of a step. Here one copy gathers those of all, on a device.
- Some heads go through whole numbers on a device row by row, for their records: here one copy brings all.
- Labels, lengths and masks are copied to a device from memory that is not page-locked, for which the host
  waits until the device has done all that came before. Here the copy is queued behind that.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from upstream_arm.common import devices

POOLINGS = {"s3prl.downstream.model": ("MeanPooling",), "s3prl.downstream.sv_voxceleb1.model": ("MP", "SP")}
"""Those that go through `[utterance, frame, feature]` by utterance, each with its length or mask."""

EXPERTS = (
    "asr",
    "ctc",
    "diarization",
    "emotion",
    "fluent_commands",
    "speech_commands",
    "sv_voxceleb1",
    "voxceleb1",
)
BY_ROW = ("asr", "ctc", "fluent_commands", "sv_voxceleb1")
"""The heads that go through predictions or labels row by row."""

ON_HOST = "on_host"
"""The attribute of a tensor on a device that has the same values on the host."""


def install(after_import: Callable[[str, Callable[[ModuleType], None]], None]) -> None:
    """Have each module changed as soon as it is imported."""
    for name in EXPERTS:
        after_import(f"s3prl.downstream.{name}.expert", _correct_expert)
    for module, names in POOLINGS.items():
        after_import(module, functools.partial(_correct_poolings, names))
    after_import("s3prl.downstream.sv_voxceleb1.model", _correct_contexts)


def _correct_expert(module: ModuleType) -> None:
    vars(module)["pad_sequence"] = pad_sequence
    name = module.__name__.split(".")[-2]
    forward = module.DownstreamExpert.forward

    @functools.wraps(forward)
    def forward_on_device(self: Any, mode: str, features: Any, *others: Any, **options: Any) -> Any:
        if features[0].device.type == "cpu":
            return forward(self, mode, features, *others, **options)
        with copied(by_row=name in BY_ROW):
            return forward(self, mode, features, *others, **options)

    module.DownstreamExpert.forward = forward_on_device
    if name == "diarization":
        permuted = module.get_label_perm
        # It asks which way is the best, and for labels, utterance by utterance.
        vars(module)["get_label_perm"] = lambda labels, ways, all_ways: permuted(
            labels.cpu(), ways.cpu(), all_ways
        )


def _correct_poolings(names: Sequence[str], module: ModuleType) -> None:
    for name in names:
        pooling = getattr(module, name)
        pooling.forward = _of_rows(pooling.forward)


def _of_rows(forward: Callable[..., Any]) -> Callable[..., Any]:
    """A pooling's forward pass that is given the rows of its batch, and lengths or masks on the host."""

    @functools.wraps(forward)
    def forward_of_rows(self: Any, batch: Any, about: Any, **options: Any) -> Any:
        rows = batch if isinstance(batch, tuple) else batch.unbind(0)
        on_host = getattr(about, ON_HOST, None)
        return forward(self, rows, about.cpu() if on_host is None else on_host, **options)

    return forward_of_rows


def _correct_contexts(module: ModuleType) -> None:
    vars(module)["F"] = _Functional(module.F)


class _Functional:
    """torch.nn.functional with `unfold` as below."""

    def __init__(self, functional: ModuleType) -> None:
        self._functional = functional

    def __getattr__(self, name: str) -> Any:
        return getattr(self._functional, name)

    def unfold(self, batch: Any, kernel: tuple[int, int], dilation: tuple[int, int], stride: Any) -> Any:
        """The frames around each of `[utterance, 1, frame, feature]`, as torch gives them."""
        if batch.device.type == "cpu":
            return self._functional.unfold(batch, kernel, dilation=dilation, stride=stride)
        return _gathered().apply(batch.squeeze(1), kernel[0], dilation[0])


@functools.cache
def _gathered() -> Any:
    """The function with a gradient that is added up in the order in which torch's adds it."""
    import torch

    class Gathered(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, batch: Any, context: int, dilation: int) -> Any:
            ctx.shape, count = batch.shape, batch.shape[1] - dilation * (context - 1)
            ctx.spans = [slice(dilation * place, dilation * place + count) for place in range(context)]
            return torch.cat([batch[:, span].transpose(1, 2) for span in ctx.spans], dim=1)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            total = gradients[0].new_zeros(ctx.shape)
            for span, part in zip(ctx.spans, gradients[0].split(ctx.shape[2], dim=1), strict=True):
                total[:, span] += part.transpose(1, 2)
            return total, None, None

    return Gathered


def pad_sequence(
    sequences: Any, batch_first: bool = False, padding_value: float = 0.0, padding_side: str = "right"
) -> Any:
    """torch's function, whose gradient is a view for each sequence, `[time, ...]`."""
    import torch
    from torch.nn.utils import rnn

    sequences = tuple(sequences)
    if not batch_first or padding_side != "right":
        return rnn.pad_sequence(sequences, batch_first, padding_value, padding_side)
    if len({len(sequence) for sequence in sequences}) == 1:
        return torch.stack(sequences)
    if not any(sequence.requires_grad for sequence in sequences):
        return rnn.pad_sequence(sequences, batch_first, padding_value)
    return _padded().apply(padding_value, *sequences)


@functools.cache
def _padded() -> Any:
    """The function with a gradient; torch is imported where it is used."""
    import torch
    from torch.nn.utils import rnn

    class Padded(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, padding_value: float, *sequences: Any) -> Any:
            ctx.lengths = [len(sequence) for sequence in sequences]
            return rnn.pad_sequence(list(sequences), True, padding_value)

        @staticmethod
        def backward(ctx: Any, *gradients: Any) -> Any:
            rows = zip(gradients[0], ctx.lengths, strict=True)
            return None, *(row[:length] for row, length in rows)

    return Padded


def copied(by_row: bool) -> Any:
    """Within it, in this thread, copies to a device are queued.

    by_row: and the rows of whole numbers on a device are on the host, by one copy.
    """
    import torch
    from torch.overrides import TorchFunctionMode

    class Copied(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.to:
                device = (kwargs or {}).get("device", args[1] if len(args) == 2 else None)
                if isinstance(device, torch.device) and len(args) + len(kwargs or ()) == 2:
                    return devices.to_device(args[0], device)
            elif by_row and func is torch.Tensor.unbind and is_whole(args[0]):
                args = (args[0].cpu(), *args[1:])
            return func(*args, **(kwargs or {}))

    return Copied()


def is_whole(tensor: Any) -> bool:
    """Whether it is of whole numbers, or of truths."""
    return not (tensor.is_floating_point() or tensor.is_complex())
