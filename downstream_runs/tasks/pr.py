"""Phoneme recognition on LibriSpeech: phones by CTC through a lexicon, PER on test-clean."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Cost, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.corpora import libriphone
from downstream_runs.recipes import Recipes
from downstream_runs.scoring import wer
from downstream_runs.tasks import _ctc


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """PER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    return (_ctc.error_rate("per", wer.score, *_ctc.read(folder, split)),)


TASK = TaskSpec(
    name="pr",
    title="Phoneme recognition",
    s3prl_name="ctc",
    aliases=("ctc", "phoneme", "phone", "phoneme-recognition", "libriphone"),
    corpus=libriphone.CORPUS,
    recipes=Recipes("pr"),
    cost=Cost(hours="10-16"),
    metrics=(MetricSpec("per", "phone error rate", "percent", "lower", "ctc-libriphone/{split}-per", 100.0),),
    # s3prl starts from 2 ** 31, so it always keeps a checkpoint.
    selection=Selection(split="dev", metric="per", artefact="dev-best.ckpt", s3prl_bound=100.0 * 2**31),
    artefacts=("dev-best.ckpt", "test-hyp.ark", "test-ref.ark"),
    submitted={"test-hyp.ark": "pr_public/predict.ark"},
    split_keys={split: f"downstream_expert.corpus.{split}" for split in ("train", "dev", "test")},
    fixed_keys=("downstream_expert.corpus.name", "downstream_expert.text.mode"),
    score=score,
    check=_ctc.check,
    used=_ctc.used,
    split_batches=True,
)
