"""Automatic speech recognition on LibriSpeech: characters by CTC, WER on test-clean, no language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Recipe,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import librispeech
from downstream_runs.tasks import _blocks

if TYPE_CHECKING:
    from downstream_runs.scoring.wer import Unit


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: int,
    head: tuple[int, tuple[int, ...], float],
    workers: int,
    specaug: bool = True,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log, evaluation and checkpoint steps, `head` projection, BiLSTMs, dropout.

    s3prl halves every training batch whose longest utterance has more than 2000 samples, which is all of
    them: `batch` 32 trains on 16 and 16. That is kept, since published numbers come from it.
    """
    expert = {
        "datarc": {
            "train": ["train-clean-100"],
            "dev-clean": ["dev-clean"],
            "test-clean": ["test-clean"],
            "num_workers": workers,
            "batch_size": batch,
            # One utterance at a time: s3prl would drop a last batch of one.
            "eval_batch_size": 1,
            "zero_infinity": True,
            "decoder_args": {"decoder_type": "None"},
        },
        "modelrc": _blocks.bilstm(*head),
    }
    config = _blocks.config(
        steps=steps, every=every, lr=lr, expert=expert, evaluated=("dev-clean",), warmup=warmup
    )
    if specaug:
        config["specaug"] = _blocks.specaug()
    return config


_SUPERB: dict[str, Any] = {
    "steps": 200_000,
    "every": (100, 2000, 500),
    "lr": 1e-4,
    "batch": 32,
    "head": (1024, (1024, 1024), 0.2),
    "workers": 12,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults; the batch of 32 is 16 and 16 in effect",
        source="s3prl 0.4.18, downstream/asr/config.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, warmup=1400),
        note="as superb, with the learning-rate schedule switched on: linear to the peak at 1400, then to 0",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(
            steps=240,
            every=(10, 80, 40),
            lr=3e-3,
            batch=8,
            head=(128, (128,), 0.1),
            workers=0,
            specaug=False,
        ),
        "a small head and few steps: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(
            steps=300,
            every=(10, 100, 50),
            lr=2e-3,
            batch=8,
            head=(128, (128,), 0.0),
            workers=0,
            specaug=False,
        ),
        "a small head that learns a handful of real utterances by heart",
    ),
}


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """WER and CER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    from downstream_runs.scoring import wer

    reference = wer.read_ark(folder / f"{split}-noLM-ref.ark")
    hypothesis = wer.read_ark(folder / f"{split}-noLM-hyp.ark")
    return (
        _score("wer", reference, hypothesis, "word"),
        _score("cer", reference, hypothesis, "char"),
    )


def _score(metric: str, reference: Mapping[str, str], hypothesis: Mapping[str, str], unit: Unit) -> Score:
    from downstream_runs.scoring import wer

    counts = wer.score(reference, hypothesis, unit)
    single = {name: wer.score({name: reference[name]}, {name: hypothesis[name]}, unit) for name in reference}
    # LibriSpeech's utterances are named SPEAKER-CHAPTER-NUMBER.
    items = tuple(
        Item(name, name.split("-")[0], one.errors, one.length) for name, one in sorted(single.items())
    )
    return Score(metric, 100.0 * counts.rate, counts.as_dict(), items)


def used(dataset: Any) -> int:
    """Utterances in s3prl's training set; it drops a last batch that has one utterance only."""
    return sum(len(bucket) for bucket in dataset.X)


TASK = TaskSpec(
    name="asr",
    title="Automatic speech recognition",
    s3prl_name="asr",
    aliases=("speech-recognition", "librispeech-asr"),
    corpus=librispeech.CORPUS,
    train_split="train",
    dev_splits=("dev-clean",),
    test_splits=("test-clean",),
    metrics=(
        MetricSpec("wer", "word error rate", "percent", "lower", "asr/{split}-wer"),
        # s3prl's own unit error rate counts the word separators too, so it is another number.
        MetricSpec("cer", "character error rate", "percent", "lower", None, official=False),
    ),
    selection=Selection(split="dev-clean", metric="wer", artefact="dev-clean-best.ckpt", s3prl_bound=100.0),
    artefacts=(
        "dev-clean-best.ckpt",
        "test-clean-noLM-hyp.ark",
        "test-clean-noLM-ref.ark",
    ),
    recipes=RECIPES,
    split_keys={split: f"downstream_expert.datarc.{split}" for split in ("train", "dev-clean", "test-clean")},
    fixed_keys=("downstream_expert.datarc.decoder_args.decoder_type",),
    score=score,
    used=used,
    split_batches=True,
)
