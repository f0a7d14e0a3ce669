"""Tasks of several folds, tasks with a test of their own, tasks without training, kept checkpoints."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from pathlib import Path

import noise
import pytest
import toy

from downstream_runs.core import results
from downstream_runs.core.results import Metric
from downstream_runs.core.task import MetricSpec, Score, Selection
from downstream_runs.engine import RunPlan, result_builder, run, run_dir, session
from downstream_runs.engine.trained_run import TrainedRun
from upstream_arm.common.errors import RunFailed, UsageError


def accuracy(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """A number that differs from fold to fold, since their means must not be error rates."""
    number = int(folder.name.removeprefix("fold"))
    return (Score("acc", 100 * number / 3, {"correct": number, "utterances": 3}),)


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    toy.register()
    noise.make_corpus(tmp_path / "data")
    return tmp_path / "data"


def folded(corpus: Path, out: Path) -> RunPlan:
    """Two folds: a setting that s3prl ignores, and a score made of the fold's number."""
    wanted = noise.tiny_plan(corpus, out, runner={"total_steps": 2, "eval_step": 2})
    config = wanted.task.recipes["tiny"].copy_config()
    config["downstream_expert"]["datarc"]["fold"] = "none"
    recipes = {**wanted.task.recipes, "tiny": dataclasses.replace(wanted.task.recipes["tiny"], config=config)}
    task = dataclasses.replace(
        wanted.task,
        recipes=recipes,
        folds=("fold1", "fold2"),
        fold_key="downstream_expert.datarc.fold",
        metrics=(MetricSpec("acc", "accuracy", "percent", "higher", None),),
        selection=Selection("dev-clean", "acc", "dev-clean-best.ckpt", 0.0),
        score=accuracy,
    )
    return dataclasses.replace(wanted, task=task)


def test_folds_are_runs_and_their_mean_is_the_result(corpus: Path, tmp_path: Path) -> None:
    wanted = folded(corpus, tmp_path / "out")
    result = run(wanted)
    folder = run_dir(wanted)
    parts = [results.read(folder / fold / "result.json") for fold in ("fold1", "fold2")]
    assert [part.config["downstream_expert"]["datarc"]["fold"] for part in parts] == ["fold1", "fold2"]
    mean = result.headline("acc")
    assert mean is not None
    assert math.isclose(mean.value, 50)
    assert (mean.counts["fold1_correct"], mean.counts["fold2_correct"]) == (1, 2)
    assert [metric.value for metric in result.metrics[1:]] == [pytest.approx(100 / 3), pytest.approx(200 / 3)]
    assert [metric.role for metric in result.metrics] == ["headline", "information", "information"]
    assert set(result.artefacts) == {"fold1/result.json", "fold2/result.json"}
    assert result.corpus.counts["fold2 train"] == 10
    assert run(wanted) == result


def test_the_skipped_steps_of_all_folds_are_counted(corpus: Path, tmp_path: Path) -> None:
    # Two batches a step, two steps a fold.
    undo = toy.spoil({1: math.nan, 7: math.nan})
    result = run(folded(corpus, tmp_path / "out"))
    undo()
    counts = [metric.counts for metric in result.metrics if metric.name == result_builder.SKIPPED]
    assert counts == [{"skipped": 2, "steps": 4}]


def test_no_mean_before_every_fold_is_there(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    wanted = folded(corpus, tmp_path / "out")
    real = session._run

    def failing(plan: RunPlan, rerun: str) -> results.Result:
        if plan.fold == "fold2":
            raise RunFailed("the second fold broke")
        return real(plan, rerun)

    monkeypatch.setattr(session, "_run", failing)
    with pytest.raises(RunFailed):
        run(wanted)
    assert (run_dir(wanted) / "fold1" / "result.json").exists()
    assert not (run_dir(wanted) / "result.json").exists()


def test_a_fold_cannot_be_chosen(corpus: Path, tmp_path: Path) -> None:
    wanted = folded(corpus, tmp_path / "out")
    wanted = dataclasses.replace(wanted, overrides={"downstream_expert.datarc.fold": "fold2"})
    with pytest.raises(UsageError, match="cannot be chosen"):
        run(wanted)


def count_checkpoints(tested: TrainedRun) -> tuple[Metric, ...]:
    """A test that looks at each kept checkpoint, with files of its own for each."""
    found = []
    for step in (2, 4):
        tested.load(f"states-{step}.ckpt")
        into = tested.folder / f"states-{step}"
        found.append(tested.evaluate("test-clean", step, into))
        assert (into / "test-clean-noLM-hyp.ark").exists()
        tested.artefacts.append(f"states-{step}/test-clean-noLM-hyp.ark")
    tested.deviations.append("a sentence of the test")
    return (Metric("wers", float(len(found)), "percent", "lower", {}, "test-clean", "all", True, "headline"),)


def test_a_task_may_test_its_kept_checkpoints(corpus: Path, tmp_path: Path) -> None:
    wanted = noise.tiny_plan(corpus, tmp_path / "out", upstream="toy", runner={"total_steps": 4})
    task = dataclasses.replace(
        wanted.task, kept_checkpoints=2, selection=None, artefacts=(), test=count_checkpoints
    )
    wanted = dataclasses.replace(wanted, task=task)
    result = run(wanted)
    assert result.headline("wers") is not None
    assert "a sentence of the test" in result.deviations
    assert set(result.artefacts) == {
        "metrics.jsonl",
        "states-2/test-clean-noLM-hyp.ark",
        "states-4/test-clean-noLM-hyp.ark",
    }
    folder = run_dir(wanted)
    assert sorted(path.name for path in folder.glob("states-*.ckpt")) == ["states-2.ckpt", "states-4.ckpt"]


def nothing_trained(tested: TrainedRun) -> tuple[Metric, ...]:
    assert tested.components.downstream is None
    return (Metric("mtwv", 0.5, "fraction", "higher", {}, "eval", "none", True, "headline"),)


def test_a_task_may_train_nothing(corpus: Path, tmp_path: Path) -> None:
    wanted = noise.tiny_plan(corpus, tmp_path / "out", upstream="toy")
    task = dataclasses.replace(
        wanted.task, train_split=None, selection=None, artefacts=(), test=nothing_trained
    )
    wanted = dataclasses.replace(wanted, task=task)
    result = run(wanted)
    assert (result.steps, dict(result.artefacts)) == (0, {})
    events = [
        json.loads(line)["event"] for line in (run_dir(wanted) / "events.jsonl").read_text().splitlines()
    ]
    assert events == ["start", "end"]
