"""A number is called by the data that it is of, and is official only if those are the task's own."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.core import official, results
from downstream_runs.core.run import resolve_config
from downstream_runs.core.settings import leaves
from downstream_runs.engine import RunPlan, run, run_dir
from downstream_runs.launch import sweep
from downstream_runs.runs import verify
from reports import ours, render
from reports.columns import COLUMNS
from reports.tables import paper
from upstream_arm.common.errors import UsageError

EXPERT, DATARC, CORPUS = "downstream_expert", "downstream_expert.datarc", "downstream_expert.corpus"
REFUSED = "refused"

#: Task, setting, another value, and what comes of it: refused, or what the splits are then called.
OTHERS: tuple[tuple[str, str, Any, str | Mapping[str, str]], ...] = (
    ("asr", f"{DATARC}.test-clean", ["dev-clean"], {"test-clean": "dev-clean"}),
    ("asr", f"{DATARC}.test-clean", ["test-other", "dev-other"], {"test-clean": "test-other + dev-other"}),
    ("asr", f"{DATARC}.dev-clean", ["test-clean"], {"dev-clean": "test-clean"}),
    ("asr", f"{DATARC}.train", ["dev-clean"], {"train": "dev-clean"}),
    ("asr", f"{DATARC}.test-clean", [], REFUSED),
    ("asr", f"{DATARC}.test-clean", ["../x"], REFUSED),
    ("asr", f"{DATARC}.test-clean", [7], REFUSED),
    ("asr", f"{DATARC}.test-clean", ["dev-clean", "dev-clean"], REFUSED),
    ("asr", f"{DATARC}.decoder_args.decoder_type", "kenlm", REFUSED),
    ("pr", f"{CORPUS}.train", ["train-clean-360"], {"train": "train-clean-360"}),
    ("pr", f"{CORPUS}.dev", ["test-clean"], {"dev": "test-clean"}),
    ("pr", f"{CORPUS}.test", ["dev-clean"], {"test": "dev-clean"}),
    ("sf", f"{CORPUS}.train", ["valid"], REFUSED),
    ("sf", f"{CORPUS}.dev", ["test"], REFUSED),
    ("sf", f"{CORPUS}.test", ["valid"], REFUSED),
    ("sf", f"{CORPUS}.train_speakers", ["Amy"], REFUSED),
    ("sf", f"{CORPUS}.valid_speakers", ["Amy"], REFUSED),
    ("sf", f"{CORPUS}.test_speakers", ["Amy"], REFUSED),
    ("er", f"{DATARC}.test_fold", "fold2", REFUSED),
    ("er", f"{DATARC}.valid_ratio", 0.5, {}),
    ("sid", f"{DATARC}.max_timestep", 16_000, {}),
    ("asv", f"{DATARC}.max_timestep", 16_000, {}),
    ("asv", f"{DATARC}.vad_config.min_sec", 16_000, {}),
    ("sd", f"{DATARC}.chunk_size", 500, {}),
    ("sd", f"{DATARC}.label_delay", 1, {}),
    ("sd", f"{DATARC}.num_speakers", 3, {}),
    ("sd", f"{DATARC}.frame_shift", 160, {}),
    ("ks", "runner.eval_dataloaders", ["test"], REFUSED),
    ("asr", "runner.eval_dataloaders", [], REFUSED),
    ("ic", "runner.eval_dataloaders", ["dev", "train"], REFUSED),
)

#: Settings within the blocks that name data and choose none of them, or that `prepare` holds to one value.
NO_DATA = {
    *(
        "num_workers",
        "batch_size",
        "train_batch_size",
        "eval_batch_size",
        "train_batchsize",
        "eval_batchsize",
    ),
    *("zero_infinity", "bucketing", "pre_load", "name", "mode", "rate", "subsampling"),
}


@pytest.mark.parametrize(("name", "key", "value", "expected"), OTHERS)
def test_other_data_are_refused_or_named(
    name: str, key: str, value: Any, expected: str | Mapping[str, str], tmp_path: Path
) -> None:
    task = tasks.get(name)
    plan = RunPlan(
        task=task, recipe="superb", upstream="fbank", data=tmp_path, out=tmp_path, overrides={key: value}
    )
    if expected == REFUSED:
        with pytest.raises(UsageError, match=key.replace(".", r"\.")):
            resolve_config(plan)
        return
    config = resolve_config(plan)
    assert official.labels(task, config) == ("other-data",)
    names = official.read(task, config)
    assert {split: said for split, said in names.items() if split != said} == expected
    assert len(official.deviations(task, config)) == len(expected)


@pytest.mark.parametrize("name", tasks.names())
def test_every_setting_of_the_data_is_known_and_official_in_every_recipe(name: str) -> None:
    task = tasks.get(name)
    known = {*task.split_keys.values(), *task.data_keys, *task.fixed_keys, task.fold_key}
    for recipe in task.recipes.values():
        assert official.labels(task, recipe.config) == () and official.deviations(task, recipe.config) == ()
        official.require(task, recipe.config)
        for key, _ in leaves(recipe.config):
            block = key.split(".")[1] if key.startswith(f"{EXPERT}.") else ""
            if block in ("datarc", "corpus", "loaderrc"):
                assert key in known or key.split(".")[-1] in NO_DATA, key


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> RunPlan:
    """A run that is tested on dev-clean, as `-o downstream_expert.datarc.test-clean='["dev-clean"]'` asks.

    Its checkpoint is chosen on test-clean.
    """
    folder = tmp_path_factory.mktemp("other")
    noise.make_corpus(folder)
    steps = {"total_steps": 2, "eval_step": 2}
    overrides = {f"{DATARC}.test-clean": ["dev-clean"], f"{DATARC}.dev-clean": ["test-clean"]}
    plan = noise.tiny_plan(folder, folder / "out", runner=steps, overrides=overrides)
    run(plan)
    return plan


def test_a_run_names_what_it_read_in_every_file(other: RunPlan) -> None:
    folder = run_dir(other)
    result = results.read(folder / "result.json")
    assert "other-data" in result.labels
    found = {(metric.split, metric.role) for metric in result.metrics if metric.name == "wer"}
    assert found == {("dev-clean", "headline"), ("test-clean", "information")}
    assert all(metric.selection.startswith("lowest wer on test-clean") for metric in result.metrics)
    assert not any(metric.official for metric in result.metrics)
    assert result.corpus.counts == {"train": 10, "test-clean": 3, "dev-clean": 3}
    assert "test-clean was not read: dev-clean was, in its place" in result.deviations
    with (folder / "items.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert {(row["split"], row["labels"]) for row in rows} == {("dev-clean", "other-data")}
    lines = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert {line["split"] for line in lines} == {"train", "test-clean"}, "nothing but dev in training"
    assert all("other-data" in line["labels"] for line in lines)
    assert all(check.good is not False for check in verify.checks(folder, result))
    assert sweep.dev_metric(other.task, result).split == "test-clean"


def test_tables_mark_the_number_and_name_the_split(other: RunPlan) -> None:
    path = run_dir(other) / "result.json"
    result = results.read(path)
    systems = ours.systems([(path, result)])
    columns = [column for column in COLUMNS if column.task == "asr"]
    text = render.to_markdown(paper.table1(systems, columns, runs=True))
    assert systems[0].cells["asr_wer"].marks == ours.UNOFFICIAL
    same = tuple(dataclasses.replace(metric, split="dev-clean") for metric in result.metrics)
    assert ours.dev_selected(same, same[0]) is None, "one choice, on what stands for dev and for test"
    assert "other-data" in text and ours.UNOFFICIAL in text
    assert "wer on dev-clean, checkpoint: lowest wer on test-clean" in text


def test_the_command_line_names_it_too(other: RunPlan, capsys: pytest.CaptureFixture[str]) -> None:
    out = other.out.parent / "cli"
    key = f"{DATARC}.test-clean"
    command = ["fbank", "asr", "--data", str(other.data), "--out", str(out), "--recipe", "demo"]
    for value in ('["dev-clean"', '["nowhere"]'):
        assert cli.main([*command, "-o", f"{key}={value}"]) == 2
    said = capsys.readouterr().err
    assert "expected a value like" in said and "nowhere is missing" in said and "Traceback" not in said
