"""Speech encoders of transformers as upstreams: their states are transformers' own."""

from __future__ import annotations

import dataclasses
import importlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from downstream_runs import bridge
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common.errors import UpstreamError
from upstream_arm.encoders.transformers_encoder import TransformersEncoder

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


@pytest.mark.parametrize("one", [tiny.HUBERT, tiny.WHISPER], ids=str)
def test_unusable_waveforms_are_refused_in_one_sentence(one: tiny.Tiny, tmp_path: Path) -> None:
    one.write(tmp_path)
    encoder = TransformersEncoder(tmp_path)
    shortest = encoder.facts.shortest
    for wavs, words in (
        ([], "the batch is empty"),
        ([torch.ones(RATE), torch.ones(shortest - 1)], f"waveform 1 .* has {shortest - 1} samples"),
        ([torch.full((RATE,), torch.nan)], "NaN or infinite samples"),
    ):
        with pytest.raises(UpstreamError, match=words):
            encoder(wavs)
    with pytest.raises(UpstreamError, match="batching is 'alone', expected one of exact, stock"):
        TransformersEncoder(tmp_path, batching="alone")


@pytest.mark.parametrize("normalise", [False, True])
@pytest.mark.parametrize("kind", ["hubert", "wav2vec2"])
def test_stock_batching_is_that_of_s3prl(kind: str, normalise: bool, tmp_path: Path) -> None:
    bridge.apply()
    theirs = importlib.import_module(f"s3prl.upstream.hf_{kind}.expert").UpstreamExpert
    one = next(one for one in tiny.ALL if str(one) == kind)
    one.write(tmp_path, hf.Wav2Vec2FeatureExtractor(do_normalize=normalise, return_attention_mask=normalise))
    stock = TransformersEncoder(tmp_path, batching="stock")
    assert stock.switches == {"batching": "stock"}
    assert stock.facts.normalises == normalise
    wavs = noise(RATE, 40_001, 12_345)
    with torch.no_grad():
        expected = theirs(str(tmp_path)).eval()(wavs)["hidden_states"]
        for state, other in zip(stock(wavs)["hidden_states"], expected, strict=True):
            assert torch.equal(state, other)
        exact = TransformersEncoder(tmp_path)(wavs)["hidden_states"]
    assert not torch.allclose(exact[0][2, :38], expected[0][2, :38], atol=1e-3)  # group norms see padding


def test_stock_batching_of_windows_is_exact(tmp_path: Path) -> None:
    tiny.WHISPER.write(tmp_path)
    wavs = noise(RATE, 40_001)
    with torch.no_grad():
        exact, stock = (TransformersEncoder(tmp_path, batching=one)(wavs) for one in ("exact", "stock"))
    assert torch.equal(exact["last_hidden_state"], stock["last_hidden_state"])


def test_audio_over_a_window_is_cut_into_windows(tmp_path: Path) -> None:
    model = tiny.WHISPER.write(tmp_path).model.encoder
    encoder = TransformersEncoder(tmp_path)
    (wav,) = noise(2 * 32_000 + 641)
    windows = [direct(model, extracted(tmp_path, piece, padding="max_length")) for piece in wav.split(32_000)]
    with torch.no_grad():
        ours = encoder([wav])["hidden_states"]
    for layer, state in enumerate(ours):
        assert state.shape == (1, 100 + 100 + 3, tiny.WIDTH)
        assert torch.equal(state, torch.cat([window[layer] for window in windows], dim=1)[:, :203])


def test_only_the_encoder_is_loaded(tmp_path: Path) -> None:
    whole = tiny.WHISPER.write(tmp_path)
    loaded = sum(weight.numel() for weight in TransformersEncoder(tmp_path).parameters())
    assert loaded == sum(weight.numel() for weight in whole.model.encoder.parameters())


@EACH
def test_training_drops_no_layers(one: tiny.Tiny, tmp_path: Path) -> None:
    drop = {"layerdrop": 0.9, "encoder_layerdrop": 0.9, "speech_encoder_layerdrop": 0.9}
    nested = [name for name in ("audio_config", "encoder_config") if name in one.config]
    config = one.config | (drop if not nested else {name: one.config[name] | drop for name in nested})
    dataclasses.replace(one, config=config).write(tmp_path)
    states = TransformersEncoder(tmp_path).train()(noise(RATE))["hidden_states"]
    assert len(states) == tiny.LAYERS + 1
    states[-1].sum().backward()


def test_training_masks_nothing(tmp_path: Path) -> None:
    still = {"mask_time_prob": 0.5, "mask_time_length": 2, "feat_proj_dropout": 0.0, "hidden_dropout": 0.0}
    dataclasses.replace(tiny.HUBERT, config=tiny.HUBERT.config | still).write(tmp_path)
    encoder = TransformersEncoder(tmp_path)
    with torch.no_grad():
        first, again = (encoder.train(mode)(noise(RATE))["hidden_states"][0] for mode in (False, True))
    torch.testing.assert_close(first, again, atol=1e-5, rtol=1e-5)


GOLDEN = ("1688-142285-0002", "7_george_0")


@pytest.fixture(scope="module")
def whisper(shared_dir: Path, tmp_path_factory: pytest.TempPathFactory) -> TransformersEncoder:
    """Whisper tiny.en's encoder, the configuration as shared facts have it."""
    folder = tmp_path_factory.mktemp("whisper")
    config = hf.WhisperConfig(
        **{"d_model": 384, "encoder_layers": 4, "encoder_attention_heads": 6, "encoder_ffn_dim": 1536},
        num_mel_bins=80,
    )
    config.save_pretrained(folder)
    hf.WhisperFeatureExtractor(feature_size=80).save_pretrained(folder)
    weights = shared_dir / "real/models/whisper_tiny_en_encoder.safetensors"
    (folder / "model.safetensors").symlink_to(weights)
    return TransformersEncoder(folder)


@pytest.mark.parametrize("name", GOLDEN)
def test_real_weights_give_the_golden_states(
    name: str, whisper: TransformersEncoder, shared_dir: Path
) -> None:
    assert (whisper.facts.dtype, whisper.facts.layers, whisper.facts.width) == ("float16", 4, 384)
    golden = np.load(shared_dir / f"real/golden/whisper_tiny_en_{name}.npz")
    with torch.no_grad():
        states = whisper([torch.from_numpy(golden["wav"])])["hidden_states"]
    assert len(states) == 5
    for layer, key in ((0, "padded_hidden0"), (3, "padded_hidden3"), (4, "padded_ln_post")):
        expected = torch.from_numpy(golden[key])
        torch.testing.assert_close(states[layer][0], expected, atol=5e-5, rtol=0)
