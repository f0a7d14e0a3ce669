"""Likeness of attention maps: the measures, the patterns, the maps themselves, and the command."""

from __future__ import annotations

import csv
import itertools
import math
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from scipy.spatial.distance import jensenshannon
from tiny_encoders import WHISPER
from torch import Tensor

from upstream_arm.checkpoint import save_student
from upstream_arm.cli import main
from upstream_arm.distillation.settings import TINY_STUDENT
from upstream_arm.similarity import maps, measures
from upstream_arm.similarity.measures import Likeness
from upstream_arm.student import Student


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)).double().softmax(-1).float()


def test_equal_and_disjoint_maps() -> None:
    same = torch.eye(5)[None, None].expand(2, 3, 5, 5)
    other = torch.eye(5).roll(1, 1)[None, None].expand(1, 3, 5, 5)
    found = measures.measured([torch.cat([same, other])])
    cosine, divergence = found.of_layers(found.cosine), found.of_layers(found.divergence)
    assert torch.equal(cosine, torch.tensor([[1.0, 1, 0], [1, 1, 0], [0, 0, 1]]))
    assert torch.allclose(divergence, 1 - cosine, atol=1e-6)
    assert (found.utterances, found.frames) == (1, 5)


def test_the_measures_are_those_of_scipy_and_means_over_frames_and_utterances() -> None:
    several = [drawn(2, 3, frames, frames, seed=frames) for frames in (4, 9)]
    found = measures.measured(several)
    for place in ((0, 0, 1, 2), (1, 1, 0, 1), (0, 2, 0, 0)):
        layer, head, other, another = place
        cosines, divergences = [], []
        for one in several:
            pairs = [
                (p.numpy(), q.numpy()) for p, q in zip(one[layer, head], one[other, another], strict=True)
            ]
            cosines.append(np.mean([p @ q / np.linalg.norm(p) / np.linalg.norm(q) for p, q in pairs]))
            divergences.append(np.mean([jensenshannon(p, q, base=2) ** 2 for p, q in pairs]))
        assert float(found.cosine[place]) == pytest.approx(np.mean(cosines), abs=1e-5)
        assert float(found.divergence[place]) == pytest.approx(np.mean(divergences), abs=1e-5)


@pytest.mark.parametrize("layers", [1, 2, 5, 7])
def test_suggested_patterns_are_the_best_of_all(layers: int) -> None:
    for seed in range(5):
        values = torch.rand(layers, 2, layers, 2, generator=torch.Generator().manual_seed(seed))
        values = (values + values.permute(2, 3, 0, 1)) / 2
        likeness = Likeness(values, 1 - values, 1, 1)
        found = measures.suggested(likeness)
        assert [sum(one.computes) for one in found] == list(range(1, layers + 1))
        for number, one in enumerate(found[:-1], start=1):
            every = [
                measures.pattern(likeness, (True, *rest))
                for rest in itertools.product((True, False), repeat=layers - 1)
                if sum(rest) == number - 1
            ]
            assert one.cosine == pytest.approx(max(other.cosine or 0 for other in every))
            assert one.attention_macs == (layers + number) / (2 * layers)
        assert (found[-1].cosine, found[-1].divergence) == (None, None)


@pytest.mark.parametrize("softmax", ["single", "double"])
def test_a_student_applies_the_map_of_its_source(softmax: str, tmp_path: Path) -> None:
    config = TINY_STUDENT.replace(reuse_softmax=softmax)
    torch.manual_seed(0)
    save_student(
        Student(config).state_dict(), config, tmp_path / "student.safetensors", {"labels": '["demo"]'}
    )
    model = maps.load(str(tmp_path))  # the folder of a distillation
    assert model.labels == ("demo",)
    wav = torch.randn(8000, generator=torch.Generator().manual_seed(1))
    found = model.maps(wav)
    assert found.shape[:2] == (config.layers, config.heads) and found.shape[2] == found.shape[3]
    assert torch.allclose(found.sum(-1), torch.ones(found.shape[:3]), atol=1e-5)
    source = 0
    for layer, computes in enumerate(config.reuse_pattern):
        source = layer if computes else source
        expected = found[source] if computes or softmax == "single" else found[source].softmax(-1)
        assert torch.equal(found[layer], expected)
    assert not all(config.reuse_pattern)


