"""Resemblyzer's encoder: against its own outputs, librosa's spectrum and torch's stack of layers."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from upstream_arm import hub
from upstream_arm.common.errors import UpstreamError
from upstream_arm.expert import UpstreamExpert
from upstream_arm.peers.ge2e import spectrum

GOLDENS = ("7_george_0", "1688-142285-0002", "1098-133695-0000_0", "quiet")


def noise(*lengths: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [0.1 * torch.randn(length, generator=generator) for length in lengths]


@pytest.fixture(scope="module")
def stack() -> nn.LSTM:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.LSTM(40, 256, 3, batch_first=True)


@pytest.fixture(scope="module")
def ckpt(stack: nn.LSTM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file as Resemblyzer's, with random weights."""
    path = tmp_path_factory.mktemp("ge2e") / "pretrained.pt"
    linear = {"linear.weight": torch.ones(256, 256), "similarity_weight": torch.ones(1)}
    state = {**{f"lstm.{name}": weight for name, weight in stack.state_dict().items()}, **linear}
    torch.save({"step": 3, "model_state": state, "optimizer_state": {}}, path)
    return path


def states(expert: UpstreamExpert, wavs: list[torch.Tensor]) -> list[torch.Tensor]:
    with torch.no_grad():
        found: list[torch.Tensor] = expert(wavs)["hidden_states"]
    return found


def test_frames_and_layers(ckpt: Path, stack: nn.LSTM) -> None:
    librosa = pytest.importorskip("librosa")
    expert = hub.ge2e_local(ckpt=str(ckpt))  # type: ignore[attr-defined]
    for wav in noise(16_000, 1_599, 160, 1):
        mel = librosa.feature.melspectrogram(y=wav.numpy(), sr=16_000, n_fft=400, hop_length=160, n_mels=40)
        with torch.no_grad():
            expected, _ = stack(torch.from_numpy(mel.T.copy()).unsqueeze(0))
        found = states(expert, [wav])
        assert [one.shape for one in found] == [(1, 1 + len(wav) // 160, 256)] * 3
        torch.testing.assert_close(found[2], expected, atol=5e-6, rtol=0)
    assert expert.get_downsample_rates("hidden_states") == 160 and expert.switches == {"batching": "exact"}


def test_a_batch_changes_no_frame_and_ends_with_repeated_ones(ckpt: Path) -> None:
    expert, wavs = hub.ge2e_local(ckpt=str(ckpt)), noise(9_000, 16_000, 400)  # type: ignore[attr-defined]
    together = states(expert, wavs)
    for index, wav in enumerate(wavs):
        for layer, alone in zip(together, states(expert, [wav]), strict=True):
            count = alone.shape[1]
            torch.testing.assert_close(layer[index, :count], alone[0], atol=5e-6, rtol=0)
            assert torch.equal(layer[index, count:], layer[index, count - 1].expand_as(layer[index, count:]))


def test_quiet_speech_is_raised_and_silence_is_not(ckpt: Path) -> None:
    (loud,) = noise(4_000)
    level = float(loud.square().mean().sqrt())
    raised = spectrum(torch.stack([loud / 1000, loud * (10**-1.5 / level), 0 * loud]), [4_000] * 3)
    torch.testing.assert_close(raised[0], raised[1])
    assert not raised[2].any()
    assert not torch.allclose(spectrum(loud[None], [4_000]), raised[1])
    with pytest.raises(UpstreamError, match="utterance 1 of the batch has no samples"):
        hub.ge2e_local(ckpt=str(ckpt))([loud, loud[:0]])  # type: ignore[attr-defined]


@pytest.mark.parametrize("name", GOLDENS)
def test_resemblyzers_own_outputs(shared_dir: Path, name: str) -> None:
    """The spectrum, and with its package's weights (pip install --no-deps Resemblyzer) the layers."""
    with np.load(shared_dir / "real" / "golden" / f"resemblyzer_{name}.npz") as arrays:
        golden = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    wav = golden["wav"]
    torch.testing.assert_close(spectrum(wav[None], [len(wav)])[0], golden["mel"], atol=2e-5, rtol=0)
    package = importlib.util.find_spec("resemblyzer")
    if package is None or package.origin is None:
        return
    weights = Path(package.origin).with_name("pretrained.pt")
    found = states(hub.ge2e_local(ckpt=str(weights)), [wav])  # type: ignore[attr-defined]
    for layer, state in enumerate(found, start=1):
        if f"hidden{layer}" in golden:
            torch.testing.assert_close(state[0], golden[f"hidden{layer}"], atol=5e-6, rtol=0)
