"""The features of a corpus before training: killed, shared, left out where it would not pay."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise
import pytest
import small_student
import torch

from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import features_first, run, run_dir
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.claims import Claims
from downstream_runs.features.items import ItemReader
from upstream_arm.common.errors import RunFailed

UTTERANCES = 16


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small_student.register()
    return noise.make_corpus(tmp_path_factory.mktemp("data"))


@pytest.fixture(autouse=True)
def _small_portions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features_first, "TOGETHER", 2)


def plan(corpus: Path, out: Path, mode: Any = "disk", **changes: Any) -> RunPlan:
    features = FeatureOptions(mode, "fp32")
    return noise.tiny_plan(corpus, out, upstream="small_student", features=features, **changes)


def account(one: RunPlan) -> tuple[int, int]:
    """How many items the run computed, and stored, in its last process."""
    lines = [json.loads(line) for line in (run_dir(one) / "events.jsonl").read_text().splitlines()]
    said = [line for line in lines if line["event"] == "features"][-1]
    return said["computed"], said["stored"]


def numbers(one: RunPlan) -> str:
    run(one)
    return (run_dir(one) / "metrics.jsonl").read_text()


def test_what_a_killed_run_had_stored_is_not_encoded_again(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    put, count = FeatureCache.put, 0

    def killed(cache: FeatureCache, *arguments: Any) -> None:
        nonlocal count
        count += 1
        if count >= 8:  # whatever was still to be written, too
            raise SystemExit(9)
        put(cache, *arguments)

    one = plan(corpus, tmp_path / "one")
    with monkeypatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr(FeatureCache, "put", killed)
        run(one)
    assert "features of train" in capfd.readouterr().err
    found = numbers(one)
    assert account(one) == (UTTERANCES - 7, UTTERANCES - 7)
    # In memory nothing is made first on a CPU: the stage draws no random number and changes no bit.
    in_memory = plan(corpus, tmp_path / "memory", "memory")
    capfd.readouterr()
    assert numbers(in_memory) == found and "features of" not in capfd.readouterr().err


def test_what_another_run_is_at_is_left_to_it_and_seen_to_at_the_end(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[bytes, bool]] = []

    @contextlib.contextmanager
    def held(claims: Claims, content: bytes, wait: bool) -> Iterator[bool]:
        asked.append((content, wait))
        yield wait or len(asked) % 2 == 0

    monkeypatch.setattr(Claims, "held", held)
    one = plan(corpus, tmp_path)
    run(one)
    waited = [content for content, wait in asked if wait]
    assert waited and set(waited) < {content for content, wait in asked if not wait}
    assert account(one) == (UTTERANCES, UTTERANCES)
    again = plan(corpus, tmp_path, seed=2)
    run(again)
    assert account(again) == (0, 0), "shared by the runs of a command"


def test_what_cannot_be_read_ends_the_run_with_a_sentence(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def torn(reader: ItemReader, index: Any) -> Any:
        raise RuntimeError(f"item {index} is torn")

    monkeypatch.setattr(ItemReader, "_read", torn)
    with pytest.raises(RunFailed, match=r"a batch of split train could not be read .* item 0 is torn"):
        run(plan(corpus, tmp_path))


def test_a_split_that_is_not_met_as_a_whole_is_left_to_the_steps(
    corpus: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    read, store, states = ItemReader._read, features_first.store, list[Any]()

    def drawing(reader: ItemReader, index: Any) -> Any:
        torch.rand(1)
        return read(reader, index)

    def watched(*arguments: Any, **options: Any) -> None:
        states.append(torch.get_rng_state())
        store(*arguments, **options)
        states.append(torch.get_rng_state())

    monkeypatch.setattr(ItemReader, "_read", drawing)
    monkeypatch.setattr(features_first, "store", watched)
    runner = {"total_steps": 1, "eval_step": 1, "save_step": 1, "gradient_accumulate_steps": 1, "log_step": 1}
    one = plan(corpus, tmp_path, runner=runner)
    run(one)
    said = capfd.readouterr().err
    assert "features of dev-clean" in said and "features of train" not in said
    assert account(one)[0] < UTTERANCES
    before, after = states
    assert torch.equal(before, after), "the run's generators are left alone"
