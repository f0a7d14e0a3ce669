"""Files of other papers' authors: what a real one holds besides, and what is refused in one sentence."""

from __future__ import annotations

import argparse
import json
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import yaml

from tests.support import peer_files
from tests.support.peer_files import DATA, GOLDENS
from upstream_arm import checkpoint, hub
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config_yaml import load_yaml
from upstream_arm.expert import UpstreamExpert
from upstream_arm.names import PEERS
from upstream_arm.peers import loading
from upstream_arm.peers.family import PeerFile
from upstream_arm.peers.loading import load_peer

SMALL = [name for name in GOLDENS if name != "lighthubert"]
Changes = Callable[[dict[str, Any]], object]


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def refusal(entry: str, path: Path, **options: Any) -> str:
    with pytest.raises(UpstreamError) as caught:
        getattr(hub, entry)(ckpt=str(path), **options)
    message = str(caught.value)
    told = options.get("model_config", path)
    assert "\n" not in message and Path(told).name in message
    return message


def light(kind: str = "small", **changes: Any) -> dict[str, Any]:
    """A supernet's file with most weights left out."""
    model = json.loads((DATA / "lighthubert.json").read_text())
    return {
        "cfg": {"model": {**model, "pruner_supernet": f"configs/{kind}.yaml", **changes}},
        "model": {"mask_emb": torch.ones(3), "layer_norm.weight": torch.ones(3)},
    }


def test_every_other_entry_names_the_right_one(tmp_path: Path) -> None:
    contents = {GOLDENS[name][0]: peer_files.content(name) for name in SMALL if name != "starhubert_proj"}
    contents["lighthubert_small_local"] = light()
    contents["lighthubert_base_local"] = light("base")
    ge2e = {"lstm.weight_ih_l0": torch.ones(3), "similarity_weight": torch.ones(1)}
    contents["ge2e_local"] = {"step": 1, "model_state": ge2e}
    own = {"mask_emb": torch.ones(3), "proj_head.0.lin_proj.weight": torch.ones(3)}
    contents["armhubert_local"] = {
        "state_dict": {f"student_model.{key}": value for key, value in own.items()}
    }
    assert contents.keys() == {*PEERS, "armhubert_local"}
    for right, content in contents.items():
        path = saved(tmp_path / f"{right}.ckpt", content)
        for entry in contents.keys() - {right}:
            assert f"use {right} for it" in refusal(entry, path)


@pytest.mark.parametrize("entry", PEERS)
def test_files_of_no_family(tmp_path: Path, entry: str) -> None:
    for content in (
        {"a": torch.ones(3)},
        {"state_dict": {"a": torch.ones(3)}, "config": {}},
        {"cfg": 3, "model": 4},
    ):
        assert "is no file of" in refusal(entry, saved(tmp_path / "a.pt", content))
    assert "No such file" in refusal(entry, tmp_path / "absent.pt")
    with pytest.raises(UpstreamError, match="none was given"):
        getattr(hub, entry)()
    with pytest.raises(UpstreamError, match="no switch reuse_softmax"):
        getattr(hub, entry)(ckpt=str(tmp_path / "a.pt"), reuse_softmax="single")
    with pytest.raises(UpstreamError, match="batching is 'other'"):
        golden = next((name for name in SMALL if GOLDENS[name][0] == entry), "dphubert")
        load_peer(GOLDENS[golden][0], peer_files.write(golden, tmp_path), batching="other")


def state_of(content: dict[str, Any]) -> dict[str, Any]:
    state: dict[str, Any] = content.get("Distiller") or content["state_dict"]
    return state


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda state, key: state.pop(key), "missing"),
        (lambda state, key: state.update({key + "_more": torch.ones(3)}), "expected none"),
        (lambda state, key: state.update({key: torch.ones(3)}), "is (3,), expected"),
        (lambda state, key: state[key].fill_(float("nan")), "not finite"),
    ],
)
def test_weights_that_do_not_fit(tmp_path: Path, name: str, change: Callable[..., object], says: str) -> None:
    content = peer_files.content(name)
    key = next(key for key in state_of(content) if key.endswith("layers.1.final_layer_norm.weight"))
    change(state_of(content), key)
    told = refusal(GOLDENS[name][0], saved(tmp_path / "a.ckpt", content))
    assert says in told and key.removeprefix("student_model.") in told  # by the name in the file


