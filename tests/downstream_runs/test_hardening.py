"""What must not change a run's numbers, and what must not be in its files."""

from __future__ import annotations

import errno
import os
import stat
from datetime import datetime, timedelta, tzinfo
from pathlib import Path

import noise
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.core import records, results
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import run, run_dir, train
from downstream_runs.runs import status
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text

SECRET = "s3cr3t-0f-the-user"
RUNNER = {"total_steps": 4, "eval_step": 2, "save_step": 1}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def calm(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run of somebody with secrets in the environment, whose files are private."""
    plan = noise.tiny_plan(corpus, tmp_path_factory.mktemp("calm"), runner=RUNNER)
    names = ("HF_TOKEN", "HUGGING_FACE_HUB_TOKEN", "AWS_SECRET_ACCESS_KEY", "https_proxy", "SLURM_JWT")
    umask = os.umask(0o077)
    try:
        with pytest.MonkeyPatch.context() as patch:
            for name in names:
                patch.setenv(name, SECRET)
            run(plan)
    finally:
        os.umask(umask)
    return run_dir(plan)


def test_no_secret_of_the_environment_is_written(calm: Path) -> None:
    files = [path for path in calm.parents[2].rglob("*") if path.is_file()]
    assert len(files) > 8
    assert [path for path in files if SECRET.encode() in path.read_bytes()] == []


def test_files_have_the_permissions_that_the_user_wants(calm: Path) -> None:
    for path in calm.parents[2].rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) & 0o077 == 0, path


def test_a_clock_that_jumps_changes_no_number(
    corpus: Path, calm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jumps = iter([timedelta(days=1), timedelta(days=-4000), timedelta(hours=2), timedelta(0)] * 500)

    class Jumping(datetime):
        @classmethod
        def now(cls, tz: tzinfo | None = None) -> datetime:  # type: ignore[override]
            return datetime.now(tz) + next(jumps)

    plan = noise.tiny_plan(corpus, tmp_path, runner=RUNNER)
    monkeypatch.setattr(records, "datetime", Jumping)
    real, calls = train.Trainer.update, [0]

    def update(trainer: train.Trainer) -> None:
        calls[0] += 1
        if calls[0] == 3:
            raise KeyboardInterrupt
        real(trainer)

    with monkeypatch.context() as patch:
        patch.setattr(train.Trainer, "update", update)
        with pytest.raises(KeyboardInterrupt):
            run(plan)
    # Files from the future, as of a clock that was put right.
    for path in run_dir(plan).rglob("*"):
        os.utime(path, (4e9, 4e9))
    found = run(plan)
    assert found.metrics == results.read(calm / "result.json").metrics
    assert (run_dir(plan) / "metrics.jsonl").read_bytes() == (calm / "metrics.jsonl").read_bytes()
    assert 0 <= found.wall_seconds < 3 * 86400
    assert status.of_run(run_dir(plan)).state == "done"


def test_stored_features_that_are_damaged_are_computed_again(corpus: Path, tmp_path: Path) -> None:
    plan = noise.tiny_plan(corpus, tmp_path, runner=RUNNER, features=FeatureOptions("disk", "fp32"))
    whole = run(plan)
    journal = (run_dir(plan) / "metrics.jsonl").read_bytes()
    (pack,) = (tmp_path / "cache" / "features").rglob("*.pack")
    content = bytearray(pack.read_bytes())
    for number, line in enumerate(pack.with_suffix(".index").read_text().splitlines()[:5]):
        offset, size = map(int, line.split()[1:])
        content[offset + (0, 5, 100, size // 2, size - 1)[number]] ^= 0xFF
    pack.write_bytes(content)
    again = run(plan, rerun="always")
    assert again.metrics == whole.metrics
    assert (run_dir(plan) / "metrics.jsonl").read_bytes() == journal
    events = list(records.read(run_dir(plan) / "events.jsonl"))
    said = next(line for line in events if line["event"] == "features")
    assert (said["computed"], said["stored"]) == (5, 5)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("downstream_expert.modelrc.RNNs.module", "Nowhere", "modelrc.RNNs.module='Nowhere'"),
        ("downstream_expert.modelrc.RNNs.dim", [8, 8], "modelrc.RNNs.dim=[8, 8]"),
        ("downstream_expert.modelrc.select", "Nowhere", "modelrc.select='Nowhere'"),
        ("optimizer.nonsense", 1, "the optimizer block does not fit"),
        ("optimizer.betas", [0.5], "the optimizer block does not fit"),
        ("optimizer.torch_optim_name", "Nowhere", "the optimizer block does not fit"),
        ("optimizer.torch_optim_name", "LBFGS", "the optimizer LBFGS computes the loss itself"),
        ("scheduler", {"name": "nowhere"}, "the scheduler block does not fit"),
        ("specaug.nonsense", 1, "the specaug block does not fit"),
    ],
)
def test_settings_that_only_s3prl_can_judge(
    key: str, value: object, says: str, corpus: Path, tmp_path: Path
) -> None:
    plan = noise.tiny_plan(corpus, tmp_path, overrides={key: value})
    with pytest.raises(UsageError) as caught:
        run(plan)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("number", [errno.EROFS, errno.EACCES, errno.ENOSPC, errno.ENAMETOOLONG])
@pytest.mark.parametrize(
    "command", [("fbank", "ks", "--demo"), ("fbank", "ks,ic", "--demo"), ("distill", "--demo")]
)
def test_a_place_that_takes_no_demo(
    command: tuple[str, ...],
    number: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Root may write everywhere, so a read-only checkout is one whose calls answer as it would."""

    def refuse(path: Path, *_: object, **__: object) -> None:
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "mkdir", refuse)
    assert cli.main(command) == 2
    said = capsys.readouterr().err.splitlines()[-1]
    assert said.startswith("error: ") and os.strerror(number) in said and str(tmp_path) in said


def test_a_device_or_pipe_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(UsageError, match="pipe is a device or a pipe, which a file would replace"):
        atomic_write_text(pipe, "text")
    assert stat.S_ISFIFO(pipe.stat().st_mode) and [path.name for path in tmp_path.iterdir()] == ["pipe"]
