"""The one-pass teacher against transformers' own two passes, for the real classes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_distillation
import torch
from safetensors.torch import load_file, save_file
from torch.nn.utils.rnn import pad_sequence

from tests.support import tiny_encoders
from upstream_arm.checkpoint import read
from upstream_arm.common.errors import UpstreamError
from upstream_arm.convolutions import frames
from upstream_arm.distillation.data import Batch
from upstream_arm.distillation.settings import TINY_STUDENT, MaskRatio, Settings
from upstream_arm.distillation.teachers import RANDOM_KINDS, UpstreamTeacher, load_teacher, random_teacher
from upstream_arm.distillation.training import RuntimeOptions, distil


def batch(conv_layers: Any) -> tuple[torch.Tensor, list[int], torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    wavs = [torch.randn(n, generator=generator) for n in (9_000, 6_500)]
    lengths = [len(wav) for wav in wavs]
    counts = [frames(n, conv_layers) for n in lengths]
    mask = torch.rand(2, max(counts), generator=generator) < 0.4
    valid = torch.arange(max(counts)) < torch.tensor(counts).unsqueeze(1)
    return pad_sequence(wavs, batch_first=True), lengths, mask & valid, valid


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_one_pass_equals_two_passes_of_transformers(kind: str) -> None:
    teacher = random_teacher(kind)
    wavs, lengths, mask, valid = batch(teacher.conv_layers)
    targets = teacher(wavs, lengths, mask)
    attention = torch.arange(wavs.shape[1]) < torch.tensor(lengths).unsqueeze(1)
    for ours, indices in ((targets.clean, None), (targets.masked, mask)):
        with torch.no_grad():
            theirs = teacher.model(
                wavs, attention_mask=attention.long(), mask_time_indices=indices, output_hidden_states=True
            ).hidden_states[1:]
        assert ours is not None and len(ours) == len(theirs) == teacher.layers
        for one, two in zip(ours, theirs, strict=True):
            torch.testing.assert_close(one[valid], two[valid], rtol=1e-4, atol=2e-5)
    assert not torch.allclose(targets.clean[-1], targets.masked[-1], atol=0.1)


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_a_random_teacher_attends_by_content_and_is_fixed_by_its_seed(kind: str) -> None:
    one, two, other = random_teacher(kind), random_teacher(kind), random_teacher(kind, seed=1)
    wavs, lengths, _, _ = batch(one.conv_layers)
    states = [teacher(wavs, lengths, None).clean[-1] for teacher in (one, two, other)]
    assert torch.equal(states[0], states[1]) and not torch.allclose(states[0], states[2], atol=0.1)
    assert one.labels == ("untrained-teacher",)


def test_wavlms_gated_relative_bias_is_there() -> None:
    teacher = random_teacher("wavlm")
    wavs, lengths, _, valid = batch(teacher.conv_layers)
    before = teacher(wavs, lengths, None).clean[-1]
    attention = teacher.model.encoder.layers[0].attention
    attention.rel_attn_embed.weight.zero_()
    without_bias = teacher(wavs, lengths, None).clean[-1]
    assert (before - without_bias)[valid].abs().max() > 0.1
    with torch.no_grad():
        attention.rel_attn_embed.weight.normal_()
        gated = teacher(wavs, lengths, None).clean[-1]
        for layer in teacher.model.encoder.layers:
            layer.attention.gru_rel_pos_const.fill_(3.0)
    assert (gated - teacher(wavs, lengths, None).clean[-1])[valid].abs().max() > 0.1


def test_frozen_and_always_in_evaluation() -> None:
    teacher = random_teacher("hubert").train()
    assert not any(module.training for module in teacher.modules())
    assert not any(parameter.requires_grad for parameter in teacher.parameters())


def test_padding_does_not_reach_through_attention() -> None:
    """With the first norm's statistics aside, which take in padding as in the authors' code."""
    teacher = random_teacher("hubert")
    wavs, lengths, _, valid = batch(teacher.conv_layers)
    features = teacher._features(wavs, lengths)
    count = int(valid[1].sum())
    teacher._features = lambda wavs, _: features[: len(wavs)].clone()  # type: ignore[method-assign]
    both = teacher(wavs, lengths, None).clean[-1][1, :count]
    teacher._features = lambda *_: features[1:, :count].clone()  # type: ignore[method-assign]
    alone = teacher(wavs[1:, : lengths[1]], lengths[1:], None).clean[-1][0]
    torch.testing.assert_close(both, alone, rtol=1e-4, atol=2e-5)


def test_a_local_folder_is_loaded_whole_or_refused(tmp_path: Path) -> None:
    teacher = random_teacher("wavlm")
    teacher.model.save_pretrained(tmp_path)
    loaded = load_teacher(str(tmp_path), layers=6)
    wavs, lengths, _, _ = batch(teacher.conv_layers)
    assert torch.equal(loaded(wavs, lengths, None).clean[-1], teacher(wavs, lengths, None).clean[-1])
    assert loaded.labels == () and loaded.maskable
    weights = load_file(tmp_path / "model.safetensors")
    del weights["masked_spec_embed"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    assert not load_teacher(str(tmp_path), layers=6).maskable
    del weights["encoder.layers.3.attention.k_proj.weight"]
    save_file(weights, tmp_path / "model.safetensors", {"format": "pt"})
    with pytest.raises(UpstreamError, match=r"lacks 1 weights of a WavLMModel .*whole checkpoint"):
        load_teacher(str(tmp_path), layers=6)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("random:bert", "no random teacher 'bert', expected one of random:hubert"),
        ("./nowhere", "nowhere is no folder"),
        ("s3prl:no_such", "s3prl has no upstream 'no_such'"),
    ],
)
def test_unknown_teachers_are_refused(name: str, message: str) -> None:
    with pytest.raises(UpstreamError, match=message):
        load_teacher(name, layers=6)


def test_without_a_network_one_sentence_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UpstreamError, match="neither a folder nor in the Hugging Face cache") as error:
        load_teacher("nobody/no-such-teacher", layers=12)
    assert "\n" not in str(error.value) and "hf download" in str(error.value)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_a_checkpoint_in_half_precision_teaches_in_fp32(tmp_path: Path, dtype: torch.dtype) -> None:
    random_teacher("hubert").model.to(dtype).save_pretrained(tmp_path)
    teacher = load_teacher(str(tmp_path), layers=6)
    wavs, lengths, mask, _ = batch(teacher.conv_layers)
    targets = teacher(wavs, lengths, mask)
    assert targets.masked is not None and {t.dtype for t in targets.clean} == {torch.float32}
    rounded = random_teacher("hubert")
    rounded.model.to(dtype).float()
    assert torch.equal(targets.clean[-1], rounded(wavs, lengths, mask).clean[-1])


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("model.safetensors", b"not safetensors"),
        ("model.safetensors", b""),
        ("config.json", b"{"),
        ("config.json", b'{"model_type": "hubert", "hidden_size": "wide"}'),
        ("config.json", b'{"model_type": "no_such_model"}'),
    ],
)
def test_a_damaged_folder_is_refused_in_one_sentence(tmp_path: Path, name: str, content: bytes) -> None:
    random_teacher("hubert").model.save_pretrained(tmp_path)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(UpstreamError, match="holds no checkpoint that transformers can load") as error:
        load_teacher(str(tmp_path), layers=6)
    assert "\n" not in str(error.value)


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UpstreamError, match="holds no checkpoint"):
        load_teacher(str(tmp_path), layers=12)


def test_models_of_another_kind_are_refused() -> None:
    from upstream_arm.distillation.teachers import TransformersTeacher

    with pytest.raises(UpstreamError, match="the teacher is a Linear"):
        TransformersTeacher(torch.nn.Linear(1, 1))


def test_s3prl_upstreams_hear_silence_where_frames_are_masked() -> None:
    teacher = load_teacher("s3prl:armhubert_s_960h_random", layers=12)
    assert (teacher.width, teacher.layers, teacher.step) == (768, 12, 320)
    assert teacher.labels == ("untrained-teacher",)
    wavs = torch.randn(2, 4_000)
    states = teacher(wavs, [4_000, 2_000], None)
    assert len(states.clean) == 12 and states.masked is None
    mask = torch.zeros(2, 12, dtype=torch.bool)
    mask[0, 3:5] = True
    wavs[0, 960:1600] = 0
    both = teacher(torch.cat([wavs, wavs + 1])[:2], [4_000, 2_000], mask)
    assert both.masked is not None
    for clean, masked in zip(both.clean, both.masked, strict=True):
        torch.testing.assert_close(clean, masked)  # silent there already
    wavs[0, 1200] = 5
    both = teacher(wavs, [4_000, 2_000], mask)
    assert both.masked is not None and not torch.allclose(both.clean[-1][0], both.masked[-1][0], atol=0.1)
    with pytest.raises(UpstreamError, match="12 hidden states, expected one for each of the 6 layers"):
        load_teacher("s3prl:armhubert_s_960h_random", layers=6)


def test_an_upstream_that_also_returns_what_enters_its_layers_teaches_by_the_layers() -> None:
    """As s3prl's HuBERT does: one hidden state more than layers."""

    class Upstream(torch.nn.Module):
        def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
            frames = torch.stack([wav[: len(wav) // 320 * 320].unflatten(0, (-1, 320)) for wav in wavs])
            return {"hidden_states": [frames + layer for layer in range(7)]}

        def get_downsample_rates(self, key: str) -> int:
            return 320

    teacher = UpstreamTeacher(Upstream(), layers=6)
    states = teacher(torch.zeros(1, 3_200), [3_200], None).clean
    assert [float(state.mean()) for state in states] == [1, 2, 3, 4, 5, 6] and teacher.width == 320


def test_whispers_encoder_teaches_a_student_of_fewer_layers(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    """No mask embedding, windows of fixed length, one frame more than the student."""
    tiny_encoders.WHISPER.write(tmp_path / "whisper")
    student = TINY_STUDENT.replace(reuse_softmax="single", reuse_pattern=(True,))
    for objective, ratio in (("full", MaskRatio(0.4, 0.4)), ("layer_to_layer", None)):
        made = settings(
            teacher=str(tmp_path / "whisper"), student=student, objective=objective, ratio=ratio, epochs=1
        )
        run = tmp_path / objective
        content = read(distil(made, run, RuntimeOptions(device="cpu")))
        assert content.labels == ("shortened",) and content.config is not None
        assert content.config.projection_dim == tiny_encoders.WIDTH
        record = tiny_distillation.records(run)[-1]
        assert (record["masked"] > 0) == (objective == "full") and len(record["dev"]["distance"]) == 1
    other = settings(teacher=str(tmp_path / "whisper"), student=TINY_STUDENT)
    with pytest.raises(UpstreamError, match="the teacher has 3 layers and the student 6"):
        distil(other, tmp_path / "other", RuntimeOptions(device="cpu"))


def test_an_encoder_of_another_frame_rate_is_refused(
    tmp_path: Path, settings: Callable[..., Settings]
) -> None:
    tiny = next(one for one in tiny_encoders.ALL if one.kind == "speech_to_text")
    tiny.write(tmp_path / "encoder")
    student = TINY_STUDENT.replace(reuse_pattern=(True,) * 3)
    with pytest.raises(UpstreamError, match=r"\(400, 640\), the student's \(400, 320\)"):
        distil(
            settings(teacher=str(tmp_path / "encoder"), student=student),
            tmp_path / "run",
            RuntimeOptions(device="cpu"),
        )


def test_features_are_standardised_over_the_frames_that_are_no_padding(tmp_path: Path) -> None:
    tiny_encoders.WHISPER.write(tmp_path)
    teacher = load_teacher(str(tmp_path), layers=1)
    assert isinstance(teacher, UpstreamTeacher) and teacher.standardises
    wavs, lengths, _, valid = batch(TINY_STUDENT.conv_layers)
    before = teacher(wavs, lengths, None).clean
    teacher.standardise([Batch(0, wavs, lengths, valid, None)])
    for raw, state in zip(before, teacher(wavs, lengths, None).clean, strict=True):
        own = state[:, : valid.shape[1]][valid]
        assert own.mean(dim=0).abs().max() < 1e-4
        torch.testing.assert_close(own.std(dim=0, correction=0), torch.ones(own.shape[1]), atol=1e-3, rtol=0)
        assert (raw[:, : valid.shape[1]][valid].mean(dim=0).abs() > 0.1).any()
