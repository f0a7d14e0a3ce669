"""The speech encoders of transformers that fit s3prl's interface, by the `model_type` of their config.json.

Each is an encoder whose hidden states have one width and one frame rate from the input of its first layer on.
Others have no place here: codecs and vocoders, models of patches of a spectrogram (AST, CLAP), and encoders
that change width or rate between their layers, or pack the frames of a batch in one row.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Steps = Sequence[tuple[int, int]]
"""Kernel and stride of all that leads from samples to the frames of the hidden states, in order."""


@dataclass(frozen=True)
class Family:
    """How transformers builds one kind of speech encoder.

    steps: by the configurations of the encoder and of its feature extractor. Spectra count as a convolution;
        a kernel is what is needed for a first frame, so that of a padded convolution is 1.
    encoder: `module.Class` below transformers.models of the encoder, where AutoModel would build more.
    prefix: a pattern of what that encoder's weights begin with in checkpoints of the whole model.
    part: what the encoder's configuration is called in that of the whole model, if it has its own.
    options: for the feature extractor, as transformers' own processor of the model calls it.
    windows: whether the encoder takes input of one fixed length, to which shorter audio is padded.
    """

    steps: Callable[[Any, Any], Steps]
    encoder: str | None = None
    prefix: str = ""
    part: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    windows: bool = False


def convolutions(config: Any, _: Any) -> Steps:
    """Those of wav2vec 2.0 and all that follow it."""
    return list(zip(config.conv_kernel, config.conv_stride, strict=True))


def _squeezed(config: Any, _: Any) -> Steps:
    # SEW's layers run at a lower rate; what brings it back comes after them, and is not among the states.
    return [*convolutions(config, _), (config.squeeze_factor, config.squeeze_factor)]


def _stacked(_: Any, extractor: Any) -> Steps:
    return [(400, 160), (extractor.stride, extractor.stride)]


def _whisper(_: Any, extractor: Any) -> Steps:
    return [(1, extractor.hop_length), (1, 2)]


def _speech_to_text(config: Any, _: Any) -> Steps:
    # Two frames of the spectrum, since its deviation over time is divided by.
    return [(560, 160), *[(1, 2)] * config.num_conv_layers]


def _parakeet(config: Any, extractor: Any) -> Steps:
    # The variance over time of a spectrum of one frame is not a number.
    return [(2 * extractor.hop_length, extractor.hop_length), (1, config.subsampling_factor)]


def _lasr(config: Any, extractor: Any) -> Steps:
    convolution = (config.subsampling_conv_kernel_size, config.subsampling_conv_stride)
    return [(extractor.win_length, extractor.hop_length), convolution, convolution]


def _within(prefix: str, encoder: str, steps: Callable[[Any, Any], Steps], **more: Any) -> Family:
    """An encoder of a larger model that calls it `prefix`."""
    return Family(steps, encoder, rf"^(model\.)?{prefix}\.", **more)


_WINDOWS: dict[str, Any] = {"options": {"padding": "max_length"}, "windows": True}

FAMILIES: dict[str, Family] = {
    **dict.fromkeys(
        ("data2vec-audio", "hubert", "unispeech", "unispeech-sat", "wav2vec2", "wav2vec2-conformer", "wavlm"),
        Family(convolutions),
    ),
    **dict.fromkeys(("sew", "sew-d"), Family(_squeezed)),
    "wav2vec2-bert": Family(_stacked),
    "seamless_m4t": _within(
        "speech_encoder", "seamless_m4t.modeling_seamless_m4t.SeamlessM4TSpeechEncoder", _stacked
    ),
    "seamless_m4t_v2": _within(
        "speech_encoder", "seamless_m4t_v2.modeling_seamless_m4t_v2.SeamlessM4Tv2SpeechEncoder", _stacked
    ),
    "whisper": _within("encoder", "whisper.modeling_whisper.WhisperEncoder", _whisper, **_WINDOWS),
    "voxtral": _within(
        "audio_tower", "voxtral.modeling_voxtral.VoxtralEncoder", _whisper, part="audio_config", **_WINDOWS
    ),
    "glmasr": _within(
        "audio_tower", "glmasr.modeling_glmasr.GlmAsrEncoder", _whisper, part="audio_config", **_WINDOWS
    ),
    "moonshine": _within(
        "encoder",
        "moonshine.modeling_moonshine.MoonshineEncoder",
        lambda _, __: [(127, 64), (7, 3), (3, 2)],
    ),
    "moonshine_streaming": _within(
        "encoder",
        "moonshine_streaming.modeling_moonshine_streaming.MoonshineStreamingEncoder",
        lambda _, __: [(1, 80), (1, 2), (1, 2)],
        part="encoder_config",
        options={"pad_to_multiple_of": 80},
    ),
    "speech_to_text": _within(
        "encoder", "speech_to_text.modeling_speech_to_text.Speech2TextEncoder", _speech_to_text
    ),
    "speecht5": Family(
        convolutions,
        "speecht5.modeling_speecht5.SpeechT5EncoderWithSpeechPrenet",
        r"^(speecht5\.)?encoder\.",
    ),
    **dict.fromkeys(("nemotron_asr_streaming_encoder", "parakeet_encoder"), Family(_parakeet)),
    **dict.fromkeys(
        ("canary", "parakeet_ctc", "parakeet_rnnt", "parakeet_tdt"),
        _within("encoder", "parakeet.modeling_parakeet.ParakeetEncoder", _parakeet, part="encoder_config"),
    ),
    "nemotron_asr_streaming": _within(
        "encoder",
        "nemotron_asr_streaming.modeling_nemotron_asr_streaming.NemotronAsrStreamingEncoder",
        _parakeet,
        part="encoder_config",
    ),
    "lasr_encoder": Family(_lasr),
    "lasr_ctc": _within("encoder", "lasr.modeling_lasr.LasrEncoder", _lasr, part="encoder_config"),
    "omniasr_audio": Family(convolutions),
    **dict.fromkeys(
        ("omniasr", "omniasr_ctc"),
        _within(
            "audio_tower", "omniasr.modeling_omniasr.OmniASRAudioModel", convolutions, part="audio_config"
        ),
    ),
}
