"""Runs whose numbers are not finite, do not fit in memory, or are of another precision."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import noise
import pytest
import soundfile
import toy
from session_runs import SHORT, events, fail_at, plan

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import checkpoints, components, optimization, run, run_dir, train
from reports.columns import COLUMNS
from reports.ours import gather
from reports.tables import blocks
from upstream_arm.common.errors import Diverged, RunFailed, UsageError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy.register()
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def spoil_loss(monkeypatch: pytest.MonkeyPatch, spoil: Any) -> None:
    import s3prl.downstream.asr.expert as asr

    real = asr.DownstreamExpert.forward
    monkeypatch.setattr(asr.DownstreamExpert, "forward", lambda *args, **kwargs: spoil(real(*args, **kwargs)))


def test_a_loss_that_is_not_finite_stops_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spoil_loss(monkeypatch, lambda loss: loss * float("inf"))
    with pytest.raises(RunFailed, match=r"the loss is inf at step 1 \(utterances 1-9-000\d, "):
        run(plan(corpus, tmp_path))


def test_steps_without_a_gradient_are_skipped_and_counted_across_a_kill(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = plan(corpus, tmp_path / "whole", runner={"total_steps": 6})
    undo = toy.spoil({1: math.nan, 3: math.nan, 5: math.nan})
    run(whole)
    undo()
    killed = plan(corpus, tmp_path / "killed", runner={"total_steps": 6})
    with monkeypatch.context() as patch:
        undo = toy.spoil({1: math.nan, 3: math.nan})
        fail_at(patch, train.Trainer, "update", 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(killed)
        undo()
    undo = toy.spoil({2: math.nan})  # the fifth batch of all
    result = run(killed)
    undo()
    (skipped,) = (metric for metric in result.metrics if metric.name == "skipped_steps")
    assert (skipped.counts, skipped.role) == ({"skipped": 3, "steps": 6}, "information")
    for name in ("metrics.jsonl", "dev-clean-best.ckpt"):
        assert (run_dir(whole) / name).read_bytes() == (run_dir(killed) / name).read_bytes()
    assert [line["step"] for line in events(run_dir(killed), "step_skipped")] == [1, 3, 5]
    notes = blocks.notes(gather([tmp_path / "killed"]).systems, COLUMNS)
    assert any("(asr): 3 of 6 steps had no gradient" in note for note in notes)


def test_steps_without_a_gradient_one_after_another_stop_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after s3prl's zero_infinity, which may hide a NaN from the loss and not from the gradient."""
    monkeypatch.setattr(optimization, "SKIPPED_IN_A_ROW", 2)
    undo = toy.spoil(dict.fromkeys(range(1, 9), math.nan))
    wanted = plan(corpus, tmp_path, runner={"gradient_accumulate_steps": 2})
    with pytest.raises(Diverged, match="the gradient of 2 steps one after another is nan at step 2"):
        run(wanted)
    undo()
    # Both batches of the step are named.
    assert len(events(run_dir(wanted), "not_finite")[0]["utterances"]) >= 6


@pytest.mark.parametrize(("total", "every", "evaluated"), [(5, 2, {2, 4}), (4, 2, {2, 4}), (3, 5, {3})])
def test_evaluations_are_where_stock_has_them(
    total: int, every: int, evaluated: set[int], corpus: Path, tmp_path: Path
) -> None:
    wanted = plan(corpus, tmp_path, runner={"total_steps": total, "eval_step": every, "save_step": 99})
    result = run(wanted)
    lines = [json.loads(line) for line in (run_dir(wanted) / "metrics.jsonl").read_text().splitlines()]
    assert {line["step"] for line in lines if line["split"] == "dev-clean"} == evaluated
    said = [sentence for sentence in result.deviations if "evaluated at the last step" in sentence]
    assert len(said) == (total < every)
    assert result.steps == total and (run_dir(wanted) / "checkpoints" / f"step-{total:08d}.pt").is_file()


@pytest.mark.parametrize("name", tasks.names())
def test_every_recipe_is_evaluated_at_its_last_step(name: str) -> None:
    for recipe in tasks.get(name).recipes.values():
        runner = recipe.config.get("runner") or {"total_steps": 0, "eval_step": 1}
        assert runner["total_steps"] % runner["eval_step"] == 0


