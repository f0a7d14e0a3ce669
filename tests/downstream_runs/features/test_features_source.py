"""Stored features against those of every pass: the same numbers."""

from __future__ import annotations

import copy
import itertools
import json
from pathlib import Path

import noise
import pytest
import small_student
import torch

from downstream_runs import bridge
from downstream_runs.cli import main as cli
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import run, run_dir
from downstream_runs.engine.trained_run import TrainedRun
from downstream_runs.features import weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import FeatureExtractor
from downstream_runs.features.items import CachedWaveform, digest
from downstream_runs.features.options import StoredKind, choose, deviations
from downstream_runs.runs import status
from upstream_arm.common.errors import RunFailed
from upstream_arm.expert import UpstreamExpert

student = small_student.build


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small_student.register()
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


def taken(made: object) -> object:
    """A copy that sums what is stored, with the same weights."""
    other = copy.copy(made)
    weighting.take_over(other)
    return other


def source(
    expert: torch.nn.Module, choice: StoredKind, folder: Path | None = None, seldom: bool = False
) -> FeatureExtractor:
    cache = FeatureCache(folder, f"someone {choice}")
    return FeatureExtractor(expert, choice, cache, featurizer(expert), seldom)


CPU = torch.device("cpu")


def close(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    assert [one.shape for one in found] == [one.shape for one in expected]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("where", ["memory", "disk"])
@pytest.mark.parametrize("subset", [(0, 1, 2, 3), (0,), (2, 0)])
def test_stored_frames_are_those_of_the_upstream(subset: tuple[int, ...], where: str, tmp_path: Path) -> None:
    expert = student()
    made = featurizer(expert)
    batch = [waves()[index] for index in subset]
    mode = StoredKind("disk", "frames", "fp32")
    stored = source(expert, mode, tmp_path if where == "disk" else None)
    weights = made.weights  # type: ignore[attr-defined]
    with torch.no_grad():
        weights.copy_(torch.randn(len(weights)))
    expected = made(batch, expert(batch))  # type: ignore[operator]
    direction = [torch.randn(frames.shape) for frames in expected]

    def gradient(features: list[torch.Tensor]) -> torch.Tensor:
        weights.grad = None
        sum((one * other).sum() for one, other in zip(features, direction, strict=True)).backward()  # type: ignore[union-attr]
        return torch.as_tensor(weights.grad).clone()

    wanted = gradient(expected)
    for _ in range(2):
        found = stored.features(taken(made), batch, CPU)
        close(found, expected)
        torch.testing.assert_close(gradient(found), wanted, rtol=1e-4, atol=1e-4)
    assert (stored.cache.hits, stored.cache.misses) == (len(subset), len(subset))


@pytest.mark.parametrize("subset", [(0, 1, 2, 3), (0,), (2, 0)])
def test_pooled_items_are_means_over_what_the_featurizer_keeps(subset: tuple[int, ...]) -> None:
    expert = student()
    made = featurizer(expert)
    batch = [waves()[index] for index in subset]
    stored = source(expert, StoredKind("memory", "pooled", "fp32"))
    with torch.no_grad():
        made.weights.copy_(torch.randn(len(made.weights)))  # type: ignore[attr-defined]
        expected = [frames.mean(dim=0, keepdim=True) for frames in made(batch, expert(batch))]  # type: ignore[operator]
        for _ in range(2):
            close(stored.features(taken(made), batch, CPU), expected)


def test_without_weights_there_is_one_layer_and_no_other_is_taken() -> None:
    frames = torch.randn(2, 5, 3)
    assert torch.equal(weighting.sum_frames(None, frames[1:]), frames[1])
    assert torch.equal(weighting.sum_pooled(None, frames[:, :1]), frames[:, 0])
    with pytest.raises(ValueError, match="unpack"):
        weighting.sum_frames(None, frames)
    with pytest.raises(ValueError, match="unpack"):
        weighting.sum_pooled(None, frames)


def test_half_precision_rounds_stored_and_new_items_alike() -> None:
    expert = student()
    made, stored = featurizer(expert), source(expert, StoredKind("memory", "frames", "fp16"))
    first, second = (stored.features(taken(made), waves(), CPU) for _ in range(2))
    assert all(torch.equal(one, other) for one, other in zip(first, second, strict=True))


class Scaled(torch.nn.Module):
    """The small student with features `scale` times as large."""

    switches = {"batching": "exact"}  # noqa: RUF012

    def __init__(self, scale: float) -> None:
        super().__init__()
        self.student, self.scale = student(), scale

    def get_downsample_rates(self, key: str) -> int:
        return self.student.get_downsample_rates(key)

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
        states = self.student(wavs)["hidden_states"]
        return {"hidden_states": [self.scale * state for state in states]}


# The student's features are at most 4; bf16 has fp32's range but for the last 0.4 %.
@pytest.mark.parametrize(
    ("precision", "scale", "kept"),
    [
        ("fp16", 1.0, True),
        ("fp16", 1e5, False),
        ("fp16", 1e-4, False),
        ("bf16", 1e5, True),
        ("bf16", 1e-4, True),
        ("bf16", 3.4e38, False),
    ],
)
@pytest.mark.parametrize("where", ["memory", "disk"])
@torch.no_grad()
def test_frames_that_a_precision_does_not_hold_stay_in_fp32(
    precision: str, scale: float, kept: bool, where: str, tmp_path: Path
) -> None:
    expert, wav = Scaled(scale), waves()[0]
    if scale > 1e38:  # as large as fp32 allows
        expert.scale = scale / max(float(state.abs().max()) for state in student()([wav])["hidden_states"])
    folder = tmp_path if where == "disk" else None
    stored = source(expert, StoredKind("disk", "frames", precision), folder)  # type: ignore[arg-type]
    told: list[bool] = []
    stored.on_widened = lambda: told.append(True)
    exact = torch.stack([state[0] for state in expert([wav])["hidden_states"]])
    for _ in range(2):
        item = stored.item(wav, CPU)["frames"]
        assert item.dtype != torch.float32 if kept else torch.equal(item, exact)
        assert item.isfinite().all()
    assert (stored.widened, told) == ((0, []) if kept else (2, [True]))


@torch.no_grad()
def test_pooled_items_are_of_fp32_whatever_their_size() -> None:
    for scale in (1e-4, 1e5):
        expert = Scaled(scale)
        item = source(expert, StoredKind("memory", "pooled", "fp32")).item(waves()[0], CPU)
        frames = torch.stack([state[0] for state in expert([waves()[0]])["hidden_states"]])
        torch.testing.assert_close(item["sum"], frames.sum(dim=1), rtol=1e-4, atol=1e-5 * scale)


@pytest.mark.parametrize("kind", ["frames", "pooled"])
def test_features_that_are_not_finite_are_never_stored(kind: str) -> None:
    precision = "fp16" if kind == "frames" else "fp32"
    for scale in (float("nan"), float("inf"), 3e38):
        stored = source(Scaled(scale), StoredKind("memory", kind, precision))  # type: ignore[arg-type]
        stored.item(waves()[0], CPU)
        assert (stored.cache.written, stored.widened) == (0, 0)


@torch.no_grad()
def test_what_is_stored_is_what_the_upstream_gives_under_the_autocast_of_the_step(tmp_path: Path) -> None:
    """As with the store off: training runs under the autocast of --precision, an evaluation does not."""
    expert = student()
    made, stored = featurizer(expert), source(expert, StoredKind("disk", "frames", "fp32"), tmp_path)
    for wav in waves():
        found = {}
        for cast in (None, torch.bfloat16, torch.float16):
            with torch.autocast("cpu", cast, enabled=cast is not None):
                (off,) = made([wav], expert([wav]))  # type: ignore[operator]
                for _ in range(2):
                    (found[cast],) = stored.features(taken(made), [wav], CPU)
                    torch.testing.assert_close(found[cast], off, rtol=1e-6, atol=1e-6)
        assert 0 < (found[None] - found[torch.bfloat16]).abs().max() < 0.05
        assert not torch.equal(found[torch.float16], found[torch.bfloat16])
    assert (stored.cache.hits, stored.cache.misses) == (12, 12)


def test_an_upstream_that_depends_on_the_batch_gives_what_it_gives_alone() -> None:
    expert = student("released")
    made, stored = featurizer(expert), source(expert, StoredKind("memory", "frames", "fp32"))
    found = stored.features(taken(made), waves(), CPU)
    with torch.no_grad():
        close(found, [made([wav], expert([wav]))[0] for wav in waves()])  # type: ignore[operator]


class OneLayer(Scaled):
    """Gives a tensor itself instead of a list of layers."""

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"hidden_states": super().forward(wavs)["hidden_states"][-1]}


