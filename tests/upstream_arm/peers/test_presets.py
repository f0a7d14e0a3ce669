"""Other papers' students by their published sizes, and from files."""

from __future__ import annotations

import ast
import json
from pathlib import Path

import pytest
import torch

from tests.support import peer_files
from upstream_arm.cli import main
from upstream_arm.peers import dp_file, fit
from upstream_arm.peers.family import PeerFile
from upstream_arm.peers.model import Peer, PeerConfig
from upstream_arm.peers.presets import PEER_PRESETS
from upstream_arm.presets import PRESETS
from upstream_arm.profiling import hooks
from upstream_arm.profiling.utterances import LENGTHS

Shapes = dict[str, tuple[int, ...]]


def shapes_of(peer: Peer) -> Shapes:
    return {key: tuple(tensor.shape) for key, tensor in peer.state_dict().items()}


def listed(path: Path) -> Shapes:
    """Names and shapes of the weights in the authors' own models."""
    rows = [line.split("\t") for line in path.read_text().splitlines()]
    return {row[0].removeprefix("student_model."): ast.literal_eval(row[1]) for row in rows}


def built(name: str) -> Peer:
    build = PEER_PRESETS[name].build
    assert build is not None
    with torch.device("meta"):
        return build()


def star(name: str) -> Peer:
    """The preset as a peer: without the mask embedding of those who distil."""
    own = PRESETS[name]
    with torch.device("meta"):
        return Peer(
            PeerConfig(
                conv_layers=own.conv_layers,
                embed_dim=own.embed_dim,
                ffn_dim=own.ffn_dim,
                reuse_pattern=own.reuse_pattern,
                projection_dim=None,
            )
        )


def test_distilhubert_has_its_authors_weights(shared_dir: Path) -> None:
    keys = shared_dir / "golden_peers" / "distilhubert" / "distilhubert_ls960_4-8-12.keys"
    assert shapes_of(built("distilhubert")) == listed(keys)
    sizes = hooks.parameters(built("distilhubert"))
    assert sum(sizes.values()) == 27_034_752
    assert sum(sizes.values()) - sizes["output_layer"] == 23_491_200  # the published 23.49 M


def test_fithubert_has_its_authors_weights(shared_dir: Path) -> None:
    expected = listed(shared_dir / "golden_peers" / "fithubert" / "fithubert-960.keys")
    peer = built("fithubert")
    own = {fit.FITHUBERT.stored(key, peer.config): shape for key, shape in shapes_of(peer).items()}
    assert own.items() <= expected.items()
    unused = {key for key in expected if key.startswith(("upsampler.", "proj_head."))} - own.keys()
    assert own.keys() | unused == expected.keys()
    assert sum(hooks.parameters(peer).values()) + 461_280 == 22_492_064  # the published 22.49 M


@pytest.mark.parametrize(
    ("name", "keys", "parameters", "giga"),
    [
        ("starhubert", "starhubert-22m-inferred", 22_308_592, 463.50),
        ("starhubert_l", "starhubert-l-26m-inferred", 26_626_672, 511.91),
    ],
)
def test_starhubert_has_its_published_size(
    shared_dir: Path, name: str, keys: str, parameters: int, giga: float
) -> None:
    peer = star(name)
    assert shapes_of(peer) == listed(shared_dir / "golden_peers" / "starhubert" / f"{keys}.keys")
    assert sum(hooks.parameters(peer).values()) == parameters
    counts = hooks.count(peer, LENGTHS, lambda module, wav: module(wav.unsqueeze(0), [len(wav)]))
    assert sum(sum(one.values()) for one in counts) / 1e9 == pytest.approx(giga, abs=0.005)


@pytest.mark.parametrize(
    ("golden", "parameters", "further"),
    [
        ("dphubert", 94_371_456, {"encoder_num_heads": [12] * 12, "encoder_head_dim": 64}),
        (
            "dpwavlm",
            94_381_680,
            {
                "encoder_remaining_heads": [[*range(12)]] * 12,
                "encoder_total_num_heads": [12] * 12,
                "encoder_num_buckets": 320,
                "encoder_max_distance": 800,
            },
        ),
    ],
)
def test_an_unpruned_dp_model_has_its_authors_weights(
    shared_dir: Path, golden: str, parameters: int, further: dict[str, object]
) -> None:
    config = {
        **json.loads((peer_files.DATA / f"{golden}.json").read_text()),
        "extractor_conv_layer_config": [(512, 10, 5), *[(512, 3, 2)] * 4, *[(512, 2, 2)] * 2],
        "encoder_embed_dim": 768,
        "encoder_pos_conv_kernel": 128,
        "encoder_pos_conv_groups": 16,
        "encoder_num_layers": 12,
        "encoder_use_attention": [True] * 12,
        "encoder_use_feed_forward": [True] * 12,
        "encoder_ff_interm_features": [3072] * 12,
        **further,
    }
    family = dp_file.DPHUBERT
    shape = family.config(PeerFile(Path("a.pth"), {"config": config, "state_dict": {}}))
    with torch.device("meta"):
        peer = family.build(shape)
    own = {family.stored(key, shape): value for key, value in shapes_of(peer).items()}
    assert own == listed(shared_dir / "golden_peers" / golden / "unpruned_base.keys")
    assert sum(hooks.parameters(peer).values()) == parameters


def test_the_profile_command(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["profile", "distilhubert", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["params"] == 27_034_752 and round(document["macs"] / 1e9, 2) == 825.04
    assert "23.49 M" in document["notes"][0]
    for name, published in (
        ("dphubert", "23,585,946"),
        ("dpwavlm_local", "589.2"),
        ("starhubert_xs", "9.39"),
    ):
        assert main(["profile", name]) == 2
        assert published in capsys.readouterr().err
    path = peer_files.write("dphubert", tmp_path)
    assert main(["profile", "dphubert_local", "--ckpt", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["params"] == 27_541  # as its authors' code counts
    assert main(["profile", "dphubert", "--ckpt", str(path)]) == 2
    assert "dphubert_local" in capsys.readouterr().err