def set_config(**values: Any) -> Changes:
    return lambda content: content["config"].update(values)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("dphubert", set_config(encoder_prune_attention_heads=True), "pruning of .* is not finished"),
        (
            "dphubert",
            lambda content: content["state_dict"].update(
                {"hard_concrete_for_layer.log_alpha": torch.ones(1)}
            ),
            "pruning of .* is not finished.*hard_concrete",
        ),
        ("dpwavlm", set_config(encoder_use_attention=[False] + [True] * 4), "a head in the first layer"),
        ("dpwavlm", set_config(encoder_total_num_heads=[4, 4, 8, 4, 4]), "different numbers of heads"),
        ("dphubert", set_config(encoder_num_heads=[4, 10**9, 0, 2, 3]), "heads below 4"),
        ("dphubert", set_config(encoder_num_layers=10**12), "layers and lists 5"),
        ("dphubert", set_config(encoder_embed_dim=10**15), "cannot be"),
        ("dphubert", set_config(extractor_mode="other"), "group_norm or layer_norm"),
        (
            "dphubert",
            lambda content: content["config"].pop("encoder_head_dim"),
            "lacks 'encoder_head_dim'",
        ),
        (
            "distilhubert",
            lambda content: content["Config"]["distiller"].update(layer_norm_first=True),
            "layer_norm",
        ),
        (
            "distilhubert",
            lambda content: content["Config"]["distiller"].pop("n_tasks"),
            "the key 'n_tasks'",
        ),
        (
            "distilhubert",
            lambda content: content["Config"]["distiller"].update(
                extractor_conv_feature_layers="__import__('os').abort()"
            ),
            "expected a list of numbers",
        ),
    ],
)
def test_configurations_that_cannot_be(tmp_path: Path, name: str, change: Changes, says: str) -> None:
    content = peer_files.content(name)
    change(content)
    with pytest.raises(UpstreamError, match=says):
        load_peer(GOLDENS[name][0], saved(tmp_path / "a.pth", content))


@pytest.mark.parametrize("name", ["dphubert", "dpwavlm", "distilhubert"])
def test_no_value_of_a_configuration_gets_past(tmp_path: Path, name: str) -> None:
    """Each of them replaced by what it is not: refused as a user's mistake, or without effect."""
    content = peer_files.content(name)
    file = PeerFile(tmp_path / "a.pth", content)
    block = content["config"] if "config" in content else content["Config"]["distiller"]
    for key, value in list(block.items()):
        for junk in ("x", None, -1, [], {}, [None] * 5, 10**9, 0.5):
            block[key] = junk
            try:
                loading.build(loading.FAMILIES[GOLDENS[name][0]], file, None)
            except UpstreamError as error:
                assert "\n" not in str(error)
        block[key] = value


def test_what_real_files_hold_besides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Options of the command line, and the schedule that s3prl's optimiser pickles."""
    module = types.ModuleType("s3prl.optimizers")
    Schedule = type("Schedule", (), {"__module__": module.__name__})
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setattr(module, "Schedule", Schedule, raising=False)
    besides = {
        "distilhubert": {
            "Args": argparse.Namespace(upstream="distiller"),
            "Optimizer": {"schedule": Schedule()},
        },
        "fithubert": {"optimizer_states": [{"param_groups": [{"schedule": Schedule()}]}]},
        "starhubert": {"callbacks": {"a": argparse.Namespace()}, "lr_schedulers": [Schedule()]},
    }
    for name, more in besides.items():
        expert = load_peer(GOLDENS[name][0], peer_files.write(name, tmp_path, **more))
        assert isinstance(expert, UpstreamExpert)


