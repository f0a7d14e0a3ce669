"""Unfolded students: shared blocks, any depth at load time, nothing changed for the others."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
import yaml

from upstream_arm.checkpoint import load_student, save_student
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig, from_mapping
from upstream_arm.expert import from_checkpoint, from_seed
from upstream_arm.presets import PRESETS
from upstream_arm.profiling.profile import of_config
from upstream_arm.student import Student

WAVS = [torch.randn(4_000, generator=torch.Generator().manual_seed(k)) for k in range(2)]


@pytest.fixture
def config(small_config: StudentConfig) -> StudentConfig:
    """Two blocks, the second one reusing the first one's map, three runs each."""
    return small_config.replace(reuse_pattern=(True, False), repeats=3, reuse_softmax="single")


@pytest.fixture
def student(config: StudentConfig) -> Student:
    torch.manual_seed(0)
    built = Student(config).eval()
    for parameter in built.parameters():  # initial weights are too small to tell right from wrong
        torch.nn.init.normal_(parameter, std=0.25)
    return built


@pytest.fixture
def checkpoint(student: Student, tmp_path: Path) -> Path:
    path = tmp_path / "student.safetensors"
    save_student(student.state_dict(), student.config, path, {})
    return path


def states(student: Student) -> list[torch.Tensor]:
    with torch.no_grad():
        return student(torch.stack(WAVS), [len(wav) for wav in WAVS]).hidden_states


def test_it_computes_what_its_blocks_written_out_one_by_one_compute(student: Student) -> None:
    """The same weights in six layers of a student that is not unfolded."""
    plain = student.config.replace(repeats=None, reuse_pattern=(True, True, True, False, False, False))
    twin = Student(plain).eval()
    weights = {}
    for key, tensor in student.state_dict().items():
        head, dot, rest = key.partition("layers." if "encoder.layers" in key else "proj_head.")
        if not dot or "feature_extractor" in head:
            weights[key] = tensor
            continue
        block, _, name = rest.partition(".")
        for run in range(3):
            weights[f"{head}{dot}{3 * int(block) + run}.{name}"] = tensor
    twin.load_state_dict(weights, strict=True)
    found, expected = states(student), states(twin)
    assert len(found) == student.config.layers == 6
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-5)
    assert not torch.allclose(found[0], found[2], atol=0.01)


@pytest.mark.parametrize("repeats", [1, 2, 5])
def test_any_depth_at_load_time(checkpoint: Path, student: Student, repeats: int) -> None:
    assert load_student(checkpoint).config.repeats == 3
    upstream = from_checkpoint(checkpoint, repeats=str(repeats))
    found = upstream(WAVS)["hidden_states"]
    assert len(found) == 2 * repeats and upstream.switches["repeats"] == str(repeats)
    assert upstream.student.state_dict().keys() == student.state_dict().keys()
    torch.testing.assert_close(found[0], states(student)[0], rtol=0, atol=1e-5)
    own = from_checkpoint(checkpoint, repeats="own")
    assert own.switches["repeats"] == "3"


def test_a_yaml_chooses_the_depth_too(checkpoint: Path, config: StudentConfig, tmp_path: Path) -> None:
    file = tmp_path / "student.yaml"
    file.write_text(yaml.safe_dump({"student": config.replace(repeats=2).to_mapping()}))
    assert load_student(checkpoint, model_config=file).config.layers == 4
    file.write_text(yaml.safe_dump({"student": config.replace(repeats=None).to_mapping()}))
    with pytest.raises(UpstreamError, match=r"was made with repeats 3, but .* says None"):
        load_student(checkpoint, model_config=file)


def test_the_shallowest_path_is_that_of_a_student_loaded_so(checkpoint: Path, student: Student) -> None:
    output = student(torch.stack(WAVS), [4_000, 4_000], shallowest=True)
    shallow = states(load_student(checkpoint, repeats=1))
    assert output.shallow is not None and len(output.shallow) == 2 and len(output.hidden_states) == 6
    for one, two in zip(output.shallow, shallow, strict=True):
        torch.testing.assert_close(one, two, rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    ("repeats", "message"),
    [("0", "repeats is '0', expected one of own, 1, 2"), (13, "repeats is 13"), ("two", "repeats is 'two'")],
)
def test_depths_that_cannot_be(config: StudentConfig, repeats: str | int, message: str) -> None:
    with pytest.raises(UpstreamError, match=message):
        config.with_switches(repeats=repeats)


def test_bad_configurations_are_refused(small_config: StudentConfig, config: StudentConfig) -> None:
    with pytest.raises(UpstreamError, match="repeats is 0, expected a positive whole number or nothing"):
        config.replace(repeats=0)
    with pytest.raises(UpstreamError, match="repeats is for unfolded students"):
        from_seed(small_config, repeats="2")
    with pytest.raises(UpstreamError, match="there is no switch 'depth'"):
        config.with_switches(depth=2)


def test_other_students_are_written_as_before(small_config: StudentConfig) -> None:
    assert "repeats" not in small_config.to_mapping() and "repeats" not in small_config.switches
    assert from_mapping(small_config.to_mapping()) == small_config
    mapping = json.loads(json.dumps(PRESETS["unfolded"].to_mapping()))
    assert mapping["repeats"] == 3 and from_mapping(mapping) == PRESETS["unfolded"]


def test_parameters_count_once_and_products_in_every_run() -> None:
    unfolded, arm = PRESETS["unfolded"], PRESETS["armhubert"]
    assert unfolded.layers == arm.layers == 12
    deep, shallow = of_config("u", unfolded), of_config("u", unfolded.replace(repeats=1))
    assert deep.params == shallow.params < of_config("a", arm).params / 2
    # Six of its twelve layers compute a map, as ARMHuBERT's do.
    assert deep.macs == of_config("a", arm).macs
    for part in ("attention", "feed_forward", "projections"):
        assert deep.macs_by_part[part] == 3 * shallow.macs_by_part[part]
    assert "each run 3 times" in deep.notes[0] and "repeats" not in deep.switches
