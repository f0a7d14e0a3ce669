"""The evaluation block of a model card: what huggingface_hub reads of it, and what it says of limits."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from huggingface_hub import metadata_load
from huggingface_hub.repocard_data import model_index_to_eval_results

from downstream_runs import tasks
from downstream_runs.core import results
from downstream_runs.share import cards
from upstream_arm.common.errors import UsageError

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles" / "bundles"


def test_the_hub_reads_every_number_of_all_ten_tasks(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text(cards.card([BUNDLES / "fbank"]))
    name, found = model_index_to_eval_results(metadata_load(tmp_path / "README.md")["model-index"])
    wanted = {
        (result.task, metric.name): metric.value
        for path in (BUNDLES / "fbank").glob("*/*/result.json")
        for result in [results.read(path)]
        for metric in result.metrics
        if metric.role == "headline"
    }
    assert name == "fbank"
    assert {(one.dataset_config, one.metric_type): one.metric_value for one in found} == wanted
    assert len(wanted) == 11


def test_a_labelled_number_says_so_in_type_and_names_and_words() -> None:
    text = cards.card([BUNDLES / "armhubert_random"])
    (entry,) = yaml.safe_load(text.split("---\n")[1])["model-index"][0]["results"]
    assert entry["dataset"]["type"] == "not-superb-demo-shortened-untrained"
    for name in (entry["task"]["name"], entry["dataset"]["name"], entry["metrics"][0]["name"]):
        assert "[demo, shortened, untrained]" in name
    assert "**Not comparable to published numbers (untrained)**" in text


def test_only_a_number_without_labels_is_superbs() -> None:
    result = results.read(next((BUNDLES / "fbank" / "ks").glob("*/result.json")))
    object.__setattr__(result, "labels", ())
    assert cards.evaluations([result])[0].dataset_type == "superb"
    object.__setattr__(result, "config", {**result.config, "own_task": {"kind": "classification"}})
    object.__setattr__(result, "labels", ("own-corpus",))
    (own,) = cards.evaluations([result])
    assert own.dataset_type == "own-corpus-ks" and "none of SUPERB's" in own.task_name


def test_every_task_cites_its_corpora() -> None:
    entries = cards.citations()
    assert set(cards.CITED) == set(tasks.names())
    cited = {key for keys in cards.CITED.values() for key in keys}
    assert cited | {cards.SUPERB, cards.PAPER} == set(entries)
    assert all(entry.count("{") == entry.count("}") and "title" in entry for entry in entries.values())
    assert cards.PAPER in cards.card([BUNDLES / "armhubert_random"])
    assert cards.PAPER not in cards.card([BUNDLES / "fbank"])


@pytest.mark.parametrize("place", [".", "fbank/none"])
def test_runs_of_one_model_are_needed(place: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        cards.card([BUNDLES / place])
