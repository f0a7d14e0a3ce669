"""Speech encoders of transformers as upstreams: their states are transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from downstream_runs.upstreams.transformers_encoder import TransformersEncoder

transformers = pytest.importorskip("transformers", reason="transformers is not installed (the extra `hf`)")

TINY: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "conv_dim": (16,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 4,
}
LARGE = {"do_stable_layer_norm": True, "feat_extract_norm": "layer"}
SEW = {"conv_dim": (16,) * 13}
KINDS: list[tuple[str, dict[str, Any], int]] = [
    ("hubert", {}, 320),
    ("hubert", LARGE, 320),
    ("wav2vec2", {}, 320),
    ("wav2vec2", {**LARGE, "add_adapter": True}, 320),
    ("wav2vec2-conformer", {}, 320),
    ("wavlm", {}, 320),
    ("wavlm", LARGE, 320),
    ("data2vec-audio", {"num_conv_pos_embeddings": 2, "conv_pos_kernel_size": 5}, 320),
    ("unispeech", {}, 320),
    ("unispeech-sat", {}, 320),
    ("sew", SEW, 640),
    ("sew-d", SEW, 640),
]


def write(folder: Path, kind: str, normalise: bool = False, **changes: Any) -> Any:
    """A tiny random model and its feature extractor in a folder; returns the model as transformers loads it.

    Weights as they were made lie at other addresses, which may change the last bit of a short product.
    """
    torch.manual_seed(0)
    model = transformers.AutoModel.from_config(transformers.AutoConfig.for_model(kind, **TINY | changes))
    model.save_pretrained(folder)
    extractor = transformers.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=normalise)
    extractor.save_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder)


def noise(*lengths: int) -> list[torch.Tensor]:
    """Waveforms with a mean, which normalisation takes away."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator) / 10 + 0.05 for length in lengths]


@torch.no_grad()
def direct(model: Any, folder: Path, wav: torch.Tensor) -> list[torch.Tensor]:
    """What transformers itself gives, the encoder's output as the last state."""
    extractor = transformers.AutoFeatureExtractor.from_pretrained(folder)
    inputs = extractor(wav.numpy(), sampling_rate=16_000, return_tensors="pt")
    output = model(**inputs, output_hidden_states=True)
    states = list(output.hidden_states)
    if getattr(model, "adapter", None) is None and output.last_hidden_state.shape == states[-1].shape:
        return [*states[:-1], output.last_hidden_state]
    return [*states[:-1], model.encoder.layer_norm(states[-1])] if hasattr(model, "adapter") else states


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize(("kind", "changes", "stride"), KINDS)
def test_states_are_those_of_transformers(
    kind: str, changes: dict[str, Any], stride: int, normalise: bool, tmp_path: Path
) -> None:
    model = write(tmp_path, kind, normalise, **changes)
    encoder = TransformersEncoder(tmp_path)
    facts = encoder.facts
    assert (facts.architecture, facts.layers, facts.width) == (type(model).__name__, 3, 32)
    assert (facts.stride, facts.normalises, facts.cnn_output_included) == (stride, normalise, True)
    wavs = noise(16_000, 12_345, facts.shortest)
    with torch.no_grad():
        output = encoder(wavs)
    assert output["last_hidden_state"] is output["hidden_states"][-1]
    for index, wav in enumerate(wavs):
        expected = direct(model, tmp_path, wav)
        assert len(expected) == len(output["hidden_states"]) == 4
        with torch.no_grad():
            for ours, theirs in zip(encoder([wav])["hidden_states"], expected, strict=True):
                assert torch.equal(ours, theirs)
        for ours, theirs in zip(output["hidden_states"], expected, strict=True):
            frames = theirs.shape[1]
            assert torch.equal(ours[index, :frames], theirs[0])
            assert torch.equal(ours[index, frames:], theirs[0, -1:].expand_as(ours[index, frames:]))
