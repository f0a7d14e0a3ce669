"""Training on several processes: the gradients, kills, refusals, and what the result says of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import noise
import pytest
import scripts
from test_kill import check_equal

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.engine import distributed, result_builder, run, run_dir, session
from upstream_arm.common.errors import RunFailed, UsageError

CHECKOUT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


@pytest.fixture(scope="module")
def trained(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What `ranks.py` leaves."""
    out = tmp_path_factory.mktemp("ranks")
    scripts.run("ranks.py", corpus, out, cwd=out)
    return out


@pytest.mark.slow
def test_gradients_are_those_of_all_batches_on_one_device(trained: Path) -> None:
    import torch

    alone, together = (torch.load(trained / f"grad-{count}.pt", weights_only=True) for count in (1, 2))
    assert len(alone) == len(together)
    assert max(float(gradient.abs().max()) for gradient in alone) > 1e-3
    for left, right in zip(alone, together, strict=True):
        assert torch.allclose(left, right, rtol=0, atol=1e-6)


@pytest.mark.slow
def test_a_run_whose_processes_are_killed_ends_as_an_undisturbed_one(trained: Path) -> None:
    (calm,) = (trained / "calm").rglob("result.json")
    (killed,) = (trained / "killed").rglob("result.json")
    found = results.read(calm)
    check_equal(killed.parent, calm.parent, found)
    events = [json.loads(line)["event"] for line in (killed.parent / "events.jsonl").read_text().splitlines()]
    assert events.count("resume") >= 4
    assert found.config["runner"]["devices"] == 2
    assert (
        "trained data-parallel on 2 devices as s3prl's distributed runs are: a step has 4 of the recipe's "
        "batches, 2 times as many as in the recipe" in found.deviations
    )


