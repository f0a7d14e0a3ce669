"""The tested set: one file for every Python, which setup.cfg's own requirements admit."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

CHECKOUT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def renew() -> ModuleType:
    spec = importlib.util.spec_from_file_location("renew_constraints", CHECKOUT / ".ci/renew_constraints.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_markers_stand_where_pythons_differ(renew: ModuleType) -> None:
    found = {
        "3.10": {"numpy": "2.2", "torch": "2.11", "nvidia-cublas": "13"},
        "3.11": {"numpy": "2.4", "torch": "2.11", "editdistance": "0.8"},
        "3.12": {"numpy": "2.5", "torch": "2.11"},
        "3.13": {"numpy": "2.5", "torch": "2.11", "rapidfuzz": "3.14"},
        "3.14": {"numpy": "2.5", "torch": "2.11", "rapidfuzz": "3.15"},
    }
    assert renew.lines(found) == [
        "editdistance==0.8",
        'numpy==2.2; python_version < "3.11"',
        'numpy==2.4; python_version >= "3.11" and python_version < "3.12"',
        'numpy==2.5; python_version >= "3.12"',
        'rapidfuzz==3.14; python_version < "3.14"',
        'rapidfuzz==3.15; python_version >= "3.14"',
        "torch==2.11",
    ]


def test_every_requirement_is_in_the_set(renew: ModuleType) -> None:
    lines = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    named = {line.partition("==")[0] for line in lines if not line.startswith("#")}
    wanted = {re.split(r"[^A-Za-z0-9_-]", line)[0].lower().replace("_", "-") for line in renew.requirements()}
    assert wanted <= named, wanted - named


def test_the_set_names_no_place() -> None:
    text = (CHECKOUT / "constraints.txt").read_text(encoding="utf-8")
    assert "://" not in text and " @ " not in text and "/" not in text.replace(".ci/", "")
