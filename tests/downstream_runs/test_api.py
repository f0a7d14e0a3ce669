"""The Python API: the numbers of the command line, the caller's own module, results in pandas."""

from __future__ import annotations

import doctest
import importlib
import subprocess
import sys
from pathlib import Path
from typing import Any

import noise
import pytest
import torch
from torch import nn

import downstream_runs
from downstream_runs import api, evaluate, load_results
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.upstreams.own_module import identity
from upstream_arm.common.errors import ReportError, UsageError

SHORT = {"runner__total_steps": 2, "runner__eval_step": 2, "runner__save_step": 1, "runner__log_step": 1}


class Frames(nn.Module):
    """A tiny upstream in s3prl's way: one layer over frames of 320 samples."""

    untrained = True

    def __init__(self, size: int = 8) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.layer = nn.Linear(320, size)
        self.gain = 1.0

    def get_downsample_rates(self, key: str) -> int:
        return 320

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        frames = padded[:, : padded.shape[1] // 320 * 320].reshape(len(wavs), -1, 320)
        return {"hidden_states": [self.gain * self.layer(frames)]}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    noise.make_corpus(tmp_path / "data")
    return tmp_path / "data"


def run(corpus: Path, out: str, upstream: Any = "fbank", **more: Any) -> api.Results:
    given = {"data": corpus, "recipe": "demo", "device": "cpu", "out": corpus.parent / out, **SHORT}
    return evaluate(upstream, "asr", **{**given, **more})


def numbers(result: results.Result) -> list[tuple[Any, ...]]:
    return [(metric.name, metric.split, metric.value, metric.counts) for metric in result.metrics]


def test_a_name_gives_the_numbers_of_the_command_line(corpus: Path) -> None:
    words = ["fbank", "asr", "--data", str(corpus), "--recipe", "demo", "--out", str(corpus.parent / "cli")]
    words += ["--device", "cpu"]
    words += [part for key, value in SHORT.items() for part in ("-o", f"{key.replace('__', '.')}={value}")]
    assert cli.main(words) == 0
    (file,) = (corpus.parent / "cli").glob("fbank/asr/*/result.json")
    by_command = results.read(file)
    found = run(corpus, "api")
    assert numbers(found["asr"]) == numbers(by_command)
    assert found["asr"].config_hash == by_command.config_hash
    assert found.paths[0].parent.name == file.parent.name
    assert found.paths[0].is_file() and len(found) == 1 and [one.task for one in found] == ["asr"]
    with pytest.raises(KeyError):
        found["ks"]
    read_back = load_results(corpus.parent / "api")
    assert read_back.equals(found.to_pandas())
    assert list(read_back["value"]) == [metric.value for metric in by_command.metrics]


def test_a_module_is_called_by_its_name_and_hash(corpus: Path) -> None:
    module = Frames().train()
    found = run(corpus, "out", module)["asr"]
    assert found.upstream == f"Frames-{identity(module)[:12]}"
    assert found.upstream_parameters == 320 * 8 + 8
    assert "untrained" in found.labels and found.command[:2] == ("downstream_runs.evaluate", found.upstream)
    assert module.training
    again = run(corpus, "other", Frames(), name="mine")["asr"]
    assert again.upstream == f"mine-{identity(module)[:12]}"
    assert numbers(again) == numbers(found)
    assert cli.main(["repeat", str(next((corpus.parent / "out").rglob("result.json"))), "--out", "x"]) == 2


def test_weights_are_rounded_for_the_run_only(corpus: Path) -> None:
    module = Frames()
    result = run(corpus, "out", module, quantize="int8")["asr"]
    assert result.quantize is not None and result.quantize.layers == 1 and "int8" in result.labels
    assert type(module.layer) is nn.Linear


def test_another_module_is_another_upstream(monkeypatch: pytest.MonkeyPatch) -> None:
    first = identity(Frames())
    assert identity(Frames()) == first and identity(Frames().eval()) == first
    weights, attribute = Frames(), Frames()
    with torch.no_grad():
        weights.layer.bias[0] += 1e-6
    attribute.gain = 2.0

    class Inherited(Frames):
        def forward(self, wavs: list[torch.Tensor]) -> dict[str, list[torch.Tensor]]:
            return {"hidden_states": [state.abs() for state in super().forward(wavs)["hidden_states"]]}

    assert len({first, identity(weights), identity(attribute), identity(Inherited())}) == 4


@pytest.mark.parametrize(
    ("upstream", "more", "said"),
    [
        (nn.Linear(1, 1), {}, "has no method get_downsample_rates"),
        (3, {}, "the upstream is a int"),
        (Frames(), {"ckpt": "a"}, "ckpt is for the name"),
        (Frames(), {"name": "../x"}, "expected letters, digits"),
        ("fbank", {"name": "x"}, "name='x' is for a module"),
        ("fbnak", {}, "did you mean 'fbank'"),
        ("fbank", {"runner__total_stpes": 2}, "no setting 'runner.total_stpes'"),
        ("fbank", {"runner__total_steps": object()}, "expected a number, text"),
        ("fbank", {"data": "/nowhere"}, "/nowhere"),
    ],
)
def test_wrong_use_is_a_typed_error(tmp_path: Path, upstream: Any, more: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        evaluate(upstream, "asr", **{"data": tmp_path, "out": tmp_path / "out", **more})


def test_results_of_nothing(tmp_path: Path) -> None:
    assert len(load_results(tmp_path)) == 0
    with pytest.raises(ReportError, match="does not exist"):
        load_results(tmp_path / "absent")
    (tmp_path / "result.json").write_text("{}")
    with pytest.raises(ReportError, match=r"result\.json"):
        load_results(tmp_path)


def test_importing_stays_cheap() -> None:
    script = (
        "import sys, downstream_runs; print([m for m in sys.modules if m in ('torch', 'numpy', 'pandas')])"
    )
    script += "; from downstream_runs import evaluate; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["[]", "False"]
    with pytest.raises(AttributeError):
        downstream_runs.evalute  # noqa: B018


def test_the_examples_of_the_docstrings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("espeakng_loader")
    monkeypatch.chdir(tmp_path)
    for name in ("downstream_runs", "downstream_runs.api"):
        found = doctest.testmod(importlib.import_module(name))
        assert found.attempted > 0 and found.failed == 0
