"""The one function of `distutils` that s3prl imports; Python 3.12 took the package out."""

from __future__ import annotations

_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")


def strtobool(val: str) -> int:
    """1 or 0 for a word of truth, as Python 3.11 documents it; ValueError for another."""
    word = val.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"invalid truth value {word!r}")
    return int(word in _TRUE)
