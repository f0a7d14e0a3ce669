"""The upstream interface, hub entries, and waveforms good and bad."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from upstream_arm import hub
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.expert import UpstreamExpert, from_checkpoint, from_seed
from upstream_arm.names import names

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def expert(small_config: StudentConfig) -> UpstreamExpert:
    return from_seed(small_config).eval()


def test_shapes_and_rate(expert: UpstreamExpert) -> None:
    with torch.no_grad():
        features = expert([torch.randn(16_000), torch.randn(8_000)])
    assert len(features["hidden_states"]) == 6
    assert all(hidden.shape == (2, 49, 40) for hidden in features["hidden_states"])
    assert features["last_hidden_state"] is features["hidden_states"][-1]
    assert expert.get_downsample_rates("hidden_states") == 320
    assert expert.switches == {"reuse_softmax": "double", "batching": "exact"}


def test_shortest_and_too_short(expert: UpstreamExpert) -> None:
    with torch.no_grad():
        assert expert([torch.randn(400)])["last_hidden_state"].shape == (1, 1, 40)
        with pytest.raises(
            UpstreamError, match="utterance 1 of the batch has 399 samples, expected at least 400"
        ):
            expert([torch.randn(400), torch.randn(399)])
        with pytest.raises(UpstreamError, match="empty"):
            expert([])


def test_silence_gives_finite_features(expert: UpstreamExpert) -> None:
    with torch.no_grad():
        assert torch.isfinite(expert([torch.zeros(4_000)])["last_hidden_state"]).all()


def test_int16_is_scaled_and_a_single_channel_taken(expert: UpstreamExpert) -> None:
    samples = torch.randint(-3_000, 3_000, (1, 4_000), dtype=torch.int16)
    with torch.no_grad():
        assert torch.equal(
            expert([samples])["last_hidden_state"], expert([samples[0].float() / 32_768])["last_hidden_state"]
        )


def test_numpy_and_other_float_types_are_taken(expert: UpstreamExpert) -> None:
    wav = torch.randn(4_000)
    array = wav.numpy()
    with torch.no_grad():
        expected = expert([wav])["last_hidden_state"]
        for same in (array, array.astype(">f4"), array[::-1].copy()[::-1], wav.double(), array.astype("f8")):
            assert torch.equal(expert([same])["last_hidden_state"], expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_waveforms_follow_the_type_of_the_weights(small_config: StudentConfig, dtype: torch.dtype) -> None:
    expert = from_seed(small_config).eval().to(dtype)
    with torch.no_grad():
        found = expert([torch.randn(4_000), torch.randn(2_500)])["last_hidden_state"]
    assert found.dtype == dtype and torch.isfinite(found).all()


@pytest.mark.parametrize(
    ("wav", "says"),
    [
        ([0.0] * 800, "is a list, expected a tensor"),
        (None, "is a NoneType, expected a tensor"),
        (np.array(["a"] * 800), "a numpy array of <U1"),
        (np.zeros(800, complex), "a numpy array of complex128"),
        (torch.full((800,), float("nan")), "NaN"),
        (torch.full((800,), float("inf")), "NaN or infinite"),
        (torch.zeros(2, 800), r"\[2, 800\], expected \[sample\]"),
        (torch.zeros(800, dtype=torch.int64), "int64"),
    ],
)
def test_waveforms_that_cannot_be_used(expert: UpstreamExpert, wav: Any, says: str) -> None:
    with pytest.raises(UpstreamError, match=f"waveform 1 of the batch .*{says}"):
        expert([torch.zeros(800), wav])


def test_data_parallel_and_plain_tensor(expert: UpstreamExpert) -> None:
    batch = torch.randn(2, 1_600)
    with torch.no_grad():
        parallel = torch.nn.DataParallel(expert)(batch)["last_hidden_state"]
        assert torch.equal(parallel, expert(list(batch))["last_hidden_state"])


def test_random_entries_are_seeded_and_say_so(capfd: pytest.CaptureFixture[str], golden_dir: Path) -> None:
    config = str(golden_dir / "tiny.yaml")
    before = torch.random.get_rng_state()
    one, two, other = (hub.armhubert_random(model_config=config, seed=seed) for seed in (3, 3, 4))  # type: ignore[attr-defined]
    assert torch.equal(before, torch.random.get_rng_state())
    assert "UNTRAINED" in capfd.readouterr().err
    assert one.untrained
    first, second, third = (dict(each.state_dict()) for each in (one, two, other))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert not torch.equal(first["student.mask_emb"], third["student.mask_emb"])


def test_local_entry_with_switches(golden_dir: Path) -> None:
    entry = hub.arm_hubert_local  # type: ignore[attr-defined]
    loaded = entry(
        ckpt=str(golden_dir / "weights.safetensors"),
        model_config=str(golden_dir / "tiny.yaml"),
        reuse_softmax="single",
        refresh=False,
    )
    assert loaded.switches == {"reuse_softmax": "single", "batching": "exact"}
    assert not loaded.untrained and len(loaded.checkpoint_sha256) == 64
    with pytest.raises(UpstreamError, match="needs a checkpoint"):
        entry()
    with pytest.raises(UpstreamError, match="takes no checkpoint"):
        hub.armhubert_random(ckpt="x.ckpt")  # type: ignore[attr-defined]


def test_every_name_has_an_entry() -> None:
    assert all(callable(getattr(hub, name)) and getattr(hub, name).__name__ == name for name in names())


def test_torch_hub_loads_from_the_checkout(golden_dir: Path) -> None:
    loaded = torch.hub.load(
        str(ROOT),
        "arm_hubert_local",
        source="local",
        ckpt=str(golden_dir / "weights.safetensors"),
        model_config=str(golden_dir / "tiny.yaml"),
    )
    assert len(loaded([torch.randn(1_000)])["hidden_states"]) == 12


def test_fine_tuning_gradients_through_the_expert(golden_dir: Path) -> None:
    expert = from_checkpoint(golden_dir / "weights.safetensors", golden_dir / "tiny.yaml").train()
    expert([torch.randn(2_000), torch.randn(1_000)])["last_hidden_state"].sum().backward()
    gradient = expert.student.feature_extractor.convolutions()[0].weight.grad
    assert gradient is not None and gradient.abs().max() > 0


def test_importing_the_hub_loads_no_torch() -> None:
    code = "import sys, upstream_arm.hub, upstream_arm.names; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


S3PRL = """
import sys
import upstream_arm.s3prl_hub
import torch, s3prl.hub
from s3prl.nn import Featurizer, S3PRLUpstream
ckpt, config = sys.argv[1:]
assert callable(s3prl.hub.arm_hubert) and "armhubert_random" in s3prl.hub.options()
expert = s3prl.hub.arm_hubert_local(ckpt=ckpt, model_config=config)
upstream = S3PRLUpstream("arm_hubert_local", ckpt, extra_conf={"model_config": config}).eval()
assert upstream.num_layers == 12 and upstream.hidden_sizes == [40] * 12
assert upstream.downsample_rates == [320] * 12
wavs, lengths = torch.randn(2, 8000), torch.tensor([8000, 5000])
with torch.no_grad():
    states, counts = upstream(wavs, lengths)
    alone, _ = upstream(wavs[1:, :5000], lengths[1:])
    for both, one in zip(states, alone):
        assert (both[1, : counts[0][1]] - one[0]).abs().max() < 1e-4
    features, _ = Featurizer(upstream)(states, counts)
assert features.shape == (2, 25, 40)
from s3prl.upstream.interfaces import Featurizer as Weighted
weighted = Weighted(expert, upstream_device="cpu")
assert weighted.output_dim == 40 and weighted.downsample_rate == 320
print("through s3prl")
"""


def test_through_s3prl(golden_dir: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", S3PRL, str(golden_dir / "weights.safetensors"), str(golden_dir / "tiny.yaml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert "through s3prl" in done.stdout
