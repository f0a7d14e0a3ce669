"""Checkpoints of every kind are read exactly, or refused with one sentence."""

from __future__ import annotations

import json
import sys
import types
import zipfile
from collections import OrderedDict, defaultdict
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import save_file

from upstream_arm.checkpoint import expected_shapes, load_student, nearest_preset, read
from upstream_arm.cli import main
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import sha256_file
from upstream_arm.config import StudentConfig
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

TINY = StudentConfig(
    conv_layers=((8, 10, 5), (16, 3, 2)),
    embed_dim=16,
    ffn_dim=24,
    heads=4,
    reuse_pattern=(True, False),
    projection_dim=20,
    conv_pos=16,
    conv_pos_groups=4,
)
DISTILLER = {
    "conv_feature_layers": "[(8, 10, 5)] + [(16, 3, 2)]",
    "encoder_layers": 2,
    "encoder_embed_dim": 16,
    "encoder_ffn_embed_dim": 24,
    "encoder_attention_heads": 4,
    "conv_pos": 16,
    "conv_pos_groups": 4,
    "pred_head_final_dim": 20,
    "enable_tr_layer": False,
    "layerwise_proj": True,
    "reuse_pattern": "[True, False]",
}


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return {key: torch.randn_like(value) for key, value in Student(TINY).state_dict().items()}


def lightning(state: dict[str, torch.Tensor], **more: Any) -> dict[str, Any]:
    """As the authors' trainer writes it: student and teacher, the yaml, optimiser parts."""
    weights = OrderedDict({f"student_model.{key}": value for key, value in state.items()})
    weights["teacher_model.mask_emb"] = torch.zeros(7)
    return {
        "epoch": 3,
        "pytorch-lightning_version": "1.7.7",
        "state_dict": weights,
        "hyper_parameters": {"cfg": {"teacher": {}, "distiller": DISTILLER}},
        **more,
    }


