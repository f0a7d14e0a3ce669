"""A result as a demo run leaves it, to be varied by tests, and whole sets of them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import synthetic

from downstream_runs.core.results import Corpus, Metric, Result
from upstream_arm.common import stages


@pytest.fixture(autouse=True)
def _in_no_hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is said of what takes longer here than it should."""
    monkeypatch.setattr(stages, "SECONDS", 600.0)


def metric(**changes: Any) -> Metric:
    values: dict[str, Any] = {
        "name": "wer",
        "value": 100 * 7 / 9,
        "unit": "percent",
        "direction": "lower",
        "counts": {"errors": 7, "length": 9, "utterances": 3, "wrong_utterances": 3},
        "split": "test-clean",
        "selection": "lowest WER on dev-clean",
        "official": True,
        "role": "headline",
    }
    return Metric(**{**values, **changes})


@pytest.fixture(name="metric")
def metric_maker() -> Callable[..., Metric]:
    return metric


@pytest.fixture()
def make() -> Callable[..., Result]:
    def make_result(**changes: Any) -> Result:
        values: dict[str, Any] = {
            "upstream": "arm_hubert_random",
            "task": "asr",
            "recipe": "superb",
            "labels": ("demo", "untrained", "shortened"),
            "deviations": ("200 steps where the recipe has 200000.",),
            "metrics": (metric(),),
            "command": ("python", "-m", "downstream_runs", "arm_hubert_random", "asr", "--demo"),
            "config": {"optimizer": {"lr": 1e-4}, "steps": 200, "parts": ["train-clean-100"]},
            "seed": 1337,
            "steps": 200,
            "packages": {"torch": "2.11.0"},
            "git_commit": None,
            "upstream_checkpoint": None,
            "upstream_checkpoint_sha256": None,
            "upstream_switches": {"attention": "explicit"},
            "upstream_parameters": 26_451_234,
            "device": "cpu",
            "wall_seconds": 12.5,
            "corpus": Corpus("demo speech", "data/demo", {"train-clean-100": 24}, "a" * 64),
            "artefacts": {"test-clean-noLM-hyp.ark": "b" * 64},
            "created": "2025-01-02T03:04:05+00:00",
        }
        return Result(**{**values, **changes})

    return make_result


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Results of four upstreams in all tasks."""
    root = tmp_path_factory.mktemp("runs")
    synthetic.make(root, "armhubert")
    synthetic.make(root, "armhubert_s_960h", skill=0.6, deviations=("optimizer.lr is 1e-3.",))
    synthetic.make(root, "fbank", skill=0.4, labels=("demo", "shortened"), layers=1)
    synthetic.make(root, "arm_hubert_random", skill=0.5, labels=("demo", "untrained", "shortened"))
    return root
