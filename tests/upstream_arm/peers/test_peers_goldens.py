"""Other papers' students against outputs of their authors' own code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.support import peer_files
from upstream_arm import hub
from upstream_arm.expert import UpstreamExpert
from upstream_arm.peers.dp import position_buckets

TOLERANCE = 5e-5
EVERY = 4  # of the features, in the data that travel with the project
SMALL = [name for name in peer_files.GOLDENS if name != "lighthubert"]

Peers = Callable[..., UpstreamExpert]


def golden(name: str) -> dict[str, torch.Tensor]:
    with np.load(peer_files.DATA / f"{name}.npz") as arrays:
        return {key.partition("_")[0]: torch.from_numpy(arrays[key]) for key in arrays.files}


def states(expert: UpstreamExpert, wavs: list[torch.Tensor]) -> torch.Tensor:
    """[state, batch, frame, every fourth feature]."""
    with torch.no_grad():
        return torch.stack(expert(wavs)["hidden_states"])[..., ::EVERY]


def assert_near(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=TOLERANCE, rtol=0)


@pytest.mark.parametrize("batching", ["exact", "released"])
@pytest.mark.parametrize("name", SMALL)
def test_one_utterance(golden_peer: Peers, peer_wavs: list[torch.Tensor], name: str, batching: str) -> None:
    expert, expected = golden_peer(name, batching), golden(name)
    assert expert.switches == {"batching": batching} and not expert.training
    for index, wav in enumerate(peer_wavs):
        assert_near(states(expert, [wav])[:, 0], expected[f"single{index}"])


@pytest.mark.parametrize("name", SMALL)
def test_a_released_batch_equals_the_authors_padding_included(
    golden_peer: Peers, peer_wavs: list[torch.Tensor], name: str
) -> None:
    assert_near(states(golden_peer(name, "released"), peer_wavs), golden(name)["batch"])


@pytest.mark.parametrize("name", SMALL)
def test_an_exact_batch_gives_each_its_features_alone(
    golden_peer: Peers, peer_wavs: list[torch.Tensor], name: str
) -> None:
    found, expected = states(golden_peer(name), peer_wavs), golden(name)
    for index in range(3):
        alone = expected[f"single{index}"]
        count = alone.shape[1]
        assert_near(found[:, index, :count], alone)
        padding = found[:, index, count:]
        assert torch.equal(padding, found[:, index, count - 1 : count].expand_as(padding))


@pytest.mark.parametrize(("table", "buckets", "distance"), [("tiny", 32, 40), ("released", 320, 800)])
def test_position_buckets(table: str, buckets: int, distance: int) -> None:
    with np.load(peer_files.DATA / "position_buckets.npz") as arrays:
        expected = torch.from_numpy(arrays[f"{table}_{buckets}_{distance}"]).long()
    offsets = torch.arange(len(expected)) - len(expected) // 2
    assert torch.equal(position_buckets(offsets, buckets, distance), expected)


@pytest.mark.parametrize("name", SMALL)
def test_the_authors_own_file(shared_dir: Path, peer_wavs: list[torch.Tensor], name: str) -> None:
    """The shared goldens: the file itself, all features, and the rule that makes its weights."""
    folder = shared_dir / "golden_peers" / FOLDERS.get(name, (name, ""))[0]
    stem = FOLDERS.get(name, (name, "tiny"))[1]
    entry, ending, _ = peer_files.GOLDENS[name]
    path = folder / f"{stem}.{ending}"
    expert = getattr(hub, entry)(ckpt=str(path))
    whole = next(one for one in (f"{stem}_outputs.npz", "outputs.npz") if (folder / one).is_file())
    with np.load(folder / whole) as arrays, torch.no_grad():
        for index, wav in enumerate(peer_wavs):
            key = f"single{index}_hidden_states"
            expected = arrays[key] if key in arrays else arrays[f"single{index}_last_hidden_state"]
            found = torch.stack(expert([wav])["hidden_states"])[:, 0]
            assert_near(found, torch.from_numpy(expected))
    held = torch.load(path, weights_only=True)
    held = held.get("state_dict") or held["Distiller"]
    assert all(torch.equal(held[key], value) for key, value in peer_files.weights(name).items())


FOLDERS = {"starhubert_proj": ("starhubert", "tiny_proj")}


def test_the_state_of_published_rows(golden_peer: Peers, peer_wavs: list[torch.Tensor]) -> None:
    chosen = {name: golden_peer(name).published_states for name in SMALL}
    assert chosen.pop("distilhubert") == ("hidden_states", 2)
    assert chosen.pop("fithubert") == ("last_hidden_state", None)
    assert {*chosen.values()} == {("hidden_states", None)}
    with torch.no_grad():
        distil = golden_peer("distilhubert")(peer_wavs[:1])
        fit = golden_peer("fithubert")(peer_wavs[:1])
    assert torch.equal(distil["paper"], distil["hidden_states"][2])
    assert len(fit["hidden_states"]) == 1 and fit["last_hidden_state"] is fit["hidden_states"][0]


@pytest.mark.slow
@pytest.mark.parametrize(("size", "parameters"), [("small", 26_872_960), ("base", 66_890_880)])
def test_lighthubert(
    request: pytest.FixtureRequest, tmp_path: Path, peer_wavs: list[torch.Tensor], size: str, parameters: int
) -> None:
    """At full size: no smaller supernet can be. The outputs of base are among the shared goldens."""
    outputs = peer_files.DATA / "lighthubert.npz"
    if size == "base":
        folder = request.getfixturevalue("shared_dir") / "golden_peers"
        outputs = folder / "lighthubert" / "base_outputs_every_48th.npz"
    model = json.loads((peer_files.DATA / "lighthubert.json").read_text())
    path = peer_files.write(
        "lighthubert", tmp_path, cfg={"model": {**model, "pruner_supernet": f"configs/{size}.yaml"}}
    )
    with np.load(outputs) as arrays:
        expected = {key.partition("_")[0]: torch.from_numpy(arrays[key]) for key in arrays.files}
    for batching in ("exact", "released"):
        expert = getattr(hub, f"lighthubert_{size}_local")(ckpt=str(path), batching=batching)
        assert sum(weight.numel() for weight in expert.parameters()) == parameters
        with torch.no_grad():
            batch = torch.stack(expert(peer_wavs)["hidden_states"])[..., ::48]
            alone = torch.stack(expert(peer_wavs[:1])["hidden_states"])[..., ::48]
        assert_near(alone[:, 0], expected["single0"])
        if batching == "released":
            assert_near(batch, expected["batch"])
        else:
            for index in range(3):
                one = expected[f"single{index}"]
                assert_near(batch[:, index, : one.shape[1]], one)


@pytest.mark.parametrize("name", SMALL)
def test_short_utterances_in_an_exact_batch(golden_peer: Peers, name: str) -> None:
    expert = golden_peer(name)
    wavs = [
        torch.randn(length, generator=torch.Generator().manual_seed(length)) for length in (720, 4000, 1041)
    ]
    together = states(expert, wavs)
    for index, wav in enumerate(wavs):
        alone = states(expert, [wav])
        assert_near(together[:, index : index + 1, : alone.shape[2]], alone)
