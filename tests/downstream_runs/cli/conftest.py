"""Corpora on a server of this machine, for the command `data`."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import published
import pytest
from bringing import FLUENT, IEMOCAP, KS
from published import Publisher

from downstream_runs.corpora.fetching import sources
from upstream_arm.common import transfer


@pytest.fixture(scope="module")
def place(label_demos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Archives of KS, IC and ER as their authors lay them out."""
    place = tmp_path_factory.mktemp("place")
    for name in KS:
        published.tar_gz(place / f"{name}.tar.gz", label_demos / name, ".")
    published.tar_gz(place / f"{FLUENT}.tar.gz", label_demos / FLUENT, FLUENT)
    inner = f"IEMOCAP_full_release_withoutVideos/{IEMOCAP}"
    published.tar_gz(place / f"{IEMOCAP}.tar.gz", label_demos / IEMOCAP, inner)
    return place


@pytest.fixture
def server(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Publisher]:
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(transfer, "PAUSES", (0.0,))
    with published.published(place) as server:
        # No such mirror: one that is asked second.
        file = published.sources_of(place, server.url, tmp_path / "sources.json", (f"{server.url}/mirror",))
        monkeypatch.setattr(sources, "FILE", file)
        yield server


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return tmp_path / "new" / "data"
