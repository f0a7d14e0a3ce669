"""What a whole official run says of itself is no contradiction; each thing that it could not say is one."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from downstream_runs import tasks
from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.share.claims import contradictions

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles" / "bundles"
#: Test items of the official corpora: of PR and ASR LibriSpeech test-clean (openslr.org/12), of ER all five
#: sessions (s3prl's metadata), of others as in corpora.json.
ITEMS = {
    "pr": 2620,
    "asr": 2620,
    "ks": 3081,
    "sid": 8251,
    "asv": 37720,
    "sd": 3000,
    "ic": 3793,
    "sf": 2800,
    "er": 5531,
}


def official(task: str) -> Result:
    """A result of the whole recipe on the whole corpus, with numbers that do not matter here."""
    recorded = results.read(next(BUNDLES.glob(f"fbank/{task}/*/result.json")))
    spec = tasks.get(task)
    config = spec.recipes["superb"].copy_config()
    counted = {"sd": "files", "asv": "trials", "er": "fold1_utterances"}.get(task, "utterances")
    number = ITEMS.get(task, 0)
    metrics = tuple(
        dataclasses.replace(one, counts={**one.counts, **_only(one.counts, counted, number)})
        for one in recorded.metrics
    )
    counts = dict(spec.corpus.official) if task == "qbe" else recorded.corpus.counts
    return dataclasses.replace(
        recorded,
        recipe="superb",
        labels=(),
        deviations=(),
        config=config,
        config_hash="",
        steps=0 if spec.train_split is None else config["runner"]["total_steps"],
        metrics=metrics,
        corpus=dataclasses.replace(recorded.corpus, name=spec.corpus.name, counts=counts),
    )


def _only(counts: Any, name: str, number: int) -> dict[str, int]:
    """The count of test items; of folds the first has all, and the others none."""
    others = {one: 0 for one in counts if one.startswith("fold") and one.endswith("utterances")}
    return {**others, name: number}


@pytest.mark.parametrize("task", tasks.names())
def test_a_whole_official_run_needs_no_label(task: str) -> None:
    assert list(contradictions(official(task), tasks.get(task))) == []


def test_a_fold_is_not_held_against_the_whole_corpus() -> None:
    whole, fold = official("er"), results.read(next(BUNDLES.glob("fbank/er/*/fold1/result.json")))
    config = {**whole.config, "downstream_expert": fold.config["downstream_expert"]}
    one = dataclasses.replace(
        fold,
        recipe="superb",
        labels=(),
        config=config,
        config_hash="",
        steps=whole.steps,
        corpus=whole.corpus,
    )
    told = [text for text in contradictions(one, tasks.get("er")) if "test items" in text]
    assert told == []


def _config(key: str, value: Any) -> Callable[[Result], dict[str, Any]]:
    def change(result: Result) -> dict[str, Any]:
        config = {
            name: dict(block) if isinstance(block, dict) else block for name, block in result.config.items()
        }
        block, name = key.split(".")
        config[block][name] = value
        return {"config": config, "config_hash": ""}

    return change


CLAIMS: dict[str, tuple[Callable[[Result], dict[str, Any]], str]] = {
    "half the steps": (lambda r: {"steps": r.steps // 2}, "'shortened' is missing"),
    "another rate": (_config("optimizer.lr", 0.5), "no deviation tells of it"),
    "part of a corpus": (
        lambda r: {"corpus": dataclasses.replace(r.corpus, name=f"part of {r.corpus.name}")},
        "'partial' is missing",
    ),
    "a sample": (
        lambda r: {
            "corpus": dataclasses.replace(r.corpus, name=f"sample corpus in the layout of {r.corpus.name}")
        },
        "'sample' is missing",
    ),
    "random weights": (lambda r: {"upstream": "armhubert_random"}, "'untrained' is missing"),
    "fewer test items": (
        lambda r: {
            "metrics": tuple(dataclasses.replace(m, counts={**m.counts, "utterances": 7}) for m in r.metrics)
        },
        "the official corpus has 3,081",
    ),
    "settings of no recipe": (
        lambda r: {"recipe": "mine", **_config("optimizer.lr", 0.5)(r)},
        "'own-recipe' is missing",
    ),
    "another size": (lambda r: {"upstream_parameters": 5}, "parameters, one number was expected"),
}


@pytest.mark.parametrize("claim", CLAIMS)
def test_what_a_run_could_not_say_is_told(claim: str) -> None:
    change, told = CLAIMS[claim]
    result = official("ks")
    found = list(contradictions(dataclasses.replace(result, **change(result)), tasks.get("ks")))
    assert any(told in text for text in found), found


def test_a_recipe_file_with_the_official_settings_needs_no_label() -> None:
    result = dataclasses.replace(official("ks"), recipe="mine", deviations=("the recipe is of a file, ...",))
    assert list(contradictions(result, tasks.get("ks"))) == []


def test_a_deviation_that_is_told_is_none() -> None:
    result = official("ks")
    changed = dataclasses.replace(result, **_config("optimizer.lr", 0.5)(result))
    rate = tasks.get("ks").recipes["superb"].config["optimizer"]["lr"]
    said = dataclasses.replace(changed, deviations=(f"optimizer.lr is 0.5, the recipe has {rate!r}",))
    assert list(contradictions(said, tasks.get("ks"))) == []
