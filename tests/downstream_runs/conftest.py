"""Synthetic corpora that tests of several folders share, made once."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def label_demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the synthetic corpora of KS, IC and ER; tests that change one copy it first."""
    pytest.importorskip("espeakng_loader")
    from downstream_runs import tasks

    folder = tmp_path_factory.mktemp("demos")
    for name in ("ks", "ic", "er"):
        tasks.get(name).corpus.make_demo(folder)
    return folder