class Bomb:
    """Pickles as a call that would make a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return (Path.touch, (self.path,))


@pytest.mark.parametrize("name", SMALL)
def test_nothing_in_a_file_is_run(tmp_path: Path, name: str) -> None:
    path = peer_files.write(name, tmp_path, bomb=Bomb(tmp_path / "trace"))
    assert "refused because that could execute anything" in refusal(GOLDENS[name][0], path)
    assert not (tmp_path / "trace").exists()


def test_the_yaml_beside_a_file(tmp_path: Path, peer_wavs: list[torch.Tensor]) -> None:
    for name in ("starhubert_proj", "fithubert"):
        entry, given = GOLDENS[name][0], DATA / f"{name}.yaml"
        bare = peer_files.write(name, tmp_path, hyper_parameters={})
        assert "--model-config" in refusal(entry, bare)
        with torch.no_grad():
            alone = load_peer(entry, bare, given)(peer_wavs[:1])["last_hidden_state"]
            carried = load_peer(entry, peer_files.write(name, tmp_path))(peer_wavs[:1])["last_hidden_state"]
        assert torch.equal(alone, carried)
        other = yaml.safe_load(given.read_text())
        other["distiller"]["encoder_attention_heads"] = 8
        (tmp_path / "other.yaml").write_text(yaml.safe_dump(other))
        path = peer_files.write(name, tmp_path)
        assert "made with heads 4" in refusal(entry, path, model_config=str(tmp_path / "other.yaml"))


def test_a_yaml_of_another_family(tmp_path: Path, golden_dir: Path) -> None:
    yamls = {
        "armhubert_local": golden_dir / "tiny.yaml",
        "starhubert_local": DATA / "starhubert.yaml",
        "fithubert_local": DATA / "fithubert.yaml",
    }
    for right, path in yamls.items():
        for golden in ("starhubert", "fithubert"):
            if GOLDENS[golden][0] != right:
                ckpt = peer_files.write(golden, tmp_path)
                message = refusal(GOLDENS[golden][0], ckpt, model_config=str(path))
                assert f"use {right} for such a model" in message
        if right != "armhubert_local":
            with pytest.raises(UpstreamError, match=f"use {right} for such a model"):
                load_yaml(path)


def test_fithubert_needs_pairs_of_frames(tmp_path: Path) -> None:
    expert = load_peer("fithubert_local", peer_files.write("fithubert", tmp_path))
    with torch.no_grad():
        assert expert([torch.ones(720)])["last_hidden_state"].shape == (1, 2, 40)
        with pytest.raises(
            UpstreamError, match=r"utterance 1 of the batch has one frame.*at least 720 samples"
        ):
            expert([torch.ones(8_000), torch.ones(719)])


def test_other_kinds_of_files(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    save_file({"a": torch.ones(3)}, tmp_path / "a.safetensors")
    assert "is a safetensors file" in refusal("dphubert_local", tmp_path / "a.safetensors")
    for changes, says in (
        ({"encoder_layers": 6}, "encoder_layers 6, expected 12"),
        ({"_name": "student_hubert"}, "_name 'student_hubert', expected 'hubert_pruner'"),
        ({}, "do not fit LightHuBERT's supernet: "),
    ):
        path = saved(tmp_path / "a.pt", light(**changes))
        assert says in refusal("lighthubert_small_local", path)
    with pytest.raises(UpstreamError, match="starhubert_local"):
        checkpoint.read(peer_files.write("starhubert", tmp_path))


def test_the_hugging_face_form_of_distilhubert_has_the_same_layers(
    shared_dir: Path, tmp_path: Path, peer_wavs: list[torch.Tensor]
) -> None:
    """transformers' states 1 and 2 of the same weights; its state 0 is taken at another place."""
    path = peer_files.write("distilhubert", tmp_path)
    with np.load(shared_dir / "golden_peers" / "distilhubert" / "hf_outputs.npz") as arrays, torch.no_grad():
        batch = load_peer("distilhubert_local", path, batching="released")(peer_wavs)["hidden_states"]
        expert = load_peer("distilhubert_local", path)
        for index, wav in enumerate(peer_wavs):
            alone = expert([wav])["hidden_states"]
            for layer in (1, 2):
                theirs = torch.from_numpy(arrays[f"single{index}_hf_hidden_states"][layer])
                torch.testing.assert_close(alone[layer][0], theirs, atol=5e-5, rtol=0)
                count = len(theirs)
                masked = torch.from_numpy(arrays["batch_hf_hidden_states_mask"][layer, index, :count])
                torch.testing.assert_close(batch[layer][index, :count], masked, atol=5e-5, rtol=0)
