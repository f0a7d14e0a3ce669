"""Configurations: yaml files, patterns, presets, and what is refused."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig, from_mapping, parse_list, reuse_pattern
from upstream_arm.config_yaml import load_yaml
from upstream_arm.names import RELEASED, names
from upstream_arm.presets import PRESETS, front_end, preset
from upstream_arm.student import Student

# facts/student.md, measured on the authors' code; Table 2 of the paper prints the rounded ones.
PARAMETERS = {
    "armhubert": 26_448_448,
    "armhubert_s_960h": 22_394_080,
    "armhubert_s_100h": 22_394_080,
    "armwavlm_s_960h": 22_394_080,
    "armwavlm_s_100h": 22_394_080,
    "maskhubert": 26_635_840,
    "table2_none": 24_638_752,
    "table2_2by6": 22_394_080,
    "table2_3by4": 21_645_856,
    "table2_6by2": 20_897_632,
    "table2_3by4_up": 22_393_216,
    "table2_6by2_up": 22_392_352,
    # Widths inferred from the published sizes and MACs.
    "starhubert": 22_309_024,
    "starhubert_l": 26_627_104,
    # Four blocks: those of ARMHuBERT that stay when the other eight of its twelve layers go.
    "unfolded": 11_290_432,
}


def on_meta(config: StudentConfig) -> Student:
    with torch.device("meta"):
        return Student(config)


def test_every_preset_has_its_exact_parameter_count() -> None:
    assert set(PARAMETERS) == set(PRESETS)
    for name, expected in PARAMETERS.items():
        assert sum(p.numel() for p in on_meta(PRESETS[name]).parameters()) == expected, name
    assert (
        sum(
            p.numel()
            for p in on_meta(PRESETS["maskhubert"].replace(reuse_pattern=reuse_pattern("2by6"))).parameters()
        )
        == 23_865_280
    )


@pytest.mark.parametrize(
    ("keys", "name"),
    [
        ("armhubert-960", "armhubert"),
        ("armhubert-s-960", "armhubert_s_960h"),
        ("maskhubert-960", "maskhubert"),
    ],
)
def test_keys_and_shapes_equal_the_released_models(shared_dir: Path, keys: str, name: str) -> None:
    with (shared_dir / "golden" / f"{keys}.keys").open() as file:
        rows = [row for row in csv.reader(file, delimiter="\t") if row[0].startswith("student_model.")]
    expected = {row[0].removeprefix("student_model."): row[1] for row in rows}
    assert {
        key: str(tuple(value.shape)) for key, value in on_meta(PRESETS[name]).state_dict().items()
    } == expected


def test_patterns() -> None:
    assert [i + 1 for i, computes in enumerate(reuse_pattern("3by4")) if computes] == [1, 4, 7, 10]
    assert [i + 1 for i, computes in enumerate(reuse_pattern("6by2")) if computes] == [1, 7]
    assert reuse_pattern("[True, False] * 6") == reuse_pattern("2by6") == reuse_pattern([True, False] * 6)
    assert all(reuse_pattern("none"))


@given(
    st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9), st.integers(1, 9)), min_size=1, max_size=3),
    st.integers(1, 4),
)
def test_list_expressions(layers: list[tuple[int, int, int]], times: int) -> None:
    assert parse_list(f"{layers} + {layers} * {times}", "x") == layers + layers * times
    assert parse_list(f"{times} * {layers}", "x") == layers * times


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')",
        "[x for x in (1,)]",
        "[1] * 10**9",
        "[[1] * 9999] * 9999 * 9999",
        "[1.5]",
        "['a']",
        "1 + 1",
        "[1",
        "",
        "(" * 500 + ")" * 500,
        "open('x')",
        "[1] if True else [2]",
    ],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(UpstreamError, match="conv_feature_layers"):
        parse_list(text, "conv_feature_layers")


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert isinstance(parse_list(text, "key"), list)
    except UpstreamError as error:
        assert "key" in str(error)


def test_our_own_yaml_round_trip(tmp_path: Path) -> None:
    for name, config in PRESETS.items():
        path = tmp_path / f"{name}.yaml"
        path.write_text(yaml.safe_dump({"student": config.to_mapping()}))
        assert load_yaml(path) == config


def authors(golden_dir: Path) -> dict[str, Any]:
    block: dict[str, Any] = yaml.safe_load((golden_dir / "tiny.yaml").read_text())["distiller"]
    return block


def test_the_authors_yaml(golden_dir: Path) -> None:
    config = load_yaml(golden_dir / "tiny.yaml")
    assert (config.embed_dim, config.ffn_dim, config.heads, config.projection_dim) == (32, 64, 4, 40)
    assert config.conv_layers[:3] == ((12, 10, 5), (16, 1, 1), (16, 3, 2)) and len(config.conv_layers) == 9
    assert config.reuse_pattern == (True, False) * 6
    assert config.switches == {"reuse_softmax": "double", "batching": "exact"}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"enable_tr_layer": True}, "enable_tr_layer"),
        ({"enable_tr_layer": None}, "lacks the key 'enable_tr_layer'"),
        ({"layer_norm_first": True}, "layer_norm_first"),
        ({"layerwise_proj": False}, "layerwise_proj"),
        ({"encoder_embed_dims": 3}, "encoder_embed_dims"),
        ({"reuse_pattern": "[True]"}, "1 entries but encoder_layers is 12"),
        ({"reuse_pattern": "[False] + [True] * 11"}, "no layer before the first"),
        ({"reuse_pattern": "8by1"}, "8by1"),
        ({"encoder_attention_heads": 5}, "divisible by heads 5"),
        ({"encoder_embed_dim": 64}, "embed_dim is 64, expected 32"),
        ({"encoder_ffn_embed_dim": -1}, "ffn_dim is -1"),
        ({"conv_feature_layers": "[(1, 2)]"}, "triples"),
        ({"conv_feature_layers": "[1]"}, "conv_feature_layers"),
        ({"dropout": "much"}, "dropout is 'much'"),
    ],
)
def test_a_wrong_yaml_is_refused_in_one_sentence(
    golden_dir: Path, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    block = authors(golden_dir)
    block.update(change)
    block = {key: value for key, value in block.items() if value is not None}
    path = tmp_path / "wrong.yaml"
    path.write_text(yaml.safe_dump({"distiller": block}))
    with pytest.raises(UpstreamError) as caught:
        load_yaml(path)
    message = str(caught.value)
    assert says in message and "wrong.yaml" in message and "\n" not in message


@pytest.mark.parametrize(
    "content", ["a: [", "- 1", "", "distiller: 3", "!!python/object/apply:os.getcwd []", "\x00"]
)
def test_other_files_are_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "model.yaml"
    path.write_text(content)
    with pytest.raises(UpstreamError, match=r"model\.yaml"):
        load_yaml(path)
    with pytest.raises(UpstreamError, match="does not exist"):
        load_yaml(tmp_path / "absent.yaml")


def test_mapping_with_unknown_or_missing_key() -> None:
    mapping = PRESETS["armhubert"].to_mapping()
    with pytest.raises(UpstreamError, match="'width'"):
        from_mapping({**mapping, "width": 3})
    del mapping["ffn_dim"]
    with pytest.raises(UpstreamError, match="'ffn_dim'"):
        from_mapping(mapping)


@pytest.mark.parametrize("field", ["reuse_softmax", "batching"])
def test_unknown_switches(field: str) -> None:
    with pytest.raises(UpstreamError, match=field):
        PRESETS["armhubert"].replace(**{field: "both"})


def test_names() -> None:
    assert "arm_hubert" in names() and "armhubert_random" in names() and "maskhubert_local" in names()
    assert set(RELEASED) <= set(PRESETS)
    with pytest.raises(UpstreamError, match="armhubert"):
        preset("armhubart")
    assert front_end(480)[-1] == (480, 2, 2)