@pytest.mark.slow
def test_the_command_trains_on_two_processes(corpus: Path, tmp_path: Path) -> None:
    settings = {
        "runner.total_steps": 2,
        "runner.gradient_accumulate_steps": 1,
        "runner.eval_step": 2,
        "runner.log_step": 1,
        "downstream_expert.datarc.num_workers": 1,
    }
    command = [sys.executable, "-m", "downstream_runs", "fbank", "asr", "--data", str(corpus.parent)]
    command += ["--recipe", "demo", "--device", "cpu", "--devices", "2", "--out", str(tmp_path)]
    for key, value in settings.items():
        command += ["-o", f"{key}={value}"]
    done = subprocess.run(
        command,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "Warning" not in done.stderr
    (path,) = tmp_path.rglob("result.json")
    assert path.parent.as_posix() in done.stdout
    assert results.read(path).config["runner"]["devices"] == 2


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--devices", "0"], "--devices: 0 was given, expected at least 1"),
        (["--devices", "99"], r"--devices 99 needs as many accelerators and torch sees \d+; ask for fewer"),
        (["--devices", "99", "--device", "cuda"], r"torch sees \d+; .* or add --device cpu"),
        (["--devices", "2", "--device", "cuda:1"], "cuda:1 names one; use --device cuda, and CUDA_VISIBLE"),
        (["--devices", "2", "--device", "xpu:1"], "xpu:1 names one; use --device xpu, and ZE_AFFINITY_MASK"),
        (["--devices", "2", "--device", "mps:0"], "--device mps:0 names one; use --device mps$"),
        (["--devices", "99", "--device", "xpu"], r"needs as many xpu devices and torch sees 0"),
        (["--device", "mps"], r"device mps is not here, torch sees cpu.*; use one of these, or auto"),
        (["--device", "cuda:999"], r"device cuda:999 is not here, torch sees cpu"),
        (["--device", "gpu"], r"device 'gpu' is unknown, expected auto, cpu, cuda, mps or xpu"),
        (["--device", "cpu:0"], r"device 'cpu:0' is unknown"),
    ],
)
def test_devices_that_cannot_be_used_are_refused(
    arguments: list[str], sentence: str, corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    start = ["fbank", "asr", "--data", str(corpus.parent), "--out", str(tmp_path / "runs")]
    assert cli.main([*start, *arguments]) == 2
    (error,) = [line for line in capfd.readouterr().err.splitlines() if line.startswith("error: ")]
    assert re.search(sentence, error)
    assert not list(tmp_path.rglob("plan.json"))


def test_a_task_that_trains_nothing_takes_one_device(corpus: Path, tmp_path: Path) -> None:
    from downstream_runs.engine import RunPlan

    plan = RunPlan(tasks.get("qbe"), "superb", "fbank", corpus, tmp_path, device="cpu", devices=2)
    with pytest.raises(UsageError, match="qbe trains nothing; leave it out"):
        run(plan)


def test_only_several_devices_have_a_directory_of_their_own(corpus: Path, tmp_path: Path) -> None:
    one, two, three = (noise.tiny_plan(corpus, tmp_path, devices=count) for count in (1, 2, 3))
    assert run_dir(one) == run_dir(noise.tiny_plan(corpus, tmp_path))
    assert len({run_dir(plan) for plan in (one, two, three)}) == 3


@pytest.mark.parametrize(
    ("accumulated", "said"),
    [(2, "a step has 4 of the recipe's batches, 2 times as many"), (1, "2 of the recipe's batches, as many")],
)
def test_the_result_says_how_large_a_step_is(
    accumulated: int, said: str, corpus: Path, tmp_path: Path
) -> None:
    config = noise.tiny_config(gradient_accumulate_steps=accumulated)
    (sentence,) = result_builder.data_parallel(noise.tiny_plan(corpus, tmp_path, devices=2), config)
    assert said in sentence
    assert result_builder.data_parallel(noise.tiny_plan(corpus, tmp_path), config) == ()


def raise_in(rank: int, error: BaseException) -> Any:
    def work(
        plan: Any, config: Any, data: Any, folder: Path, context: distributed.DistributedContext
    ) -> None:
        if context.rank == rank:
            raise error
        context.broadcast(None)  # nobody answers

    return work


@pytest.mark.parametrize(
    ("rank", "error", "raised", "sentence"),
    [
        (0, UsageError("the corpus is wrong"), UsageError, "^the corpus is wrong$"),
        (1, RunFailed("a batch could not be read"), RunFailed, "^a batch could not be read$"),
        (1, OSError(28, "No space left on device", "x.pt"), OSError, "No space left on device: 'x.pt'"),
        (1, KeyError("gone"), RunFailed, "^process 2 of 2 stopped with KeyError: 'gone'$"),
    ],
)
def test_what_one_rank_says_is_what_is_raised(
    rank: int,
    error: BaseException,
    raised: type[BaseException],
    sentence: str,
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The other's loss of its peer is not, nor is it waited for."""
    pytest.importorskip("torch")
    monkeypatch.setattr(distributed, "START_METHOD", "fork")
    plan = noise.tiny_plan(corpus, tmp_path, devices=2)
    with pytest.raises(raised, match=sentence):
        distributed.train(raise_in(rank, error), plan, {}, None, tmp_path)  # type: ignore[arg-type]


def test_one_device_meets_nobody() -> None:
    context = distributed.ALONE
    with context.leader_first():
        assert context.broadcast("x") == "x"
    state = {"random_states": 1}
    assert context.own_state(state) is state
    assert context.gather(state) == {}
    context.set_epoch(None, 3)


@pytest.mark.parametrize(
    ("number", "raised"), [(signal.SIGTERM, SystemExit), (signal.SIGINT, KeyboardInterrupt)]
)
def test_a_signal_to_the_command_ends_all(
    number: signal.Signals,
    raised: type[BaseException],
    corpus: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("torch")
    monkeypatch.setattr(distributed, "START_METHOD", "fork")
    command = os.getpid()

    def work(
        plan: Any, config: Any, data: Any, folder: Path, context: distributed.DistributedContext
    ) -> None:
        # A terminal signals every process; the ranks leave it to the command.
        os.kill(os.getpid(), number)
        (tmp_path / f"{os.getpid()}.pid").touch()
        context.broadcast(None)
        if context.leader:
            os.kill(command, number)
        context.broadcast(None)
        time.sleep(60)

    plan = noise.tiny_plan(corpus, tmp_path, devices=2)
    with session.sigterm_as_exit(), pytest.raises(raised):
        distributed.train(work, plan, {}, None, tmp_path)  # type: ignore[arg-type]
    pids = [int(path.stem) for path in tmp_path.glob("*.pid")]
    assert len(pids) == 2
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
    assert not list(tmp_path.glob(".*.tmp"))
