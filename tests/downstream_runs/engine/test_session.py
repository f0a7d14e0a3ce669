"""A run as its user meets it: results, refusals, and what happens when something breaks."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import math
import os
import signal
from pathlib import Path
from typing import Any

import noise
import pytest
import soundfile
import toy

from downstream_runs import tasks
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import checkpoints, components, optimization, run, run_dir, session, train
from reports.columns import COLUMNS
from reports.ours import gather
from reports.tables import blocks
from upstream_arm.common import lock, stages
from upstream_arm.common.errors import Diverged, RunFailed, UsageError

SHORT = {"total_steps": 4, "eval_step": 2, "save_step": 1, "gradient_accumulate_steps": 1, "log_step": 2}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy.register()
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def plan(corpus: Path, out: Path, **changes: Any) -> Any:
    runner = {**SHORT, **changes.pop("runner", {})}
    return noise.tiny_plan(corpus, out, upstream=changes.pop("upstream", "toy"), runner=runner, **changes)


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, error: BaseException) -> None:
    """The `call`-th call of `owner.name` raises `error`."""
    real, calls = getattr(owner, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)


def test_every_part_of_a_start_and_of_a_resume_is_spoken_of(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Where they take their time, which is everywhere with no time allowed."""
    monkeypatch.setattr(stages, "SECONDS", 0.0)
    wanted = plan(corpus, tmp_path, runner={"total_steps": 1, "eval_step": 1})
    fail_at(monkeypatch, train.Trainer, "save", 1, KeyboardInterrupt())
    for attempt in range(2):
        with pytest.raises(KeyboardInterrupt) if attempt == 0 else contextlib.nullcontext():
            run(wanted)
        said = [line[:-4] for line in capfd.readouterr().err.splitlines() if line.endswith(" ...")]
        assert said == [
            "listing LibriSpeech",
            "checking LibriSpeech",
            "preparing LibriSpeech",
            "hashing a sample of the audio",
            "loading the upstream and s3prl's lists",
            "loading the train set",
        ]


