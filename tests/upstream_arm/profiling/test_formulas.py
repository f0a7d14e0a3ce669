"""Closed formulas against known numbers, against simulation, and against the student itself."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig, reuse_pattern
from upstream_arm.convolutions import conv_lengths, frames, receptive_field
from upstream_arm.presets import PRESETS, front_end, preset
from upstream_arm.profiling.formulas import HUBERT_BASE, macs, parameters
from upstream_arm.profiling.profile import of_config, of_hubert_base
from upstream_arm.profiling.utterances import IDS, LENGTHS, SECONDS

# preset: (parameters, MACs in G over the 32 utterances)
KNOWN = {
    "armhubert": (26_448_448, 501.624),
    "armhubert_s_960h": (22_394_080, 449.945),
    "armwavlm_s_100h": (22_394_080, 449.945),
    "maskhubert": (26_635_840, 519.790),
    "table2_none": (24_638_752, 489.566),
    "table2_3by4": (21_645_856, 436.737),
    "table2_6by2": (20_897_632, 423.530),
    "table2_3by4_up": (22_393_216, 445.115),
    "table2_6by2_up": (22_392_352, 440.286),
}

TINY = StudentConfig(
    conv_layers=((8, 10, 5), (12, 3, 2), (16, 2, 2)),
    embed_dim=16,
    ffn_dim=24,
    heads=4,
    reuse_pattern=reuse_pattern("3by4", 6),
    projection_dim=10,
    conv_pos=6,
    conv_pos_groups=2,
)


@pytest.mark.parametrize("name", KNOWN)
def test_presets_have_the_known_size_and_macs(name: str) -> None:
    profile = of_config(name, PRESETS[name])
    assert profile.params == KNOWN[name][0]
    assert round(profile.macs / 1e9, 3) == KNOWN[name][1]


def test_maskhubert_with_2by6_has_a_tenth_fewer_parameters() -> None:
    config = preset("maskhubert").replace(reuse_pattern=reuse_pattern("2by6"))
    assert of_config("maskhubert", config).params == 23_865_280


def test_hubert_base_has_the_published_size_and_buckets() -> None:
    profile = of_hubert_base()
    assert profile.params == 94_697_600
    assert [round(macs / 1e9, 2) for macs in profile.buckets.values()] == [149.26, 261.28, 422.37, 836.25]
    assert round(profile.macs / 1e9, 3) == 1669.156
    assert sum(profile.macs_by_part.values()) == profile.macs


def test_the_utterances_are_those_of_the_leaderboard(shared_dir: Path) -> None:
    lines = (shared_dir / "leaderboard" / "macs_utterances.csv").read_text().split()[1:]
    assert [f"{name},{samples}" for name, samples in zip(IDS, LENGTHS, strict=True)] == lines


def test_the_utterances_last_as_long_as_published() -> None:
    assert len(LENGTHS) == 32 and SECONDS == 224.86


layers = st.lists(st.tuples(st.just(4), st.integers(1, 12), st.integers(1, 6)), min_size=1, max_size=6)


@given(layers, st.integers(0, 4000))
def test_frames_equal_the_positions_that_each_kernel_can_take(
    stack: list[tuple[int, int, int]], samples: int
) -> None:
    length = samples
    simulated = []
    for _, kernel, stride in stack:
        length = len(range(0, length - kernel + 1, stride))
        simulated.append(length)
    assert conv_lengths(samples, stack) == tuple(simulated)
    assert frames(samples, stack) == simulated[-1]


def test_the_papers_front_end_gives_fifty_frames_a_second() -> None:
    assert receptive_field(front_end(480)) == (400, 320)
    assert [frames(n, front_end(480)) for n in (399, 400, 719, 720, 16_000)] == [0, 1, 1, 2, 49]


def test_an_utterance_without_a_frame_is_refused() -> None:
    with pytest.raises(UpstreamError, match="399 samples gives no frame, expected at least 400"):
        macs(HUBERT_BASE, 399)


@pytest.mark.parametrize("projection", [None, 10])
@pytest.mark.parametrize("conv_pos", [6, 7])
def test_macs_equal_torchs_count_of_the_student_with_maps_written_out(
    projection: int | None, conv_pos: int
) -> None:
    from upstream_arm.profiling import hooks
    from upstream_arm.student import Student

    config = TINY.replace(projection_dim=projection, conv_pos=conv_pos)
    student = Student(config)
    student.explicit = True
    lengths = [60, 333, 4000]
    counted = hooks.count(student, lengths, lambda module, wav: module(wav[None], [len(wav)]))
    expected = [macs(config, length) for length in lengths]
    assert [sum(entry.values()) for entry in counted] == [sum(entry.values()) for entry in expected]
    assert [entry["convolutions"] for entry in counted] == [
        entry["front_end"] + entry["positional_convolution"] for entry in expected
    ]


@pytest.mark.parametrize("config", [*dict.fromkeys(PRESETS.values()), TINY], ids=lambda c: str(c.ffn_dim))
def test_parameters_equal_the_students_by_part(config: StudentConfig) -> None:
    import torch

    from upstream_arm.student import Student

    with torch.device("meta"):
        student = Student(config)
    parts = dict.fromkeys(parameters(config), 0)
    for key, tensor in student.named_parameters():
        parts[_part(key)] += tensor.numel()
    assert parameters(config) == parts


@pytest.mark.parametrize(
    ("file", "name"),
    [
        ("armhubert-960", "armhubert"),
        ("armhubert-s-960", "armhubert_s_960h"),
        ("maskhubert-960", "maskhubert"),
    ],
)
def test_parameters_equal_the_released_checkpoints_shapes(shared_dir: Path, file: str, name: str) -> None:
    architecture = PRESETS[name]
    parts = dict.fromkeys(parameters(architecture), 0)
    for line in (shared_dir / "golden" / f"{file}.keys").read_text().splitlines():
        key, shape, _ = line.split("\t")
        size = 1
        for number in shape.strip("()").split(","):
            size *= int(number) if number.strip() else 1
        parts[_part(key.removeprefix("student_model."))] += size
    assert parameters(architecture) == parts


def _part(key: str) -> str:
    if "norm" in key or "conv_layers.0.2." in key:
        return "norms"
    marks = {
        "feature_extractor": "front_end",
        "pos_conv": "positional_convolution",
        "self_attn": "attention",
        ".fc": "feed_forward",
        "proj_head": "projections",
        "mask_emb": "mask_embedding",
    }
    return next(part for mark, part in marks.items() if mark in key)


def test_formulas_and_the_command_need_no_torch() -> None:
    code = (
        "import sys; from upstream_arm.profiling import command; command.resolve('armhubert'); "
        "assert not {'torch', 's3prl', 'numpy'} & set(sys.modules), 'heavy import'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