@pytest.fixture
def foreign(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """Classes of modules that are gone when the file is read, as in a fresh environment."""
    module = types.ModuleType("s3prl.optimizers")

    class WarmupLinearSchedule:
        def __setstate__(self, state: object) -> None:
            raise AssertionError("the reader must not construct this")

        def __init__(self) -> None:
            self.warmup = 0.05

    WarmupLinearSchedule.__module__ = module.__name__
    WarmupLinearSchedule.__qualname__ = "WarmupLinearSchedule"
    module.WarmupLinearSchedule = WarmupLinearSchedule  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return module


def assert_same(found: Any, expected: dict[str, torch.Tensor]) -> None:
    assert list(found) == list(expected)
    for key, value in expected.items():
        assert found[key].dtype == torch.float32
        assert torch.equal(found[key], value), key


def refusal(path: Path, **options: Any) -> str:
    with pytest.raises(UpstreamError) as caught:
        load_student(path, **options)
    message = str(caught.value)
    assert "\n" not in message and path.name in message
    return message


class TestLightning:
    def test_with_pickled_optimizer_parts(
        self, state: dict[str, torch.Tensor], foreign: types.ModuleType, tmp_path: Path
    ) -> None:
        schedule = foreign.WarmupLinearSchedule()
        torch.save(
            lightning(
                state,
                optimizer_states=[{"param_groups": [{"schedule": schedule}]}],
                callbacks={foreign.WarmupLinearSchedule: {"best": torch.tensor(1.0)}},
                seen=defaultdict(list, a=[1]),
                tags={"a", "b"},
            ),
            tmp_path / "a.ckpt",
        )
        del sys.modules["s3prl.optimizers"]
        checkpoint = read(tmp_path / "a.ckpt")
        assert_same(checkpoint.student_state, state)
        assert checkpoint.config == TINY
        assert checkpoint.metadata == {"epoch": 3, "pytorch-lightning_version": "1.7.7"}

    @pytest.mark.parametrize("protocol", [2, 3, 4, 5])
    def test_pickle_protocols(self, state: dict[str, torch.Tensor], tmp_path: Path, protocol: int) -> None:
        torch.save(lightning(state), tmp_path / "a.ckpt", pickle_protocol=protocol)
        if protocol <= 3:
            assert_same(read(tmp_path / "a.ckpt").student_state, state)
        else:
            assert "damaged, or not written as torch.save does" in refusal(tmp_path / "a.ckpt")

    def test_weights_do_not_change_with_their_file(
        self, state: dict[str, torch.Tensor], tmp_path: Path
    ) -> None:
        torch.save(lightning(state), tmp_path / "a.ckpt")
        found = read(tmp_path / "a.ckpt").student_state
        with (tmp_path / "a.ckpt").open("rb+") as file:
            file.write(bytes((tmp_path / "a.ckpt").stat().st_size))
        assert_same(found, state)

    def test_authors_form_with_real_optimizer(self, shared_dir: Path) -> None:
        path = shared_dir / "golden" / "tiny_lightning" / "tiny_lightning.ckpt"
        checkpoint = read(path)
        assert checkpoint.config is not None and checkpoint.config.embed_dim == 32
        plain = torch.load(
            shared_dir / "golden" / "tiny" / "tiny.ckpt", weights_only=True, map_location="cpu"
        )["state_dict"]
        expected = {
            key.removeprefix("student_model."): value
            for key, value in plain.items()
            if key.startswith("student_model.")
        }
        assert set(checkpoint.student_state) == set(expected)
        assert load_student(path).config == checkpoint.config

    def test_teacher_only(self, tmp_path: Path) -> None:
        torch.save({"state_dict": {"teacher_model.mask_emb": torch.zeros(2)}}, tmp_path / "a.ckpt")
        assert "only a teacher" in refusal(tmp_path / "a.ckpt")

    def test_contradicting_config_is_named(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(lightning(state), tmp_path / "a.ckpt")
        assert "heads 4" in refusal(tmp_path / "a.ckpt", model_config=TINY.replace(heads=2))
        free = TINY.replace(dropout=0.3, reuse_softmax="single")
        assert load_student(tmp_path / "a.ckpt", model_config=free).config == free


class TestStateDicts:
    @pytest.mark.parametrize("prefix", ["", "student_model.", "module.", "module.student_model."])
    @pytest.mark.parametrize("kind", ["zip", "legacy", "safetensors"])
    def test_bare(self, state: dict[str, torch.Tensor], tmp_path: Path, prefix: str, kind: str) -> None:
        path = tmp_path / "a.pt"
        named = OrderedDict((prefix + key, value) for key, value in state.items())
        if kind == "safetensors":
            save_file(named, path)
        else:
            torch.save(named, path, _use_new_zipfile_serialization=kind == "zip")
        assert_same(dict(sorted(read(path).student_state.items())), dict(sorted(state.items())))
        student = load_student(path, model_config=TINY, batching="released", reuse_softmax=None)
        assert student.config == TINY.replace(batching="released")
        assert not student.training
        assert_same(student.state_dict(), state)
        with torch.no_grad():
            assert student(torch.randn(1, 400), [400]).hidden_states[-1].isfinite().all()

    def test_half_precision_views_and_parameters(
        self, state: dict[str, torch.Tensor], tmp_path: Path
    ) -> None:
        flat = torch.cat([value.half().flatten() for value in state.values()])
        views, start = {}, 0
        for key, value in state.items():
            views[key] = flat[start : start + value.numel()].view(value.shape)
            start += value.numel()
        key = "encoder.layers.0.fc1.weight"
        views[key] = torch.nn.Parameter(state[key].half().t().contiguous().t())
        torch.save(views, tmp_path / "a.pt")
        found = read(tmp_path / "a.pt").student_state
        assert_same(found, {key: value.half().float() for key, value in state.items()})
        assert not any(value.requires_grad for value in found.values())

    def test_loading_spends_no_random_numbers(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "a.pt")
        before = torch.get_rng_state()
        load_student(tmp_path / "a.pt", model_config=TINY)
        assert torch.equal(before, torch.get_rng_state())

    def test_not_finite(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save({**state, "mask_emb": torch.full((16,), torch.nan)}, tmp_path / "a.pt")
        message = refusal(tmp_path / "a.pt", model_config=TINY)
        assert "16 weights in mask_emb" in message

    def test_quantised(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save({**state, "mask_emb": torch.ones(16, dtype=torch.int8)}, tmp_path / "a.pt")
        assert "int8" in refusal(tmp_path / "a.pt", model_config=TINY)

    def test_unknown_switch(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "a.pt")
        with pytest.raises(UpstreamError, match="no switch 'softmax'"):
            load_student(tmp_path / "a.pt", model_config=TINY, softmax="single")


def measured(data_dir: Path, name: str) -> dict[str, tuple[int, ...]]:
    lines = (data_dir / "keys" / f"{name}.txt").read_text().splitlines()
    return {line.split()[0]: tuple(map(int, line.split()[1:])) for line in lines}


def on_meta(shapes: dict[str, tuple[int, ...]]) -> dict[str, torch.Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


class TestMatching:
    @pytest.mark.parametrize(
        ("keys", "preset"),
        [
            ("armhubert-960", "armhubert"),
            ("armhubert-s-960", "armhubert_s_960h"),
            ("maskhubert-960", "maskhubert"),
        ],
    )
    def test_full_models(self, data_dir: Path, keys: str, preset: str) -> None:
        shapes = measured(data_dir, keys)
        assert expected_shapes(PRESETS[preset]) == shapes
        assert nearest_preset(on_meta(shapes)) == (preset, 0)
        shapes.popitem()
        assert nearest_preset(on_meta(shapes)) == (preset, 1)

    def test_wrong_yaml_names_weights_and_the_preset_that_fits(self, data_dir: Path, tmp_path: Path) -> None:
        shapes = measured(data_dir, "armhubert-s-960")
        save_file({key: torch.zeros(shape) for key, shape in shapes.items()}, tmp_path / "a.safetensors")
        assert load_student(tmp_path / "a.safetensors").config == PRESETS["armhubert_s_960h"]
        message = refusal(tmp_path / "a.safetensors", model_config=PRESETS["maskhubert"])
        assert "mask_emb is (432,), expected (480,)" in message and " more; give the training yaml" in message
        assert "the preset armhubert_s_960h has 0 differences" in message

    def test_no_preset_fits(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "a.pt")
        assert "--model-config" in refusal(tmp_path / "a.pt")
        extra = {**state, "surplus": torch.zeros(1)}
        torch.save(extra, tmp_path / "b.pt")
        message = refusal(tmp_path / "b.pt", model_config=TINY)
        assert "surplus is (1,), expected none" in message


class TestConvert:
    def test_round_trip(
        self, state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source, target = tmp_path / "a.ckpt", tmp_path / "a.safetensors"
        torch.save(lightning(state), source)
        assert main(["convert", str(source), str(target)]) == 0
        assert str(target) in capsys.readouterr().out
        converted = read(target)
        assert converted.config == read(source).config == TINY
        assert {k: v.numpy().tobytes() for k, v in converted.student_state.items()} == {
            k: v.numpy().tobytes() for k, v in state.items()
        }
        with safe_open(target, framework="pt") as file:
            metadata = file.metadata()
        assert metadata["source_file"] == "a.ckpt" and metadata["source_sha256"] == sha256_file(source)
        assert json.loads(metadata["config"]) == TINY.to_mapping()
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.ckpt", "a.safetensors"]

    def test_bare_weights_need_a_config(
        self, state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        source, target = tmp_path / "a.pt", tmp_path / "a.safetensors"
        torch.save(state, source)
        assert main(["convert", str(source), str(target)]) == 2
        assert capsys.readouterr().err.startswith("error: ")
        assert not target.exists()
        (tmp_path / "a.yaml").write_text(json.dumps({"student": TINY.to_mapping()}))
        assert main(["convert", str(source), str(target), "--model-config", str(tmp_path / "a.yaml")]) == 0
        assert load_student(target).config == TINY

    def test_leaves_what_is_there(
        self, state: dict[str, torch.Tensor], tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        torch.save(lightning(state), tmp_path / "a.ckpt")
        target = tmp_path / "a.safetensors"
        target.write_bytes(b"mine")
        assert main(["convert", str(tmp_path / "a.ckpt"), str(target)]) == 2
        assert "exists already" in capsys.readouterr().err
        assert target.read_bytes() == b"mine"
        assert main(["convert", str(tmp_path / "a.ckpt"), str(tmp_path / "no" / "a.safetensors")]) == 2
        assert main(["convert", str(tmp_path / "a.ckpt"), str(tmp_path / "a.pt")]) == 2

    def test_newer_format(self, tmp_path: Path) -> None:
        save_file({"mask_emb": torch.zeros(2)}, tmp_path / "a.safetensors", {"student_format": "9"})
        assert "student format '9'" in refusal(tmp_path / "a.safetensors")


class TestNotACheckpoint:
    @pytest.mark.parametrize(
        ("content", "said"),
        [
            (b"", "no checkpoint"),
            (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 3\n", "git-lfs pointer"),
            (b"\n<!DOCTYPE html><html></html>", "web page"),
            (b"Entry not found", "no checkpoint"),
            (b"PK\x03\x04 and no more", "cut short or damaged"),
            (b"\x80\x02]q\x00.", "not written as torch.save does"),
            (b"\x80\x02]q\x00", "cut short or damaged"),
            (b"\xff\x00\x00\x00\x00\x00\x00\x00{", "cut short or damaged"),
        ],
    )
    def test_content(self, tmp_path: Path, content: bytes, said: str) -> None:
        (tmp_path / "a.ckpt").write_bytes(content)
        assert said in refusal(tmp_path / "a.ckpt")

    def test_missing_and_folder(self, tmp_path: Path) -> None:
        assert "No such file" in refusal(tmp_path / "a.ckpt")
        assert "it is a folder" in refusal(tmp_path)

    @pytest.mark.parametrize("kept", [0.3, 0.9, 0.999])
    def test_truncated(self, state: dict[str, torch.Tensor], tmp_path: Path, kept: float) -> None:
        for kind in ("zip", "legacy", "safetensors"):
            path = tmp_path / kind
            if kind == "safetensors":
                save_file(state, path)
            else:
                torch.save(state, path, _use_new_zipfile_serialization=kind == "zip")
            path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
            assert "cut short or damaged" in refusal(path)

    def test_changed_weight_is_noticed(self, state: dict[str, torch.Tensor], tmp_path: Path) -> None:
        torch.save(state, tmp_path / "a.pt")
        content = bytearray((tmp_path / "a.pt").read_bytes())
        position = content.find(state["mask_emb"].numpy().tobytes())
        assert position > 0
        content[position] ^= 1
        (tmp_path / "a.pt").write_bytes(content)
        assert "cut short or damaged" in refusal(tmp_path / "a.pt")

    def test_other_contents(self, tmp_path: Path) -> None:
        with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
            archive.writestr("model.ckpt", b"")
        assert "not torch's" in refusal(tmp_path / "a.zip")
        torch.save({"model": {"w": torch.zeros(1)}, "args": None}, tmp_path / "b.pt")
        assert "its entries are 'model', 'args'" in refusal(tmp_path / "b.pt")
        torch.save([1, 2], tmp_path / "c.pt")
        assert "no weights by name" in refusal(tmp_path / "c.pt")
