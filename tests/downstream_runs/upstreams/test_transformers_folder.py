"""Folders of transformers: what could not be trusted is refused in one sentence, and nothing of it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from upstream_arm.common.errors import UsageError
from upstream_arm.encoders.transformers_encoder import TransformersEncoder

hf = pytest.importorskip("transformers", reason="transformers is not installed (the extra `hf`)")
import tiny_encoders as tiny  # noqa: E402 - needs transformers

WEIGHTS = "model.safetensors"


def edit_weights(folder: Path, change: Callable[[dict[str, torch.Tensor]], None]) -> None:
    weights = load_file(folder / WEIGHTS)
    change(weights)
    save_file(weights, folder / WEIGHTS, {"format": "pt"})


def edit_json(folder: Path, name: str = "config.json", **changes: Any) -> None:
    content = json.loads((folder / name).read_text())
    (folder / name).write_text(json.dumps(content | changes))


def spoil(value: float) -> Callable[[Path], None]:
    def change(weights: dict[str, torch.Tensor]) -> None:
        weights["encoder.layers.1.final_layer_norm.weight"][3] = value

    return lambda folder: edit_weights(folder, change)


def without(key: str) -> Callable[[Path], None]:
    def change(weights: dict[str, torch.Tensor]) -> None:
        del weights[key]

    return lambda folder: edit_weights(folder, change)


class Evil:
    """A pickle that makes a folder where it is read."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def poison(folder: Path) -> None:
    weights = load_file(folder / WEIGHTS)
    (folder / WEIGHTS).unlink()
    torch.save(weights | {"evil": Evil(folder / "ran")}, folder / "pytorch_model.bin")


