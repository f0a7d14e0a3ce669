"""Automatic speech recognition on LibriSpeech: characters by CTC, WER on test-clean, no language model."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import librispeech
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.scoring.wer import Unit


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
    recipes=Recipes("asr"),
    split_keys={split: f"downstream_expert.datarc.{split}" for split in ("train", "dev-clean", "test-clean")},
    fixed_keys=("downstream_expert.datarc.decoder_args.decoder_type",),
    score=score,
    used=used,
    split_batches=True,
)
