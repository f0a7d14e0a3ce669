"""Phoneme recognition on LibriSpeech: phones by CTC through a lexicon, PER on test-clean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import libriphone
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _ctc

RECIPES = Recipes("pr")


def check(config: Mapping[str, Any]) -> None:
    """UsageError for other s3prl classes or metrics than the task's."""
    _ctc.require_fixed(config["downstream_expert"], RECIPES["superb"].config["downstream_expert"])


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """PER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    from downstream_runs.scoring import per

    reference, hypothesis = _ctc.read_arks(folder, split)
    counts = per.score(reference, hypothesis)
    single = {name: per.score({name: reference[name]}, {name: hypothesis[name]}) for name in reference}
    # LibriSpeech's utterances are named SPEAKER-CHAPTER-NUMBER.
    items = tuple(
        Item(name, name.split("-")[0], one.errors, one.length) for name, one in sorted(single.items())
    )
    return (Score("per", 100.0 * counts.rate, counts.as_dict(), items),)


TASK = TaskSpec(
    name="pr",
    title="Phoneme recognition",
    s3prl_name="ctc",
    aliases=("ctc", "phoneme", "phone", "phoneme-recognition", "libriphone"),
    corpus=libriphone.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(MetricSpec("per", "phone error rate", "percent", "lower", "ctc-libriphone/{split}-per", 100.0),),
    # s3prl starts from 2 ** 31, so it always keeps a checkpoint.
    selection=Selection(split="dev", metric="per", artefact="dev-best.ckpt", s3prl_bound=100.0 * 2**31),
    artefacts=("dev-best.ckpt", "test-hyp.ark", "test-ref.ark"),
    recipes=RECIPES,
    split_keys={split: f"downstream_expert.corpus.{split}" for split in ("train", "dev", "test")},
    check=check,
    score=score,
    used=_ctc.used,
    split_batches=True,
)