def test_what_s3prl_logs_of_a_training_is_of_all_batches_across_a_kill(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3prl.downstream.asr.expert as asr

    logged: list[tuple[int, list[int], int]] = []
    real = asr.DownstreamExpert.log_records

    def log_records(expert: Any, split: str, **given: Any) -> Any:
        if split == "train":
            logged.append((given["global_step"], list(given["batch_ids"]), len(given["records"]["loss"])))
        return real(expert, split, **given)

    monkeypatch.setattr(asr.DownstreamExpert, "log_records", log_records)
    run(plan(corpus, tmp_path / "whole", runner={"log_step": 4}))
    killed = plan(corpus, tmp_path / "killed", runner={"log_step": 4})
    with monkeypatch.context() as patch:
        fail_at(patch, train.Trainer, "update", 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(killed)
    run(killed)
    first, again = logged
    assert first == again
    assert first[0] == 4 and len(first[1]) == first[2] == 4


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_scores_that_are_not_finite_are_refused(
    value: float, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They have an argmax, class 0."""
    import s3prl.downstream.asr.expert as asr

    real = asr.DownstreamExpert.forward

    def forward(expert: Any, split: str, *arguments: Any, **options: Any) -> Any:
        if split == "dev-clean":
            next(expert.model.parameters()).data.fill_(value)
        return real(expert, split, *arguments, **options)

    monkeypatch.setattr(asr.DownstreamExpert, "forward", forward)
    with pytest.raises(Diverged, match=r"scores for 2-9-000\d .* evaluation of dev-clean at step 2"):
        run(plan(corpus, tmp_path))


@pytest.mark.parametrize("features", [FeatureOptions("off"), FeatureOptions("memory", "fp32")])
@pytest.mark.parametrize("split", ["train", "dev-clean"])
def test_features_that_are_not_finite_are_refused(
    split: str, features: FeatureOptions, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    chapter = "1" if split == "train" else "2"
    path = next((corpus / ("train-clean-100" if split == "train" else split)).rglob(f"{chapter}-9-0001.flac"))
    samples = len(soundfile.read(path)[0])
    real = toy.Toy.forward

    def forward(upstream: Any, wavs: Any) -> Any:
        found = real(upstream, wavs)
        for row, wav in enumerate(wavs):
            if len(wav) == samples and upstream.spoiled:
                found["hidden_states"][0][row, 3, 3] = math.nan
        return found

    monkeypatch.setattr(toy.Toy, "forward", forward)
    monkeypatch.setattr(toy.Toy, "spoiled", True, raising=False)
    # The corpus has a file of that length in each split: only that of this one is spoiled.
    if split != "train":
        real_backward = train.Trainer._backward

        def whole(trainer: Any, *arguments: Any, **options: Any) -> Any:
            monkeypatch.setattr(toy.Toy, "spoiled", False)
            try:
                return real_backward(trainer, *arguments, **options)
            finally:
                monkeypatch.setattr(toy.Toy, "spoiled", True)

        monkeypatch.setattr(train.Trainer, "_backward", whole)
    with pytest.raises(RunFailed, match=rf"features of {chapter}-9-0001 in {split} are not finite"):
        run(plan(corpus, tmp_path, features=features, runner={"eval_step": 4}))


def test_a_batch_that_does_not_fit_is_halved(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    config = noise.tiny_config(**SHORT)
    del config["specaug"]
    config["downstream_expert"]["modelrc"]["RNNs"]["dropout"] = [0.0]
    whole = run(plan(corpus, tmp_path / "whole", config=config))
    wanted = plan(corpus, tmp_path / "halved", config=config)
    real = components.Components.features

    def small_memory(self: Any, wavs: Any) -> Any:
        if len(wavs) > 2:
            raise torch.OutOfMemoryError("out of memory")
        return real(self, wavs)

    with monkeypatch.context() as patch:
        patch.setattr(components.Components, "features", small_memory)
        halved = run(wanted)
    assert "batches that did not fit in memory were computed in two halves" in halved.deviations
    assert len(events(run_dir(wanted), "out_of_memory")) > 0
    assert whole.deviations == halved.deviations[:-1]
    folders = [run_dir(plan(corpus, tmp_path / name, config=config)) for name in ("whole", "halved")]
    ends = [checkpoints.read_tensors(folder / "checkpoints" / "step-00000004.pt") for folder in folders]
    for name, tensor in ends[0]["trained"]["Downstream"].items():
        assert torch.allclose(tensor, ends[1]["trained"]["Downstream"][name], atol=1e-4), name


def test_memory_that_is_too_small_for_accumulation_stops_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    fail_at(monkeypatch, train.Trainer, "_backward", 2, torch.OutOfMemoryError("out of memory"))
    with pytest.raises(RunFailed, match=r"out of memory at step 1 with \d utterances"):
        run(plan(corpus, tmp_path, runner={"gradient_accumulate_steps": 2}))


def test_mixed_precision_is_refused_where_torch_would_stay_with_fp32(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.devices, "casts", lambda device, dtype: False)
    with pytest.raises(UsageError, match=r"torch computes nothing in bf16 on cpu, .* leave --precision out"):
        run(plan(corpus, tmp_path, precision="bf16"))


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_a_cpu_run_takes_the_precisions_of_its_autocast(precision: str, corpus: Path, tmp_path: Path) -> None:
    assert run(plan(corpus, tmp_path, precision=precision, device="cpu")).steps == 4


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_a_gpu_run_finishes_and_resumes(
    precision: str, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    if not torch.accelerator.is_available():
        pytest.skip("needs an accelerator")
    wanted = plan(corpus, tmp_path, precision=precision, device="auto")
    with monkeypatch.context() as patch:
        fail_at(patch, train.Trainer, "update", 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    assert run(wanted).steps == 4
