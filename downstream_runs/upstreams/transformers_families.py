"""The speech encoders of transformers that fit s3prl's interface, by the `model_type` of their config.json.

Each is an encoder whose hidden states have one width and one frame rate from the input of the first layer on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Convolutions = Sequence[tuple[int, int]]  # kernel and stride of each


@dataclass(frozen=True)
class Family:
    """How transformers builds one kind of speech encoder.

    steps: kernel and stride of all that leads from samples to the frames of the hidden states, in order, by
        the configurations of the model and of its feature extractor; spectra count as a convolution.
    encoder: `module.Class` below transformers.models of the encoder, where AutoModel would build more.
    prefix: a pattern of what that encoder's weights begin with in checkpoints of the whole model.
    """

    steps: Callable[[Any, Any], Convolutions]
    encoder: str | None = None
    prefix: str = ""


def _convolutions(config: Any, _: Any) -> Convolutions:
    return list(zip(config.conv_kernel, config.conv_stride, strict=True))


def _squeezed(config: Any, _: Any) -> Convolutions:
    # SEW's layers run at a lower rate; what comes after them and brings it back is not among the states.
    return [*_convolutions(config, _), (config.squeeze_factor, config.squeeze_factor)]


FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-conformer", "wavlm"),
        Family(_convolutions),
    ),
    **dict.fromkeys(("sew", "sew-d"), Family(_squeezed)),
}
