"""What the tasks trained by CTC share: s3prl's files of references and hypotheses, error rates, settings."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Item, Score
from downstream_runs.scoring import wer
from downstream_runs.scoring.counts import ErrorCounts
from upstream_arm.common.errors import UsageError

Texts = Mapping[str, str]


def read(folder: Path, stem: str) -> tuple[Texts, Texts]:
    """References and hypotheses by utterance, from `STEM-ref.ark` and `STEM-hyp.ark` as s3prl wrote them."""
    return wer.read_ark(folder / f"{stem}-ref.ark"), wer.read_ark(folder / f"{stem}-hyp.ark")


def error_rate(
    metric: str, count: Callable[[Texts, Texts], ErrorCounts], reference: Texts, hypothesis: Texts
) -> Score:
    """An error rate in percent, with each utterance's errors; `count` gives the errors of some utterances.

    The groups are the speakers of LibriSpeech, whose utterances are named SPEAKER-CHAPTER-NUMBER.
    """
    total = count(reference, hypothesis)
    single = {name: count({name: reference[name]}, {name: hypothesis[name]}) for name in sorted(reference)}
    items = tuple(Item(name, name.split("-")[0], one.errors, one.length) for name, one in single.items())
    return Score(metric, 100.0 * total.rate, total.as_dict(), items)


def check(config: Mapping[str, Any], superb: Mapping[str, Any]) -> None:
    """UsageError for metrics of s3prl's `ctc` that the task does not have, or another one at their head."""
    metrics, known = (one["downstream_expert"]["metric"] for one in (config, superb))
    if metrics[:1] != known[:1] or not set(metrics) <= set(known):
        raise UsageError(
            f"downstream_expert.metric is {metrics}, expected {known[0]} first and others of "
            f"{', '.join(known)} after it"
        )


def used(dataset: Any) -> int:
    """The utterances that the buckets of a training set of s3prl's `ctc` reach."""
    size, reachable = len(dataset), dataset.bucket_size
    # s3prl's own classes count from the end where there are fewer utterances than a bucket has.
    return size if size >= reachable else len(dataset[0])
