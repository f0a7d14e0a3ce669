"""The `s3prl` command up to the point where s3prl takes over."""

from __future__ import annotations

import builtins
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from downstream_runs.bridge.command import main
from upstream_arm.common import devices
from upstream_arm.common.errors import UsageError


@pytest.fixture
def stock(bridged: None, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """s3prl's run_downstream with a main that records how it was called."""
    from s3prl import run_downstream

    from downstream_runs.bridge import overrides

    seen: dict[str, Any] = {"raise": None}

    def record() -> None:
        run_downstream.hack_isinstance()
        seen.update(argv=list(sys.argv), ours=run_downstream.override is overrides.override)
        if seen["raise"] is not None:
            raise seen["raise"]

    monkeypatch.setattr(run_downstream, "main", record)
    return seen


@pytest.fixture
def config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.yaml").write_text(yaml.safe_dump({"runner": {"total_steps": 1}}))
    return "c.yaml"


def new(config: str, *more: str) -> list[str]:
    return ["run_downstream.py", "-m", "train", "-u", "fbank", "-d", "asr", "-c", config, *more]


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(list(arguments)) == 2
    error = capsys.readouterr().err.strip().splitlines()[-1]
    assert error.startswith("error: ")
    return error


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "run_superb.sh" in capsys.readouterr().out
    assert main([]) == 2
    assert capsys.readouterr().err.startswith("usage:")
    assert main(["--version"]) == 0
    assert capsys.readouterr().out.startswith("s3prl 0.4.18")


def test_help_is_quick() -> None:
    import subprocess

    command = [sys.executable, "-m", "downstream_runs.bridge.command", "--help"]
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 0.5


@pytest.mark.parametrize("script", ["run_downstream.py", "run_downstream"])
def test_all_options_pass_through(stock: dict[str, Any], config: str, script: str) -> None:
    options = [*new(config)[1:], "-n", "x", "--device", "cuda:1", "-fa", "-o", "args.seed=1", "--seed", "3"]
    argv, isinstance_ = sys.argv, builtins.isinstance
    assert main([script, *options]) == 0
    assert stock["argv"] == ["run_downstream.py", *options]
    assert stock["ours"]
    assert sys.argv is argv
    assert builtins.isinstance is isinstance_


@pytest.mark.parametrize(
    ("kind", "added"), [(None, ["--device", "cpu"]), ("mps", ["--device", "mps"]), ("cuda", [])]
)
def test_another_device_is_taken_only_without_cuda(
    stock: dict[str, Any],
    config: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    kind: str | None,
    added: list[str],
) -> None:
    monkeypatch.setattr(devices, "accelerator", lambda: kind)
    assert main(new(config)) == 0
    assert stock["argv"] == [*new(config), *added]
    assert ("running on --device" in capsys.readouterr().err) is (kind != "cuda")


@pytest.mark.parametrize(
    ("raised", "code"), [(SystemExit(3), 3), (SystemExit(None), 0), (SystemExit("x"), 1)]
)
def test_the_exit_code_is_s3prls(stock: dict[str, Any], config: str, raised: SystemExit, code: int) -> None:
    stock["raise"] = raised
    assert main(new(config)) == code


def test_errors_of_s3prl_keep_their_traceback(stock: dict[str, Any], config: str) -> None:
    for error in (RuntimeError("a"), ValueError("b"), FileNotFoundError("no name")):
        stock["raise"] = error
        with pytest.raises(type(error)):
            main(new(config))


def test_known_errors_become_one_sentence(
    stock: dict[str, Any], config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    from upstream_arm.common.errors import UpstreamError

    worker = (
        "Caught UsageError in DataLoader worker process 0.\nOriginal Traceback (most recent call last):\n"
    )
    cases = (
        (UsageError(f"{worker}  File x\nupstream_arm.common.errors.UsageError: a.wav: cut\n"), "a.wav: cut"),
        (UsageError("b.wav: cut"), "b.wav: cut"),
        (UpstreamError("no such student"), "no such student"),
        (FileNotFoundError(2, "No such file", "char.dict"), "char.dict: s3prl looked for this file"),
    )
    for error, expected in cases:
        stock["raise"] = error
        assert refused(capsys, *new(config)).startswith(f"error: {expected}")


def test_near_names(stock: dict[str, Any], config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "did you mean 'run_downstream.py'?" in refused(capsys, "run_dwnstream.py")
    assert "did you mean fbank" in refused(capsys, *new(config, "-u", "fbnk"))
    assert "did you mean speech_commands" in refused(capsys, *new(config, "-d", "speech_command"))
    assert "argv" not in stock


def test_a_missing_configuration(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    options = ["run_downstream.py", "-m", "train", "-u", "fbank", "-d", "asr"]
    error = refused(capsys, *options)
    assert "-c FILE" in error
    assert "./run_superb.sh" in error
    assert "nothere.yaml" in refused(capsys, *options, "-c", "nothere.yaml")


def test_the_configuration_where_s3prl_looks_for_it(stock: dict[str, Any], config: str) -> None:
    folder = Path("downstream/asr")
    folder.mkdir(parents=True)
    Path(config).rename(folder / "config.yaml")
    assert main(["run_downstream.py", "-m", "train", "-u", "fbank", "-d", "asr"]) == 0


@pytest.mark.parametrize("text", ["a: [", "- 1", "!!python/object/apply:os.getcwd []", ""])
def test_a_configuration_that_is_none(config: str, capsys: pytest.CaptureFixture[str], text: str) -> None:
    Path(config).write_text(text)
    assert config in refused(capsys, *new(config))


def test_what_stands_in_the_way_of_a_run(config: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert "-u UPSTREAM" in refused(capsys, "run_downstream.py", "-m", "train")
    assert "-d TASK" in refused(capsys, "run_downstream.py", "-m", "train", "-u", "fbank")
    assert "hf download" in refused(capsys, *new(config, "--hub", "huggingface"))
    assert "hf upload" in refused(capsys, *new(config, "--push_to_hf_hub", "True"))
    assert "calculation" in refused(capsys, *new(config, "-o", "args.seed=2*3"))


def test_checkpoints_to_continue_from(
    stock: dict[str, Any], config: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path("result/downstream/x")
    folder.mkdir(parents=True)
    train = ["run_downstream.py", "-m", "train"]
    assert "nothere" in refused(capsys, *train, "-e", "nothere")
    assert "no checkpoint states-*.ckpt" in refused(capsys, *train, "-e", str(folder))
    torch.save({}, folder / "states-9.ckpt")
    assert main([*train, "-e", str(folder)]) == 0
    assert main([*train, "-a", "-n", "x"]) == 0
    whole = (folder / "states-9.ckpt").read_bytes()
    (folder / "states-10.ckpt").write_bytes(whole[:-30])
    assert "states-10.ckpt: an incomplete checkpoint" in refused(capsys, *train, "-a", "-n", "x")
    assert "states-10.ckpt" in refused(capsys, *new(config, "-i", str(folder / "states-10.ckpt")))
