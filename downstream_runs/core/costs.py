"""The disk and the hours that runs take, so that nobody is surprised."""

from __future__ import annotations

from downstream_runs.core.task import Recipe, TaskSpec

SHORT_RUN_GB = 0.03
"""Of the disk, at most, for a run of a recipe that is not meant for a whole corpus."""

FRAMES_GB_AN_HOUR = 3.3
"""Stored frames of 12 x 768 values in fp16, 50 a second; twice that in fp32."""

POOLED_GB = 74e-6
"""A stored utterance of a task whose head takes the mean over frames: two vectors of 12 x 768 in fp32."""

FILTERBANK_SHARE = 0.06
"""What s3prl's fbank and mfcc take of that: up to 240 values at 100 frames a second."""


def width(upstream: str) -> float:
    """The size of an upstream's features in units of 12 layers of 768 values at 50 frames a second."""
    return FILTERBANK_SHARE if upstream.startswith(("fbank", "mfcc")) else 1.0


def run_gb(task: TaskSpec, recipe: Recipe) -> float:
    """The disk that a run keeps, in GB."""
    return task.cost.run_gb if recipe.is_full else SHORT_RUN_GB


def search_gb(task: TaskSpec, recipe: Recipe) -> float:
    """The disk that a run takes more until it ends, in GB."""
    return task.cost.search_gb if recipe.is_full else 0.0


def store_gb(task: TaskSpec, precision: str) -> tuple[str, float]:
    """What stored features are of, as tasks share them, and GB for 12 layers of 768.

    Training crops that are random come only once and are not stored, so dev and test alone count there.
    """
    random = task.random_share == 1.0
    splits = [split for name, split in task.corpus.splits.items() if name != "train" or not random]
    if task.pooled:
        return f"pooled {task.name}", sum(split.utterances for split in splits) * POOLED_GB
    hours = sum(split.hours for split in splits)
    return f"frames of {task.corpus.name}", hours * FRAMES_GB_AN_HOUR * (2 if precision == "fp32" else 1)


def disk(task: TaskSpec) -> str:
    """The disk that a run takes beside its corpus, in words."""
    if task.cost.search_gb:
        return f"a run takes about {task.cost.search_gb:.0f} GB until it ends, for 12 layers of 768"
    return f"a run takes about {task.cost.run_gb} GB"


def hours(task: TaskSpec) -> str:
    """The hours of a task in words."""
    if not task.cost.hours:
        return "no published figure"
    return f"about {task.cost.hours} h on one H100 with stock s3prl (published by a user)"
