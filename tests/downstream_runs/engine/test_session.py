"""A run as its user meets it: results, refusals, and what happens when something breaks."""

from __future__ import annotations

import contextlib
import csv
import errno
import json
import os
import signal
from pathlib import Path
from typing import Any

import noise
import pytest
import toy
from session_runs import events, fail_at, plan

from downstream_runs.engine import checkpoints, components, run, run_dir, session, train
from upstream_arm.common import lock, stages
from upstream_arm.common.errors import RunFailed, UsageError


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy.register()
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


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
    same = {"downstream_expert.datarc.eval_batch_size": 1}  # as the recipe has it: no deviation
    overrides = {"optimizer.lr": 1e-3, **same}
    wanted = plan(corpus, tmp_path, command=("python", "-m", "x"), overrides=overrides)
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
