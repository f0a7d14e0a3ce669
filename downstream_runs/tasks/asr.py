"""Automatic speech recognition on LibriSpeech: characters by CTC, WER on test-clean, no language model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Cost, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.corpora import librispeech
from downstream_runs.recipes import Recipes
from downstream_runs.scoring import wer
from downstream_runs.tasks import _ctc


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """WER and CER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    texts = _ctc.read(folder, f"{split}-noLM")
    characters = functools.partial(wer.score, unit="char")
    return _ctc.error_rate("wer", wer.score, *texts), _ctc.error_rate("cer", characters, *texts)


def used(dataset: Any) -> int:
    """Utterances in s3prl's training set; it drops a last batch that has one utterance only."""
    return sum(len(bucket) for bucket in dataset.X)


TASK = TaskSpec(
    name="asr",
    title="Automatic speech recognition",
    s3prl_name="asr",
    aliases=("speech-recognition", "librispeech-asr"),
    corpus=librispeech.CORPUS,
    recipes=Recipes("asr"),
    cost=Cost(hours="13.4", run_gb=1.7),
    dev_splits=("dev-clean",),
    test_splits=("test-clean",),
    metrics=(
        MetricSpec("wer", "word error rate", "percent", "lower", "asr/{split}-wer"),
        # s3prl's own unit error rate counts the word separators too, so it is another number.
        MetricSpec("cer", "character error rate", "percent", "lower", None, official=False),
    ),
    selection=Selection(split="dev-clean", metric="wer", artefact="dev-clean-best.ckpt", s3prl_bound=100.0),
    artefacts=("dev-clean-best.ckpt", "test-clean-noLM-hyp.ark", "test-clean-noLM-ref.ark"),
    submitted={"test-clean-noLM-hyp.ark": "asr_public/predict.ark"},
    split_keys={split: f"downstream_expert.datarc.{split}" for split in ("train", "dev-clean", "test-clean")},
    fixed_keys=("downstream_expert.datarc.decoder_args.decoder_type",),
    score=score,
    used=used,
    split_batches=True,
    batch_share=0.5,  # s3prl halves each batch with an utterance of more than 2,000 samples, which all have
)
