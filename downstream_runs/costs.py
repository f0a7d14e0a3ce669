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


RUN_DISK: Mapping[str, str] = MappingProxyType(
    {
        "asr": "1.7 GB",
        "sf": "1.7 GB",
        "asv": "0.5 GB",
        "qbe": "30 GB until it ends, for 12 layers of 768",
    }
)
"""Disk for one run of the superb recipe, estimated from the size of its head (three checkpoints with the
states of Adam, and what the protocol keeps), or for QbE from 12 x 768 values in fp32 a frame of all audio."""

SMALL_RUN_DISK = "less than 0.2 GB"
"""For a run of any other task."""


def disk(task: str) -> str:
    """The disk that a run takes beside its corpus, in words."""
    return f"a run takes about {RUN_DISK[task]}" if task in RUN_DISK else f"a run takes {SMALL_RUN_DISK}"


def sentence(task: str) -> str:
    """The hours of a task in words."""
    hours = HOURS.get(task)
    if hours is None:
        return "no published figure"
    return f"about {hours} h on one H100 with stock s3prl (published by a user)"
