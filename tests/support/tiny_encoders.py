"""Tiny random speech encoders of transformers in folders: each architecture, three layers of width 32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import transformers as hf

LAYERS, WIDTH = 3, 32
_SIZE: dict[str, Any] = {
    "hidden_size": WIDTH,
    "num_hidden_layers": LAYERS,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
_CONVOLUTIONS: dict[str, Any] = {
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
_BASE = _SIZE | _CONVOLUTIONS
_LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
_ENCODER: dict[str, Any] = {
    "d_model": WIDTH,
    "encoder_layers": LAYERS,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 64,
}
_DECODER: dict[str, Any] = {
    "vocab_size": 40,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 16,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
_LANGUAGE: dict[str, Any] = _SIZE | {"vocab_size": 40, "num_hidden_layers": 1, "num_key_value_heads": 2}
_MEL: dict[str, Any] = {"num_mel_bins": 16, "subsampling_conv_channels": 8}
_SEAMLESS: dict[str, Any] = {
    "hidden_size": WIDTH,
    "speech_encoder_layers": LAYERS,
    "speech_encoder_attention_heads": 2,
    "speech_encoder_intermediate_size": 64,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
    **{
        f"{where}{name}": value
        for where in ("", "t2u_")
        for name, value in {
            "vocab_size": 40,
            "encoder_layers": 1,
            "encoder_ffn_dim": 16,
            "encoder_attention_heads": 2,
            "decoder_layers": 1,
            "decoder_ffn_dim": 16,
            "decoder_attention_heads": 2,
        }.items()
    },
}


def _waveform(normalise: bool = True) -> Any:
    return hf.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=normalise)


def _stacked() -> Any:
    return hf.SeamlessM4TFeatureExtractor(padding_value=0.0)


def _windows() -> Any:
    return hf.WhisperFeatureExtractor(feature_size=8, chunk_length=2)


@dataclass(frozen=True)
class Tiny:
    """One architecture.

    kind: its model type; config: what makes it small; extractor: its feature extractor; stride: samples a
    frame; head: the class that is saved, the base model if None; within: where the encoder is in that class.
    """

    kind: str
    config: dict[str, Any]
    stride: int = 320
    extractor: Callable[[], Any] = _waveform
    head: str | None = None
    within: str = ""
    label: str = field(default="")

    def __str__(self) -> str:
        return self.label or self.kind

    def write(self, folder: Path, extractor: Any = None) -> Any:
        """Save the model and its feature extractor; returns the model as transformers loads it again."""
        torch.manual_seed(0)
        config = hf.AutoConfig.for_model(self.kind, **self.config)
        kind = getattr(hf, self.head) if self.head else type(hf.AutoModel.from_config(config))
        kind(config).save_pretrained(folder)
        (extractor or self.extractor()).save_pretrained(folder)
        return kind.from_pretrained(folder).eval()


HUBERT = Tiny("hubert", _BASE, extractor=lambda: _waveform(False))
WHISPER = Tiny(
    "whisper",
    _ENCODER
    | _DECODER
    | {
        "num_mel_bins": 8,
        "max_source_positions": 100,
        "max_target_positions": 9,
        "decoder_start_token_id": 1,
    },
    extractor=_windows,
    head="WhisperForConditionalGeneration",
    within="model.encoder",
)
_ALL: tuple[Tiny, ...] = (
    HUBERT,
    Tiny("hubert", _BASE | _LARGE, label="hubert, large"),
    Tiny("hubert", _BASE, head="HubertForCTC", within="hubert", label="hubert, CTC"),
    Tiny("wav2vec2", _BASE),
    Tiny("wav2vec2", _BASE | _LARGE | {"add_adapter": True}, label="wav2vec2, large with adapter"),
    Tiny("wav2vec2-conformer", _BASE),
    Tiny("wavlm", _BASE),
    Tiny("wavlm", _BASE | _LARGE, label="wavlm, large"),
    Tiny("data2vec-audio", _BASE | {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}),
    Tiny("unispeech", _BASE),
    Tiny("unispeech-sat", _BASE),
    Tiny("sew", _BASE | {"conv_dim": (16,) * 13}, 640),
    Tiny("sew-d", _BASE | {"conv_dim": (16,) * 13}, 640),
    Tiny("wav2vec2-bert", _SIZE, extractor=_stacked),
    Tiny(
        "wav2vec2-bert",
        _SIZE | {"add_adapter": True, "use_intermediate_ffn_before_adapter": True},
        extractor=_stacked,
        label="wav2vec2-bert with adapter",
    ),
    Tiny(
        "seamless_m4t",
        _SEAMLESS,
        extractor=_stacked,
        head="SeamlessM4TForSpeechToText",
        within="speech_encoder",
    ),
    Tiny(
        "seamless_m4t_v2",
        _SEAMLESS,
        extractor=_stacked,
        head="SeamlessM4Tv2ForSpeechToText",
        within="speech_encoder",
    ),
    WHISPER,
    Tiny(
        "voxtral",
        {
            "audio_config": {"model_type": "voxtral_encoder", "num_mel_bins": 8, "max_source_positions": 100}
            | _SIZE
            | {"intermediate_size": 4 * WIDTH},
            "text_config": _LANGUAGE | {"model_type": "llama"},
        },
        extractor=_windows,
        head="VoxtralForConditionalGeneration",
        within="model.audio_tower",
    ),
    Tiny(
        "glmasr",
        {
            "audio_config": {"model_type": "glmasr_encoder", "num_mel_bins": 8, "num_key_value_heads": 2}
            | _SIZE
            | {"intermediate_size": 4 * WIDTH},
            "text_config": _LANGUAGE | {"model_type": "llama"},
        },
        extractor=_windows,
        head="GlmAsrForConditionalGeneration",
        within="model.audio_tower",
    ),
    Tiny(
        "moonshine",
        {
            **{"vocab_size": 40, "hidden_size": WIDTH, "intermediate_size": 64},
            **{"encoder_num_hidden_layers": LAYERS, "decoder_num_hidden_layers": 1},
            **{"encoder_num_attention_heads": 2, "decoder_num_attention_heads": 2},
        },
        384,
        head="MoonshineForConditionalGeneration",
        within="model.encoder",
    ),
    Tiny(
        "moonshine_streaming",
        _LANGUAGE
        | {"encoder_config": _SIZE | {"num_key_value_heads": 2, "sliding_windows": [[16, 4]] * LAYERS}},
        head="MoonshineStreamingForConditionalGeneration",
        within="model.encoder",
    ),
    Tiny(
        "speech_to_text",
        _ENCODER | _DECODER | {"input_feat_per_channel": 24, "conv_channels": 32},
        640,
        extractor=lambda: hf.Speech2TextFeatureExtractor(feature_size=24, num_mel_bins=24),
        head="Speech2TextForConditionalGeneration",
        within="model.encoder",
    ),
    Tiny(
        "speecht5",
        {"hidden_size": WIDTH} | _ENCODER | _DECODER | _CONVOLUTIONS,
        extractor=lambda: hf.SpeechT5FeatureExtractor(),
        head="SpeechT5ForSpeechToText",
        within="speecht5.encoder",
    ),
    Tiny(
        "parakeet_encoder",
        _SIZE | _MEL,
        1280,
        extractor=lambda: hf.ParakeetFeatureExtractor(feature_size=16),
    ),
    Tiny(
        "parakeet_ctc",
        {"vocab_size": 40, "encoder_config": _SIZE | _MEL},
        1280,
        extractor=lambda: hf.ParakeetFeatureExtractor(feature_size=16),
        head="ParakeetForCTC",
        within="encoder",
    ),
    Tiny(
        "canary",
        {
            "vocab_size": 40,
            "encoder_config": {"model_type": "parakeet_encoder"} | _SIZE | _MEL,
            "decoder_config": _LANGUAGE,
        },
        1280,
        extractor=lambda: hf.ParakeetFeatureExtractor(feature_size=16),
        head="CanaryForConditionalGeneration",
        within="model.encoder",
    ),
    Tiny(
        "nemotron_asr_streaming",
        {"vocab_size": 40, "decoder_hidden_size": 16, "num_decoder_layers": 1}
        | {"encoder_config": _SIZE | _MEL},
        1280,
        extractor=lambda: hf.NemotronAsrStreamingFeatureExtractor(feature_size=16),
        head="NemotronAsrStreamingForRNNT",
        within="encoder",
    ),
    Tiny(
        "lasr_ctc",
        {"vocab_size": 40, "encoder_config": _SIZE | _MEL | {"num_key_value_heads": 2}},
        640,
        extractor=lambda: hf.LasrFeatureExtractor(feature_size=16),
        head="LasrForCTC",
        within="encoder",
    ),
    Tiny(
        "omniasr_ctc",
        {"vocab_size": 40, "audio_config": {"model_type": "omniasr_audio"} | _BASE},
        extractor=lambda: hf.OmniASRFeatureExtractor(),
        head="OmniASRForCTC",
        within="model.audio_tower",
    ),
)
# Older releases of transformers lack the newest of them.
ALL = tuple(one for one in _ALL if one.kind in hf.CONFIG_MAPPING)
