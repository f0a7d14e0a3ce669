"""For tests of where an upstream comes from."""

from __future__ import annotations

import sys
from collections.abc import Iterator

import pytest

from downstream_runs.upstreams import names as listing


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Two of s3prl's names without its import, and `sys.path` as it was afterwards."""
    monkeypatch.setattr(listing, "s3prl_names", lambda: ("fbank", "hf_hubert_custom"))
    path = list(sys.path)
    yield
    sys.path[:] = path
