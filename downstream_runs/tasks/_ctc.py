"""What the two tasks of s3prl's `ctc` share: what is fixed in their configuration, and s3prl's files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError


def parts(expert: Mapping[str, Any]) -> dict[str, tuple[str, ...]]:
    """The corpus's folders of each split."""
    return {split: tuple(expert["corpus"][split]) for split in ("train", "dev", "test")}


def require_fixed(expert: Mapping[str, Any], stock: Mapping[str, Any]) -> None:
    """UsageError where a setting that s3prl looks up as code, or that makes another task, was changed."""
    for block, key in (("corpus", "name"), ("text", "mode")):
        if expert[block][key] != stock[block][key]:
            raise UsageError(
                f"downstream_expert.{block}.{key} is {expert[block][key]!r}, this task needs "
                f"{stock[block][key]!r}; leave it out"
            )
    known: Sequence[str] = stock["metric"]
    strange = [metric for metric in expert["metric"] if metric not in known]
    if strange or expert["metric"][:1] != known[:1]:
        raise UsageError(
            f"downstream_expert.metric is {expert['metric']}, expected {known[0]} first and others of "
            f"{', '.join(known)} after it"
        )


def used(dataset: Any) -> int:
    """The utterances that the buckets of a training set reach."""
    size, reachable = len(dataset), dataset.bucket_size
    # s3prl's own classes count from the end where there are fewer utterances than a bucket has.
    return size if size >= reachable else len(dataset[0])


def read_arks(folder: Path, split: str) -> tuple[dict[str, str], dict[str, str]]:
    """References and hypotheses of `split` as s3prl wrote them."""
    from downstream_runs.scoring import wer

    return wer.read_ark(folder / f"{split}-ref.ark"), wer.read_ark(folder / f"{split}-hyp.ark")
