"""Phoneme recognition on LibriSpeech: phones by CTC through a lexicon, PER on test-clean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score
from downstream_runs.corpora import libriphone
from downstream_runs.scoring import wer
from downstream_runs.tasks import _ctc, task


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """PER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    return (_ctc.error_rate("per", wer.score, *_ctc.read(folder, split)),)


TASK = task("pr", libriphone.CORPUS, score, check=_ctc.check, used=_ctc.used)
