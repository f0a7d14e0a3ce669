"""Tasks by name, and what the ASR recipes are."""

from __future__ import annotations

import subprocess
import sys
from multiprocessing.reduction import ForkingPickler

import pytest

from downstream_runs import tasks
from downstream_runs.core.settings import leaves
from upstream_arm.common.errors import UsageError


def test_names_and_aliases() -> None:
    known = [name for name in tasks.ORDER if name in tasks.names()]
    assert list(tasks.names()[: len(known)]) == known
    assert tasks.get("asr") is tasks.get("Speech_Recognition")
    assert tasks.get("asr").metric("wer").better == "lower"


def test_no_name_stands_for_two_tasks() -> None:
    every = [alias for name in tasks.names() for alias in (name, *tasks.get(name).aliases)]
    assert len(set(every)) == len(every)
    assert all(alias == alias.lower() and "_" not in alias for alias in every)


@pytest.mark.parametrize("name", tasks.names())
def test_a_spec_agrees_with_itself(name: str) -> None:
    task = tasks.get(name)
    assert {"superb", "paper", "demo"} <= set(task.recipes)
    assert all(recipe.name == key for key, recipe in task.recipes.items())
    assert any(metric.official for metric in task.metrics)
    assert task.test_splits
    if task.train_split is None:
        assert task.test is not None
        return
    for recipe in task.recipes.values():
        assert {"runner", "optimizer", "downstream_expert"} <= set(recipe.config)
        assert set(recipe.config["runner"]["eval_dataloaders"]) <= {*task.dev_splits, *task.test_splits}
    assert "shortened" in task.recipes["demo"].labels
    if task.selection is None:
        assert task.test is not None
    else:
        assert task.selection.split in task.recipes["superb"].config["runner"]["eval_dataloaders"]
        task.metric(task.selection.metric)
    if task.folds:
        assert task.fold_key in dict(leaves(task.recipes["superb"].config))


@pytest.mark.parametrize("typed", ["ars", "assr", "asrr", "sra"])
def test_an_unknown_task_names_the_nearest(typed: str) -> None:
    with pytest.raises(UsageError, match="did you mean 'asr'"):
        tasks.get(typed)


def test_an_unknown_recipe_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'paper'"):
        tasks.get("asr").recipe("papr")


def test_the_registry_needs_nothing_heavy() -> None:
    code = (
        "import sys; from downstream_runs import tasks; tasks.get('asr');"
        "print([name for name in ('torch', 's3prl', 'numpy', 'pandas') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_superb_is_the_stock_recipe() -> None:
    """The values of s3prl 0.4.18's downstream/asr/config.yaml."""
    settings = dict(leaves(tasks.get("asr").recipes["superb"].config))
    stock = {
        "runner.total_steps": 200000,
        "runner.gradient_clipping": 1,
        "runner.gradient_accumulate_steps": 1,
        "runner.log_step": 100,
        "runner.eval_step": 2000,
        "runner.save_step": 500,
        "optimizer.name": "TorchOptim",
        "optimizer.torch_optim_name": "Adam",
        "optimizer.lr": 1.0e-4,
        "specaug.adaptive": False,
        "specaug.apply_time_warp": True,
        "specaug.time_warp_window": 5,
        "specaug.time_mask_width_range": [0, 40],
        "specaug.freq_mask_width_range": [0, 50],
        "specaug.num_freq_mask": 4,
        "specaug.num_time_mask": 2,
        "downstream_expert.datarc.batch_size": 32,
        "downstream_expert.datarc.eval_batch_size": 1,
        "downstream_expert.datarc.zero_infinity": True,
        "downstream_expert.modelrc.project_dim": 1024,
        "downstream_expert.modelrc.RNNs.total_rate": -1,
        "downstream_expert.modelrc.RNNs.dim": [1024, 1024],
        "downstream_expert.modelrc.RNNs.dropout": [0.2, 0.2],
    }
    assert {key: settings[key] for key in stock} == stock
    assert not [key for key in settings if key.startswith("scheduler.")]


def test_paper_is_superb_with_the_schedule() -> None:
    recipes = tasks.get("asr").recipes
    paper = recipes["paper"].copy_config()
    schedule = paper.pop("scheduler")
    assert schedule == {"name": "linear_schedule_with_warmup", "num_warmup_steps": 1400}
    assert paper == recipes["superb"].copy_config()


def test_short_recipes_say_so() -> None:
    for recipe in tasks.get("asr").recipes.values():
        assert ("shortened" in recipe.labels) == (recipe.config["runner"]["total_steps"] < 200000)


def test_a_copied_recipe_can_be_changed_alone() -> None:
    recipe = tasks.get("asr").recipes["superb"]
    recipe.copy_config()["runner"]["total_steps"] = 1
    assert recipe.config["runner"]["total_steps"] == 200000


@pytest.mark.parametrize("name", tasks.names())
def test_a_task_can_be_sent_to_another_process(name: str) -> None:
    """Several runs are processes of their own, which are handed their task."""
    sent = ForkingPickler.loads(ForkingPickler.dumps(tasks.get(name)))
    assert (sent.name, sent.corpus.name, list(sent.recipes)) == (
        name,
        tasks.get(name).corpus.name,
        list(tasks.get(name).recipes),
    )