def test_the_first_map_of_a_teacher_by_hand() -> None:
    model = maps.load("random:hubert")
    wav = torch.randn(16_000, generator=torch.Generator().manual_seed(1))
    found = model.maps(wav)
    attention, inputs = model.module.model.encoder.layers[0].attention, []
    handle = attention.register_forward_pre_hook(
        lambda _, given, named: inputs.append(named.get("hidden_states", given[0] if given else None)),
        with_kwargs=True,
    )
    model.maps(wav)
    handle.remove()
    x, heads = inputs[0][0], found.shape[1]
    queries, keys = (
        part(x).unflatten(-1, (heads, -1)).transpose(0, 1) for part in (attention.q_proj, attention.k_proj)
    )
    scores = queries @ keys.transpose(1, 2) / math.sqrt(keys.shape[-1])
    assert torch.allclose(found[0], scores.softmax(-1).detach(), atol=1e-5)
    assert model.labels == ("untrained",)


def test_of_a_window_the_utterance_alone(tmp_path: Path) -> None:
    WHISPER.write(tmp_path)
    found = maps.load(str(tmp_path)).maps(torch.randn(16_000))
    assert found.shape == (3, 2, 50, 50)
    assert torch.allclose(found.sum(-1), torch.ones(3, 2, 50), atol=1e-5)


@pytest.fixture
def speech(tmp_path: Path) -> Path:
    (tmp_path / "speech").mkdir()
    random = np.random.default_rng(0)
    for number in range(3):
        samples = 6000 if number else 10 * 16_000
        soundfile.write(tmp_path / "speech" / f"{number}.flac", random.normal(0, 0.1, samples), 16_000)
    return tmp_path / "speech"


def test_the_command(speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["similarity", "random:hubert", "--audio", str(speech), "--to", str(tmp_path / "to")]
    assert main([*words, "--utterances", "2"]) == 0
    printed = capsys.readouterr().out
    assert "random:hubert [untrained]: 6 layers of 4 heads, 2 utterances" in printed
    assert "CCCCCC            100%" in printed and "likeness of maps is no quality" in printed
    with (tmp_path / "to" / "layers.csv").open() as file:
        layers = list(csv.DictReader(file))
    assert len(layers) == 36 and all(
        row["cosine"] == "1.000000" for row in layers if row["layer"] == row["other"]
    )
    with (tmp_path / "to" / "heads.csv").open() as file:
        heads = list(csv.DictReader(file))
    assert len(heads) == 24**2
    mean = np.mean(
        [
            float(row["cosine"])
            for row in heads
            if (row["layer"], row["other_layer"]) == ("1", "3") and row["head"] == row["other_head"]
        ]
    )
    (pair,) = (row for row in layers if (row["layer"], row["other"]) == ("1", "3"))
    assert float(pair["cosine"]) == pytest.approx(mean, abs=1e-5)
    with (tmp_path / "to" / "patterns.csv").open() as file:
        assert [row["computing_layers"] for row in csv.DictReader(file)] == list("123456")
    assert (tmp_path / "to" / "similarity.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("model", "folder", "message"),
    [
        ("s3prl:hubert", "speech", "the attention maps of s3prl:hubert are s3prl's own and cannot be read"),
        ("random:other", "speech", "there is no random teacher 'other'"),
        ("random:hubert", "nowhere", "has no flac or wav files; name a folder of speech with --audio"),
    ],
)
def test_what_cannot_be_measured(
    model: str, folder: str, message: str, speech: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["similarity", model, "--audio", str(tmp_path / folder), "--to", str(tmp_path / "to")]
    assert main(words) == 2
    assert message in capsys.readouterr().err and not (tmp_path / "to").exists()
