"""Phoneme recognition on LibriSpeech: phones by CTC through a lexicon, PER on test-clean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Recipe,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import libriphone
from downstream_runs.tasks import _blocks, _ctc


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: int,
    accumulate: int,
    workers: int,
    hidden: int | None = None,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks. The head is a projection to 256 and a linear layer, `hidden` puts one more between.

    SUPERB's head is linear. A few dozen utterances teach it little within a demo's time.
    """
    model: dict[str, Any] = {"project_dim": 256, "zero_infinity": True, "select": "FrameLevel"}
    if hidden is not None:
        model["FrameLevel"] = {"hiddens": [hidden], "activation": "ReLU"}
    expert = {
        "corpus": {
            "name": "libriphone",
            "train": ["train-clean-100"],
            "dev": ["dev-clean"],
            "test": ["test-clean"],
            "bucketing": True,
            "batch_size": batch,
            "num_workers": workers,
        },
        "text": {"mode": "word"},
        "model": model,
        "metric_higher_better": False,
        "metric": ["per"],
        "save_best_on": ["dev"],
    }
    return _blocks.config(
        steps=steps, every=every, accumulate=accumulate, lr=lr, expert=expert, warmup=warmup
    )


_SUPERB: dict[str, Any] = {
    "steps": 100_000,
    "every": (100, 1000, 100),
    "lr": 1e-2,
    "batch": 16,
    "accumulate": 2,
    "workers": 24,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults; a batch whose first waveform exceeds 18.75 s is halved, and an epoch has a "
        "bucket for each utterance, so about 16 passes",
        source="s3prl 0.4.18, downstream/ctc/libriphone.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, warmup=1400),
        note="as superb, with the learning-rate schedule switched on: linear to the peak at 1400, then to 0",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=100, every=(10, 50, 50), lr=3e-3, batch=8, accumulate=1, workers=0, hidden=256),
        "a hidden layer in the head and few steps: shows that everything works, says nothing about the "
        "upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=300, every=(10, 100, 50), lr=2e-3, batch=8, accumulate=1, workers=0, hidden=256),
        "a head with a hidden layer and few steps on a handful of real utterances",
    ),
}


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
