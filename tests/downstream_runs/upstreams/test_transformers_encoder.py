"""Speech encoders of transformers as upstreams: their states are transformers' own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from downstream_runs.upstreams.checked import CheckedUpstream
from downstream_runs.upstreams.transformers_encoder import TransformersEncoder

hf = pytest.importorskip("transformers", reason="transformers is not installed (the extra `hf`)")
import tiny_encoders as tiny  # noqa: E402 - needs transformers

RATE = 16_000
EACH = pytest.mark.parametrize("one", tiny.ALL, ids=str)


def noise(*lengths: int) -> list[torch.Tensor]:
    """Waveforms with a mean, which normalisation takes away."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(length, generator=generator) / 10 + 0.05 for length in lengths]


def extracted(folder: Path, wav: torch.Tensor, **options: Any) -> Any:
    extractor = hf.AutoFeatureExtractor.from_pretrained(folder)
    options = {"padding": True} | options
    return extractor([wav.numpy()], sampling_rate=RATE, return_tensors="pt", **options)


@torch.no_grad()
def direct(model: Any, inputs: Any) -> list[torch.Tensor]:
    """The hidden states by transformers; the last is the output of the stack of layers and its norm."""
    stack: dict[str, torch.Tensor] = {}

    def keep(_: nn.Module, __: Any, output: Any) -> None:
        stack["output"] = output if isinstance(output, torch.Tensor) else output.last_hidden_state

    handle = model.encoder.register_forward_hook(keep) if hasattr(model, "encoder") else None
    output = model(**inputs, output_hidden_states=True)
    if handle is not None:
        handle.remove()
    last = stack.get("output", output.last_hidden_state)
    states = list(output.hidden_states)
    return [*states[:-1], last] if last.shape == states[0].shape else states


@EACH
def test_states_are_those_of_transformers(one: tiny.Tiny, tmp_path: Path) -> None:
    whole = one.write(tmp_path)
    theirs = whole.get_submodule(one.within)
    encoder = TransformersEncoder(tmp_path)
    facts = encoder.facts
    assert (facts.layers, facts.width, facts.stride) == (tiny.LAYERS, tiny.WIDTH, one.stride)
    assert (facts.architecture, facts.cnn_output_included) == (type(theirs).__name__, True)
    weights = theirs.state_dict()
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, weights[name]), name
    (wav,) = noise(20_001)  # shorter than the windows of those that have them
    options = dict(encoder.family.options)
    with torch.no_grad():
        output = encoder([wav])
    assert output["last_hidden_state"] is output["hidden_states"][-1]
    ours = output["hidden_states"]
    expected = direct(theirs, extracted(tmp_path, wav, **options))
    assert len(ours) == len(expected) == tiny.LAYERS + 1
    for state, other in zip(ours, expected, strict=True):
        if encoder.family.windows:
            other = other[:, :63]  # ceil(20,001 / 320)
        assert torch.equal(state, other)


@EACH
def test_batch_mates_change_nothing(one: tiny.Tiny, tmp_path: Path) -> None:
    one.write(tmp_path)
    encoder = TransformersEncoder(tmp_path)
    assert encoder.switches == {"batching": "exact"}
    wavs = noise(RATE, 40_001, 12_345, encoder.facts.shortest, 12_345)
    with torch.no_grad():
        together = encoder(wavs)["hidden_states"]
        for index, wav in enumerate(wavs):
            for layer, state in enumerate(encoder([wav])["hidden_states"]):
                found, frames = together[layer][index], state.shape[1]
                if len(wav) == 12_345:  # two of them in one product
                    torch.testing.assert_close(found[:frames], state[0], atol=5e-6, rtol=1e-5)
                else:
                    assert torch.equal(found[:frames], state[0])
                assert torch.equal(found[frames:], found[frames - 1 : frames].expand_as(found[frames:]))


@EACH
def test_frames_fit_s3prl_at_every_length(one: tiny.Tiny, tmp_path: Path) -> None:
    one.write(tmp_path)
    encoder = TransformersEncoder(tmp_path)
    upstream = CheckedUpstream(encoder, str(one))
    shortest = encoder.facts.shortest
    with torch.no_grad():
        for length in (shortest, shortest + 1, shortest + one.stride, RATE, 32_001, 60 * RATE):
            for state in upstream(noise(length))["hidden_states"]:
                assert torch.isfinite(state).all(), length
