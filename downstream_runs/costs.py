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


def sentence(task: str) -> str:
    """The hours of a task in words."""
    hours = HOURS.get(task)
    if hours is None:
        return "no published figure"
    return f"about {hours} h on one H100 with stock s3prl (published by a user)"
