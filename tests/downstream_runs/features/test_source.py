"""Stored features against those of every pass: the same numbers."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "engine"))
import noise

from downstream_runs import bridge
from downstream_runs.engine import run, run_dir
from downstream_runs.errors import UsageError
from downstream_runs.features.source import Choice, Settings, Source, choose, deviations
from downstream_runs.features.store import Store
from upstream_arm.config import StudentConfig
from upstream_arm.expert import UpstreamExpert, from_seed
from upstream_arm.presets import front_end

TINY = StudentConfig(
    conv_layers=tuple((min(out, 16), kernel, stride) for out, kernel, stride in front_end(16)),
    embed_dim=16,
    ffn_dim=16,
    heads=2,
    reuse_pattern=(True, False, True, True),
    projection_dim=24,
    conv_pos=16,
    conv_pos_groups=4,
)


def student(batching: str = "exact") -> UpstreamExpert:
    return from_seed(TINY, batching=batching).eval()  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    bridge.apply()
    import s3prl.hub

    s3prl.hub.tiny_student = lambda **kwargs: student()
    folder = tmp_path_factory.mktemp("data")
    noise.make_corpus(folder)
    return folder


def waves() -> list[torch.Tensor]:
    torch.manual_seed(0)
    return [0.1 * torch.randn(samples) for samples in (9000, 16000, 12345, 16000 - 1)]


def featurizer(expert: UpstreamExpert) -> object:
    bridge.apply()
    from s3prl.upstream.interfaces import Featurizer

    return Featurizer(expert, upstream_device="cpu")


def source(
    expert: UpstreamExpert, choice: Choice, folder: Path | None = None, seldom: bool = False
) -> Source:
    return Source(expert, "someone", choice, Store(folder), 320, seldom)


@pytest.mark.parametrize("where", ["memory", "disk"])
def test_stored_frames_are_those_of_the_upstream(where: str, tmp_path: Path) -> None:
    expert = student()
    made = featurizer(expert)
    mode = Choice("disk", "frames", "fp32")
    stored = source(expert, mode, tmp_path if where == "disk" else None)
    with torch.no_grad():
        expected = made(waves(), expert(waves()))  # type: ignore[operator]
        for _ in range(2):
            paired, hidden, counts = stored(waves())
            found = [frames[:count] for frames, count in zip(made(paired, hidden), counts, strict=True)]  # type: ignore[operator]
            assert all(torch.equal(one, other) for one, other in zip(found, expected, strict=True))
    assert (stored.store.hits, stored.store.misses) == (4, 4)


@pytest.mark.parametrize("subset", [(0, 1, 2, 3), (0,), (2, 0)])
def test_pooled_items_are_means_over_what_the_featurizer_keeps(subset: tuple[int, ...]) -> None:
    expert = student()
    made = featurizer(expert)
    batch = [waves()[index] for index in subset]
    stored = source(expert, Choice("memory", "pooled", "fp32"))
    with torch.no_grad():
        made.weights.copy_(torch.randn(len(made.weights)))  # type: ignore[attr-defined]
        expected = [frames.mean(dim=0) for frames in made(batch, expert(batch))]  # type: ignore[operator]
        for _ in range(2):
            paired, hidden, counts = stored(batch)
            found = made(paired, hidden)  # type: ignore[operator]
            assert [len(frames) for frames in found] == counts == [1] * len(batch)
            for one, other in zip(found, expected, strict=True):
                torch.testing.assert_close(one[0], other, rtol=1e-5, atol=1e-6)


def test_half_precision_rounds_stored_and_new_items_alike() -> None:
    expert = student()
    stored = source(expert, Choice("memory", "frames", "fp16"))
    _, first, _ = stored(waves())
    _, second, _ = stored(waves())
    assert all(
        torch.equal(one, other)
        for one, other in zip(first["hidden_states"], second["hidden_states"], strict=True)
    )


def test_an_upstream_that_depends_on_the_batch_gives_what_it_gives_alone() -> None:
    expert = student("released")
    stored = source(expert, Choice("memory", "frames", "fp32"))
    _, hidden, counts = stored(waves())
    with torch.no_grad():
        for index, wav in enumerate(waves()):
            alone = expert([wav])["hidden_states"]
            assert counts[index] == alone[0].shape[1]
            for layer, state in enumerate(alone):
                assert torch.equal(hidden["hidden_states"][layer][index, : counts[index]], state[0])


def test_random_crops_are_not_stored() -> None:
    stored = source(student(), Choice("memory", "pooled", "fp32"), seldom=True)
    always, drawn = waves()[0], torch.Generator().manual_seed(1)
    for _ in range(3):
        stored([always, 0.1 * torch.randn(8000, generator=drawn)])
    assert stored.store.written == 1
    assert (stored.store.hits, stored.store.misses) == (1, 5)


def test_what_auto_means() -> None:
    auto = Settings("auto")
    assert choose(auto, True, True, 10_000) == Choice("disk", "pooled", "fp32")
    assert choose(auto, False, True, 10_000).mode == "off"
    assert choose(auto, False, True, 60) == Choice("memory", "frames", "fp32")
    assert choose(auto, True, False, 60).mode == "off"
    assert choose(Settings("memory"), False, True, 10_000) == Choice("memory", "frames", "fp16")
    assert choose(Settings("disk"), True, False, 10_000) == Choice("disk", "pooled", "fp32")
    assert deviations(Choice("disk", "pooled", "fp32"), batch_free=True) == ()
    assert "gets alone" in deviations(Choice("disk", "pooled", "fp32"), batch_free=False)[0]
    assert "rounded to fp16" in deviations(Choice("disk", "frames", "fp16"), batch_free=True)[0]
    with pytest.raises(UsageError, match="--features 'sometimes'"):
        Settings("sometimes")  # type: ignore[arg-type]


def test_a_run_with_stored_features_has_the_numbers_of_one_without(corpus: Path, tmp_path: Path) -> None:
    settings = [Settings("off"), Settings("memory", "fp32"), Settings("disk", "fp32")]
    plans = [
        noise.tiny_plan(corpus, tmp_path / one.mode, upstream="tiny_student", features=one)
        for one in settings
    ]
    results = [run(plan) for plan in plans]
    metrics = [(run_dir(plan) / "metrics.jsonl").read_text() for plan in plans]
    assert metrics[0] == metrics[1] == metrics[2]
    assert results[1].config["features"] == {"kind": "frames", "precision": "fp32"}
    assert results[0].deviations == results[1].deviations
    lines = [json.loads(line) for line in (run_dir(plans[2]) / "events.jsonl").read_text().splitlines()]
    said = next(line for line in lines if line["event"] == "features")
    assert (said["computed"], said["stored"], said["full"]) == (16, 16, False)
    assert said["used_again"] > 16