@torch.no_grad()
def test_an_upstream_of_one_layer() -> None:
    expert = OneLayer(1.0)
    made = featurizer(expert)  # type: ignore[arg-type]
    for kind in ("frames", "pooled"):
        stored = source(expert, StoredKind("memory", kind, "fp32"))  # type: ignore[arg-type]
        expected = made(waves(), expert(waves()))  # type: ignore[operator]
        if kind == "pooled":
            expected = [frames.mean(dim=0, keepdim=True) for frames in expected]
        close(stored.features(taken(made), waves(), CPU), expected)


def test_random_crops_are_not_stored() -> None:
    expert = student()
    made, stored = featurizer(expert), source(expert, StoredKind("memory", "pooled", "fp32"), seldom=True)
    wave, drawn = waves()[0], torch.Generator().manual_seed(1)
    always = CachedWaveform(digest(wave), len(wave), lambda: wave)
    for _ in range(3):
        stored.features(taken(made), [always, 0.1 * torch.randn(8000, generator=drawn)], CPU)
    assert stored.cache.written == 1
    assert (stored.cache.hits, stored.cache.misses) == (2, 4)


def test_what_auto_means() -> None:
    auto = FeatureOptions("auto")
    assert choose(auto, True, True, 10_000) == StoredKind("disk", "pooled", "fp32")
    assert choose(auto, False, True, 10_000).mode == "off"
    assert choose(auto, False, True, 60) == StoredKind("memory", "frames", "fp32")
    assert choose(auto, False, True, 500).mode == "memory"
    assert choose(auto, False, True, 501).mode == "off"
    assert choose(auto, True, False, 60).mode == "off"
    assert choose(FeatureOptions("memory"), False, True, 10_000) == StoredKind("memory", "frames", "fp16")
    assert choose(FeatureOptions("disk"), True, False, 10_000) == StoredKind("disk", "pooled", "fp32")
    assert deviations(StoredKind("disk", "pooled", "fp32"), batch_free=True) == ()
    assert "gets alone" in deviations(StoredKind("disk", "pooled", "fp32"), batch_free=False)[0]
    assert "rounded to fp16" in deviations(StoredKind("disk", "frames", "fp16"), batch_free=True)[0]


