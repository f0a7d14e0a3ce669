"""What a task costs with stock s3prl, so that nobody is surprised."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

HOURS: Mapping[str, str] = MappingProxyType(
    {
        "pr": "10-16",
        "asr": "13.4",
        "ks": "1.5",
        "sid": "30-50",
        "asv": "36-48",
        "sd": "6-12",
        "ic": "4",
        "er": "15-25",
    }
)
"""Hours on one H100 GPU with stock s3prl and its default recipe, as a user of s3prl published them.

None are known for QbE and SF. They say how tasks compare rather than what your machine will need.
"""


RUN_GB: Mapping[str, float] = MappingProxyType({"asr": 1.7, "sf": 1.7, "asv": 0.5})
"""Disk for one run of the superb recipe, estimated from the size of its head: three checkpoints with the
states of Adam, and what the protocol keeps."""

SMALL_RUN_GB, SHORT_RUN_GB = 0.2, 0.03
"""At most, for a run of any other task; and of a recipe of this project, the demo's for one."""

SEARCH_GB: Mapping[str, float] = MappingProxyType({"qbe": 30.0})
"""What a run takes until it ends: 12 x 768 values in fp32 for each frame of all audio."""

FRAMES_GB_AN_HOUR = 3.3
"""Stored frames of 12 x 768 values in fp16, 50 a second; twice that in fp32."""

POOLED_GB = 74e-6
"""A stored utterance of a task whose head takes the mean over frames: two vectors of 12 x 768 in fp32."""

FILTERBANK_SHARE = 0.06
"""What s3prl's fbank and mfcc take of that: up to 240 values at 100 frames a second."""


def width(upstream: str) -> float:
    """The size of an upstream's features in units of 12 layers of 768 values at 50 frames a second."""
    return FILTERBANK_SHARE if upstream.startswith(("fbank", "mfcc")) else 1.0


def run_gb(task: str, recipe: str) -> float:
    """The disk that a run keeps, in GB."""
    return RUN_GB.get(task, SMALL_RUN_GB) if recipe in ("superb", "paper") else SHORT_RUN_GB


def search_gb(task: str, recipe: str) -> float:
    """The disk that a run takes more until it ends, in GB."""
    return SEARCH_GB.get(task, 0.0) if recipe in ("superb", "paper") else 0.0


def store_gb(task: str, pooled: bool, precision: str) -> tuple[str, float] | None:
    """What stored features are of, as tasks share them, and GB for 12 layers of 768; None for QbE's own.

    Training crops that are random come only once and are not stored, so dev and test alone count there.
    """
    from downstream_runs import tasks

    if task == "qbe":
        return None
    spec = tasks.get(task)
    random = spec.random_share == 1.0
    splits = [split for name, split in spec.corpus.splits.items() if name != "train" or not random]
    if pooled:
        return f"pooled {task}", sum(split.utterances for split in splits) * POOLED_GB
    hours = sum(split.hours for split in splits)
    return f"frames of {spec.corpus.name}", hours * FRAMES_GB_AN_HOUR * (2 if precision == "fp32" else 1)


def disk(task: str) -> str:
    """The disk that a run takes beside its corpus, in words."""
    if task in SEARCH_GB:
        return f"a run takes about {SEARCH_GB[task]:.0f} GB until it ends, for 12 layers of 768"
    if task in RUN_GB:
        return f"a run takes about {RUN_GB[task]} GB"
    return f"a run takes less than {SMALL_RUN_GB} GB"


def sentence(task: str) -> str:
    """The hours of a task in words."""
    hours = HOURS.get(task)
    if hours is None:
        return "no published figure"
    return f"about {hours} h on one H100 with stock s3prl (published by a user)"