def cut_short(folder: Path) -> None:
    content = (folder / WEIGHTS).read_bytes()
    (folder / WEIGHTS).write_bytes(content[: len(content) // 2])


def codec(folder: Path) -> None:
    hf.EncodecConfig(architectures=["EncodecModel"]).save_pretrained(folder)


REFUSED: dict[str, tuple[Callable[[Path], Any], str]] = {
    "NaN": (spoil(float("nan")), r"NaN or infinite weights \(encoder.layers.1.final_layer_norm.weight"),
    "infinite": (spoil(float("inf")), r"NaN or infinite weights"),
    "missing weights": (
        without("encoder.layers.2.attention.k_proj.weight"),
        r"lacks 1 weights of a HubertModel \(encoder.layers.2.attention.k_proj.weight",
    ),
    "other weights": (
        lambda folder: save_file({"x": torch.ones(1)}, folder / WEIGHTS, {"format": "pt"}),
        r"lacks \d\d weights of a HubertModel",
    ),
    "more layers": (lambda folder: edit_json(folder, num_hidden_layers=2), "more layers than the 2 of"),
    "other shapes": (lambda folder: edit_json(folder, intermediate_size=65), "can load and run"),
    "a pickle that runs": (poison, "pytorch_model.bin asks for posix.mkdir to be run"),
    "cut short": (cut_short, "can load and run"),
    "no weights": (lambda folder: (folder / WEIGHTS).unlink(), "can load and run"),
    "no config.json": (lambda folder: (folder / "config.json").unlink(), "has no config.json"),
    "a list": (lambda folder: (folder / "config.json").write_text("[]"), "expected a JSON object"),
    "no extractor": (
        lambda folder: (folder / "preprocessor_config.json").unlink(),
        "has no preprocessor_config.json .* whether waveforms are normalised",
    ),
    "8 kHz": (
        lambda folder: edit_json(folder, "preprocessor_config.json", sampling_rate=8000),
        "audio at 8000 Hz .* expected 16000 Hz",
    ),
    "code of its own": (
        lambda folder: edit_json(folder, auto_map={"AutoModel": "code.Model"}),
        r"Python code of its own \(auto_map in config.json\).* --trust-remote-code",
    ),
    "extractor with code": (
        lambda folder: edit_json(
            folder, "preprocessor_config.json", auto_map={"AutoFeatureExtractor": "code.Extractor"}
        ),
        r"auto_map in preprocessor_config.json",
    ),
    "a codec": (codec, "holds EncodecModel, which is not known here as a speech encoder"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_in_one_sentence(name: str, tmp_path: Path) -> None:
    tiny.HUBERT.write(tmp_path)
    (tmp_path / "code.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    change, words = REFUSED[name]
    change(tmp_path)
    with pytest.raises(UsageError, match=words) as caught:
        TransformersEncoder(tmp_path)
    assert str(tmp_path) in str(caught.value) and "\n" not in str(caught.value)
    assert not (tmp_path / "ran").exists()


CODE = """
from torch import nn
from transformers import HubertConfig, HubertModel


class OtherConfig(HubertConfig):
    model_type = "other"


class OtherModel(HubertModel):
    config_class = OtherConfig

    def __init__(self, config):
        super().__init__(config)
        self.feature_extractor.conv_layers[-1].conv.stride = (STRIDE,)
"""


@pytest.mark.parametrize(
    ("stride", "words"),
    [(2, None), (4, "gives 75 frames for 3 s of audio, expected 150 at the 320 samples a frame")],
)
def test_code_of_a_folder_runs_if_it_is_trusted_and_its_frames_are_measured(
    stride: int, words: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / f"stride{stride}"
    tiny.HUBERT.write(folder)
    (folder / "code.py").write_text(CODE.replace("STRIDE", str(stride)))
    code = {"AutoConfig": "code.OtherConfig", "AutoModel": "code.OtherModel"}
    edit_json(folder, model_type="other", architectures=["OtherModel"], auto_map=code)
    if words:
        with pytest.raises(UsageError, match=words):
            TransformersEncoder(folder, trust_remote_code=True)
    else:
        facts = TransformersEncoder(folder, trust_remote_code=True).facts
        assert (facts.architecture, facts.layers, facts.stride) == ("OtherModel", 3, 320)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_on_disk_is_computed_in_fp32(dtype: str, tmp_path: Path) -> None:
    model = tiny.HUBERT.write(tmp_path)
    model.to(getattr(torch, dtype)).save_pretrained(tmp_path)
    encoder = TransformersEncoder(tmp_path)
    assert encoder.facts.dtype == dtype
    wav = torch.linspace(-1, 1, 16_000).sin()
    model = model.float()  # the rounded weights
    with torch.no_grad():
        expected = model(wav[None], output_hidden_states=True).hidden_states
        for state, other in zip(encoder([wav])["hidden_states"], expected, strict=True):
            assert state.dtype == torch.float32
            torch.testing.assert_close(state, other, atol=1e-6, rtol=1e-6)


def test_torch_files_with_the_old_names_of_normed_weights(tmp_path: Path) -> None:
    expected = tiny.HUBERT.write(tmp_path).state_dict()
    weights = load_file(tmp_path / WEIGHTS)
    (tmp_path / WEIGHTS).unlink()
    new = "parametrizations.weight.original"
    old = {
        name.replace(f"{new}0", "weight_g").replace(f"{new}1", "weight_v"): value
        for name, value in weights.items()
    }
    del old["masked_spec_embed"]
    assert "encoder.pos_conv_embed.conv.weight_g" in old
    torch.save(old, tmp_path / "pytorch_model.bin")
    encoder = TransformersEncoder(tmp_path)
    for name, value in encoder.model.state_dict().items():
        assert torch.equal(value, torch.zeros(tiny.WIDTH) if name == "masked_spec_embed" else expected[name])


def test_transformers_is_imported_when_a_folder_is_read(tmp_path: Path) -> None:
    program = (
        "import sys, pathlib\n"
        "sys.modules['transformers'] = None\n"
        "from upstream_arm.encoders.transformers_encoder import TransformersEncoder as E\n"
        "try:\n"
        "    E(pathlib.Path(sys.argv[1]))\n"
        "except ValueError as error:\n"
        "    print(error)\n"
    )
    tiny.HUBERT.write(tmp_path)
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, timeout=120
    )
    assert "transformers is not installed" in done.stdout, done.stderr
    assert "superb-arm[hf]" in done.stdout