def test_a_run_with_stored_features_has_the_numbers_of_one_without(corpus: Path, tmp_path: Path) -> None:
    settings = [FeatureOptions("off"), FeatureOptions("memory", "fp32"), FeatureOptions("disk", "fp32")]
    plans = [
        noise.tiny_plan(corpus, tmp_path / one.mode, upstream="small_student", features=one)
        for one in settings
    ]
    results = [run(plan) for plan in plans]
    metrics = [(run_dir(plan) / "metrics.jsonl").read_text() for plan in plans]
    assert metrics[1] == metrics[2]
    for one, other in zip(*(_numbers(text) for text in metrics[:2]), strict=True):
        assert one == pytest.approx(other, rel=1e-4, abs=1e-6)
    assert results[1].config["features"] == {"kind": "frames", "precision": "fp32"}
    assert results[0].deviations == results[1].deviations
    lines = [json.loads(line) for line in (run_dir(plans[2]) / "events.jsonl").read_text().splitlines()]
    said = next(line for line in lines if line["event"] == "features")
    assert (said["computed"], said["stored"], said["full"]) == (16, 16, False)
    assert said["used_again"] > 16


def test_a_test_evaluation_that_was_killed_computes_no_features_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = noise.tiny_plan(
        corpus, tmp_path, upstream="small_student", features=FeatureOptions("disk", "fp32")
    )
    real = TrainedRun.bar

    def stopped(self: TrainedRun, items: object, *, desc: str, total: int, **more: int) -> object:
        shown = real(self, items, desc=desc, total=total, **more)
        return itertools.islice(shown, 2) if desc == "test-clean" else shown

    with monkeypatch.context() as patch:
        patch.setattr(TrainedRun, "bar", stopped)
        with pytest.raises(RunFailed, match="2 of 3 utterances of test-clean"):
            run(plan)
    run(plan)
    lines = [json.loads(line) for line in (run_dir(plan) / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines].count("resume") == 1
    said = next(line for line in lines if line["event"] == "features")
    assert (said["computed"], said["used_again"]) == (0, 3)


def _numbers(metrics: str) -> list[float]:
    """Every scalar of every line, in order."""
    return [value for line in metrics.splitlines() for value in json.loads(line)["scalars"].values()]


@pytest.mark.parametrize(("scale", "fits"), [(1.0, True), (1e5, False)])
def test_a_run_says_what_precision_its_features_have(
    scale: float, fits: bool, corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import s3prl.hub

    s3prl.hub.scaled = lambda **kwargs: Scaled(scale).eval()
    plan = noise.tiny_plan(corpus, tmp_path, upstream="scaled", features=FeatureOptions("disk", "fp16"))
    result = run(plan)
    said = [sentence for sentence in result.deviations if "fp16" in sentence]
    assert len(said) == 1 and ("stay in fp32" in said[0]) == (not fits)
    assert ("stored in fp32" in capfd.readouterr().err) == (not fits)
    lines = [json.loads(line) for line in (run_dir(plan) / "events.jsonl").read_text().splitlines()]
    assert sum(line["event"] == "features_in_fp32" for line in lines) == (not fits)
    assert (next(line["in_fp32"] for line in lines if line["event"] == "features") > 0) == (not fits)


def test_a_full_store_is_said_once_and_shown_by_status(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    plan = noise.tiny_plan(corpus, tmp_path, upstream="fbank", features=FeatureOptions("disk", limit=200_000))
    run(plan)
    err = capfd.readouterr().err
    assert err.count("features is full at 0.0 GB") == 1
    assert err.count("what a run meets most often is stored first (train") == 1
    assert cli.main(["status", "--out", str(tmp_path)]) == 0
    run_name = run_dir(plan).relative_to(tmp_path)
    assert f"{run_name}: the store of features is full at 0.0 GB" in capfd.readouterr().out
    # A process that did not meet it since: with more room.
    with (run_dir(plan) / "events.jsonl").open("a") as journal:
        journal.write('{"event": "resume", "step": 0}\n')
    assert status.of_run(run_dir(plan)).full == ""


def test_upstreams_without_weights_do_not_share_items(corpus: Path, tmp_path: Path) -> None:
    for name in ("fbank", "mfcc"):
        stored = noise.tiny_plan(
            corpus, tmp_path / "one", upstream=name, features=FeatureOptions("disk", "fp32")
        )
        alone = noise.tiny_plan(
            corpus, tmp_path / name, upstream=name, features=FeatureOptions("disk", "fp32")
        )
        assert run(stored).metrics == run(alone).metrics