def test_a_run_says_what_it_was(corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    wanted = plan(corpus, tmp_path, command=("python", "-m", "x"), overrides={"optimizer.lr": 1e-3})
    result = run(wanted)
    folder = run_dir(wanted)
    assert result.labels == ("demo", "shortened", "untrained")
    headline = result.headline("wer")
    assert headline is not None
    assert (headline.split, headline.counts["utterances"]) == ("test-clean", 3)
    # Noise: 100 % at both evaluations, and the earlier stays.
    assert headline.selection == "lowest wer on dev-clean: step 2 of 4"
    assert result.deviations[0] == "optimizer.lr is 0.001, the recipe has 0.01"
    assert "would have had none to test" in result.deviations[1]
    assert result.command == ("python", "-m", "x")
    assert (result.steps, result.seed, result.device) == (4, 1337, "cpu")
    assert result.corpus.counts == {"train": 10, "dev-clean": 3, "test-clean": 3}
    assert set(result.artefacts) == {
        "dev-clean-best.ckpt",
        "test-clean-noLM-hyp.ark",
        "test-clean-noLM-ref.ark",
        "metrics.jsonl",
        "items.csv",
    }
    items = list(csv.DictReader((folder / "items.csv").read_text().splitlines()))
    words = [item for item in items if item["metric"] == "wer"]
    assert [item["item"] for item in words] == ["3-9-0000", "3-9-0001", "3-9-0002"]
    assert {item["group"] for item in words} == {"3"}
    assert sum(float(item["numerator"]) for item in words) == headline.counts["errors"]
    assert sum(float(item["denominator"]) for item in words) == headline.counts["length"]
    metrics = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert all(line["labels"] == list(result.labels) for line in metrics)
    weights = [line["layer_weights"] for line in metrics if line["split"] == "dev-clean"]
    assert all(len(layers) == 3 and abs(sum(layers) - 1) < 1e-6 for layers in weights)
    shown = capfd.readouterr()
    assert "wer:" not in shown.out + shown.err
    assert "[demo, shortened, untrained] train" in shown.err


def test_a_finished_run_is_handed_back(corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted = plan(corpus, tmp_path)
    first = run(wanted)
    with monkeypatch.context() as patch:
        patch.setattr(session, "_train_and_test", None)
        assert run(wanted) == first
        assert run(wanted, rerun="never") == first
    again = run(wanted, rerun="always")
    assert again.metrics == first.metrics
    assert again.created >= first.created
    with pytest.raises(UsageError, match="--rerun 'twice'"):
        run(wanted, rerun="twice")


def test_an_unfinished_run_is_left_alone_by_never(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(corpus, tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, train.Trainer, "update", 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    with pytest.raises(UsageError, match="unfinished run; --rerun missing"):
        run(wanted, rerun="never")


def test_a_run_on_changed_data_is_refused(tmp_path: Path) -> None:
    toy.register()
    own = noise.make_corpus(tmp_path)
    wanted = plan(own, tmp_path / "runs")
    run(wanted)
    transcript = own / "test-clean" / "3" / "9" / "3-9.trans.txt"
    transcript.write_text(transcript.read_text().replace("ONE", "SIX"))
    with pytest.raises(UsageError, match="other data_sha256"):
        run(wanted)


def test_a_second_run_in_the_same_place_is_refused(corpus: Path, tmp_path: Path) -> None:
    wanted = plan(corpus, tmp_path)
    folder = run_dir(wanted).resolve()
    folder.mkdir(parents=True)
    with lock.hold(folder), pytest.raises(UsageError, match=f"in use by process {os.getpid()} on host"):
        run(wanted)


def test_the_lock_of_a_dead_process_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lock, "ORPHAN_SECONDS", 0.5)
    monkeypatch.setattr(lock, "is_dead", lambda holder: True)
    with lock.hold(tmp_path), pytest.raises(UsageError, match="in use"), lock.hold(tmp_path):
        pass
    with lock.hold(tmp_path):
        pass


@pytest.mark.parametrize(
    ("stop", "raised"),
    [
        (lambda *args: signal.raise_signal(signal.SIGTERM), SystemExit),
        (lambda *args: signal.raise_signal(signal.SIGINT), KeyboardInterrupt),
    ],
)
def test_a_stopped_run_goes_on(
    stop: Any, raised: Any, corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(corpus, tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "log", stop)
        with pytest.raises(raised):
            run(wanted)
    assert signal.getsignal(signal.SIGTERM) is before
    assert not list(tmp_path.rglob("*.tmp"))
    result = run(wanted)
    assert result.steps == 4
    assert [event["step"] for event in events(run_dir(wanted), "resume")] == [1]


def test_a_damaged_checkpoint_falls_back(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    wanted = plan(corpus, tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, train.Trainer, "update", 4, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    newest = run_dir(wanted) / "checkpoints" / "step-00000003.pt"
    newest.write_bytes(newest.read_bytes()[:-100])
    run(wanted)
    assert "step-00000003.pt is damaged" in capfd.readouterr().err
    assert len(events(run_dir(wanted), "damaged_checkpoint")) == 1
    assert [event["step"] for event in events(run_dir(wanted), "resume")] == [2]
    calm = plan(corpus, tmp_path / "calm")
    run(calm)
    assert (run_dir(calm) / "metrics.jsonl").read_bytes() == (run_dir(wanted) / "metrics.jsonl").read_bytes()


def test_a_full_disk_leaves_the_last_checkpoint(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(corpus, tmp_path)
    full = OSError(errno.ENOSPC, "No space left on device", "step-00000002.pt")
    with monkeypatch.context() as patch:
        # Per step one checkpoint; the second write of step 2 follows the best weights.
        fail_at(patch, checkpoints, "atomic_write_bytes", 3, full)
        with pytest.raises(RunFailed, match="is full; the last checkpoint is whole"):
            run(wanted)
    assert checkpoints.read_tensors(run_dir(wanted) / "checkpoints" / "step-00000001.pt")["step"] == 1
    assert run(wanted).steps == 4


def test_a_place_that_cannot_be_written_is_named(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UsageError, match=r"cannot use .*file.*; change its permissions or give another --out"
    ):
        run(plan(corpus, tmp_path / "file" / "runs"))


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


def test_two_scorers_that_disagree_stop_the_run(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(components.ScalarLog, "add_scalar", lambda self, name, value, global_step: None)
    with pytest.raises(RunFailed, match=r"our wer of dev-clean is 100\.0, s3prl's asr/dev-clean-wer is nan"):
        run(plan(corpus, tmp_path))


def test_an_epoch_without_a_batch_is_an_error_not_a_loop(tmp_path: Path) -> None:
    toy.register()
    one = noise.make_corpus(tmp_path, splits={"train-clean-100": 1, "dev-clean": 2, "test-clean": 2})
    with pytest.raises(UsageError, match="s3prl cannot make batches of split train"):
        run(plan(one, tmp_path / "runs"))


def test_a_lost_utterance_is_said(tmp_path: Path) -> None:
    toy.register()
    seven = noise.make_corpus(tmp_path, splits={"train-clean-100": 7, "dev-clean": 2, "test-clean": 2})
    result = run(plan(seven, tmp_path / "runs"))
    assert any("1 of 7 training utterances are not used" in sentence for sentence in result.deviations)


def test_loading_processes_change_nothing(corpus: Path, tmp_path: Path) -> None:
    folders = []
    for workers in (0, 1):
        wanted = plan(
            corpus, tmp_path / str(workers), overrides={"downstream_expert.datarc.num_workers": workers}
        )
        run(wanted)
        folders.append(run_dir(wanted))
    lines = [(folder / "metrics.jsonl").read_bytes() for folder in folders]
    assert lines[0] == lines[1]


@pytest.mark.parametrize(
    ("upstream", "says"),
    [
        ("fbnk", "did you mean 'fbank'"),
        ("hubert_local", "hubert_local without a ckpt could not be built"),
    ],
)
def test_an_unknown_or_broken_upstream_is_named(
    upstream: str, says: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=says):
        run(plan(corpus, tmp_path, upstream=upstream))


def test_other_upstream_weights_are_not_mixed(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = plan(corpus, tmp_path)
    with monkeypatch.context() as patch:
        fail_at(patch, train.Trainer, "update", 3, KeyboardInterrupt())
        with pytest.raises(KeyboardInterrupt):
            run(wanted)
    monkeypatch.setattr(components, "seed_everything", lambda seed: None)
    with pytest.raises(UsageError, match="the upstream has other weights"):
        run(wanted)
