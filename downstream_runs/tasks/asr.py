"""Automatic speech recognition on LibriSpeech: characters by CTC, WER on test-clean, no language model."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Score
from downstream_runs.corpora import librispeech
from downstream_runs.scoring import wer
from downstream_runs.tasks import _ctc, task


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """WER and CER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    texts = _ctc.read(folder, f"{split}-noLM")
    characters = functools.partial(wer.score, unit="char")
    return _ctc.error_rate("wer", wer.score, *texts), _ctc.error_rate("cer", characters, *texts)


def used(dataset: Any) -> int:
    """Utterances in s3prl's training set; it drops a last batch that has one utterance only."""
    return sum(len(bucket) for bucket in dataset.X)


TASK = task("asr", librispeech.CORPUS, score, used=used)
