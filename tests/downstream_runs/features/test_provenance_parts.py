"""What tells one upstream's code and options from another's, part by part."""

from __future__ import annotations

import csv
import functools
import importlib
import importlib.metadata
import importlib.util
import io
import itertools
import json
import logging
import operator
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from downstream_runs.features import provenance


def text(value: Any) -> tuple[str, ...]:
    """All that is known of a value."""
    found = provenance._Description()
    found.add(value, "it")
    return (*found.options, *sorted(found._modules))


def code(value: Any) -> list[str]:
    """What is known of the files and packages of a value."""
    found = provenance._Description()
    found.add(value, "it")
    return found.code()


class Options:
    """An object with attributes."""

    def __init__(self, **attributes: Any) -> None:
        self.__dict__.update(attributes)

    def first(self) -> None:
        pass

    def second(self) -> None:
        pass


def closed(value: Any) -> Callable[[], Any]:
    """A function with two closures, the first of a name that is not bound."""

    def inner() -> Any:
        return absent, bound

    bound = value
    if value is inner:
        absent = 1
    return inner


def defaults(value: int) -> Callable[..., int]:
    def made(given: int = value) -> int:
        return given

    return made


def named(value: int) -> Callable[..., int]:
    def made(*, given: int = value) -> int:
        return given

    return made


def module(**hooks: Any) -> nn.Module:
    made = nn.Linear(1, 1)
    made.register_buffer("window", torch.ones(hooks.get("window", 1)), persistent=False)
    if "after" in hooks:
        made.register_forward_hook(hooks["after"])
    if "before" in hooks:
        made.register_forward_pre_hook(hooks["before"])
    return made


ONE, OTHER = [1], [1]
DIFFERENT: list[Callable[[], Any]] = [
    *(functools.partial(lambda value: value, plain) for plain in (None, True, 1, 1.0, "1", b"1", Path("1"))),
    lambda: range(3),
    lambda: range(4),
    lambda: slice(1),
    lambda: ...,
    lambda: torch.zeros(4),
    lambda: torch.tensor([0.0, 0.0, 0.0, 1.0]),
    lambda: torch.zeros(2, 2),
    lambda: torch.zeros(4, dtype=torch.int32),
    lambda: np.zeros(4),
    lambda: np.ones(4),
    lambda: np.zeros((2, 2)),
    lambda: np.zeros(4, dtype=np.int64),
    lambda: torch.float16,
    lambda: torch.float32,
    lambda: torch.device("cpu"),
    lambda: torch.device("meta"),
    lambda: torch.Size([1]),
    lambda: np.float32(1),
    lambda: np.float64(2),
    lambda: np.dtype("int8"),
    lambda: {1: 2},
    lambda: {1: 3},
    lambda: {2: 2},
    lambda: [1, 2],
    lambda: [2, 1],
    lambda: (1, 2),
    lambda: {1, "a"},
    lambda: {2, "a"},
    lambda: [ONE, OTHER, ONE],
    lambda: [ONE, OTHER, OTHER],
    lambda: json,
    lambda: csv,
    lambda: len,
    lambda: abs,
    lambda: str.upper,
    lambda: str.lower,
    lambda: Options,
    lambda: provenance._Files,
    lambda: text,
    lambda: closed,
    lambda: Options(step=1).first,
    lambda: Options(step=1).second,
    lambda: Options(step=2).first,
    lambda: closed(1),
    lambda: closed(2),
    lambda: defaults(1),
    lambda: defaults(2),
    lambda: named(1),
    lambda: named(2),
    lambda: functools.partial(text, 1),
    lambda: functools.partial(text, 2),
    lambda: functools.partial(text, value=1),
    lambda: functools.partial(closed, 1),
    lambda: Options(training=True),
    lambda: Options(training=False),
    lambda: Options(rate=True),
    lambda: module(),
    lambda: module(window=2),
    lambda: module(after=text),
    lambda: module(before=text),
    lambda: module(before=closed),
]


def test_different_values_are_told_apart_and_equal_ones_are_not() -> None:
    found = [text(made()) for made in DIFFERENT]
    assert [text(made()) for made in DIFFERENT] == found
    for (number, one), (place, other) in itertools.combinations(enumerate(found), 2):
        assert one != other, (number, place)


def test_what_changes_no_feature_is_left_out() -> None:
    assert text(module().train()) == text(module().eval())
    assert text(Options(a=1, b=2)) == text(Options(b=2, a=1))
    names = [f"name{number}" for number in range(30)]
    assert text(set(names)) == text(set(reversed(names)))
    assert text({1, "a", None}) == text({None, "a", 1})
    assert text(logging.getLogger("a")) == text(logging.getLogger("b")) == ()
    assert text(module(after=text)) == text(module(after=text)), "hooks have other numbers each time"


class Derived(nn.Linear):
    pass


class Slotted:
    __slots__ = ("rate",)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array([object()]), "ndarray"),
        (operator.itemgetter(1), "itemgetter"),
        (io.StringIO("a"), "StringIO"),
        (Slotted(), "Slotted"),
    ],
)
def test_what_cannot_be_read_is_unknown(value: Any, kind: str) -> None:
    with pytest.raises(provenance.Unknown, match=f"it.step is a {kind}"):
        text(Options(step=value))


def version(package: str) -> str:
    return f"{package} {importlib.metadata.version(package)}"


def test_versions_of_the_packages_that_are_used() -> None:
    assert code([len, nn.Linear]) == [version("torch")], "known by its version alone"
    others = code(np.random.RandomState)
    assert others[-1] == version("numpy") and len(others) > 1, "others by their files too"
    assert any(line.startswith("nodes.py ") for line in code(pytest.Item))
    assert {"torch.nn.modules.linear", "torch.nn.modules.module"} < set(text(Derived)), "also of its bases"


# files

SOURCES = {
    "main.py": "import near, pack.deep.leaf, numpy, torch, optional_and_absent\nfrom branch import twig",
    "near.py": "def late():\n    import far",
    "elsewhere/far.py": "import spaced.inner",
    "elsewhere/spaced/inner.py": "from spaced import sibling",  # a folder without __init__.py
    "elsewhere/spaced/sibling.py": "",
    "pack/__init__.py": "",
    "pack/side.py": "",
    "pack/deep/__init__.py": "from . import beside",
    "pack/deep/beside.py": "from .over import name",
    "pack/deep/over.py": "from ..side import name",
    "pack/deep/leaf.py": "from .low import base",
    "pack/deep/low/__init__.py": "",
    "pack/deep/low/base.py": "from ... import top",
    "pack/top.py": "import quick",
    "quick.abi3.so": "machine code",
    "branch/__init__.py": "",
    "branch/twig.py": "import os, json.decoder",
}
UNUSED = {"alone.py": "", "pack/alone.py": "", "elsewhere/spaced/alone.py": ""}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "code"
    for name, source in {**SOURCES, **UNUSED}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(source + "\n")
    for place in (made, made / "elsewhere"):
        monkeypatch.syspath_prepend(str(place))
    return made


def lines(*paths: Path) -> list[str]:
    importlib.invalidate_caches()
    files = provenance._Files()
    for path in paths:
        files.add(path, "main")
    return files.lines()


def test_every_file_that_is_imported_counts_and_no_other(folder: Path) -> None:
    before = lines(folder / "main.py")
    assert len(before) == len(SOURCES) + 2
    assert before[-2:] == [version("numpy"), version("torch")]
    for name in SOURCES:
        path = folder / name
        path.write_text(SOURCES[name] + "\n# changed\n")
        assert lines(folder / "main.py") != before, name
        path.write_text(SOURCES[name] + "\n")
    for name in UNUSED:
        (folder / name).write_text("# changed\n")
    assert lines(folder / "main.py") == before


def test_the_order_of_files_and_their_place_do_not_matter(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = lines(folder / "main.py")
    twice = lines(folder / "near.py", folder / "alone.py")
    assert twice == lines(folder / "alone.py", folder / "near.py") and len(twice) == 5
    moved = folder.with_name("moved")
    shutil.move(folder, moved)
    for place in (moved, moved / "elsewhere"):
        monkeypatch.syspath_prepend(str(place))
    assert lines(moved / "main.py") == before


def test_many_packages_stand_in_the_order_of_their_names(tmp_path: Path) -> None:
    names = ["numpy", "torch", "scipy", "pytest", "hypothesis", "yaml", "packaging", "pluggy", "filelock"]
    names = [name for name in names if importlib.util.find_spec(name)]
    (tmp_path / "main.py").write_text(f"import {', '.join(names)}\n")
    found = [line.split()[0] for line in lines(tmp_path / "main.py")[1:]]
    assert found == sorted(names)


def test_an_installed_package_is_known_by_its_version_and_the_files_beside(tmp_path: Path) -> None:
    def beside(package: str) -> list[str]:
        files = provenance._Files()
        files._installed = (tmp_path,)
        files.add(tmp_path / "a.py", package)
        return [line.partition(" ")[0] for line in files.lines()]

    for name in ("a.py", "b.py", "c.txt"):
        (tmp_path / name).write_text("import near\n")
    assert beside("someones") == ["a.py", "b.py", "someones"]
    assert beside("torch") == ["torch"] and beside("json") == ["json"]
    assert provenance._Files()._is_installed(Path(json.__file__))
    assert provenance._Files()._is_installed(Path(np.__file__))
    assert not provenance._Files()._is_installed(tmp_path / "a.py")


def test_a_file_that_cannot_be_read_is_unknown_and_one_that_is_no_python_is_not_followed(
    tmp_path: Path,
) -> None:
    with pytest.raises(provenance.Unknown, match=r"none.py cannot be read: No such file"):
        lines(tmp_path / "none.py")
    (tmp_path / "broken.py").write_text("import (\n")
    assert len(lines(tmp_path / "broken.py")) == 1


def test_builtin_modules_have_no_file_and_end_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    near = importlib.import_module("near")
    monkeypatch.delitem(sys.modules, "near")
    monkeypatch.setitem(sys.modules, "near", near)
    assert any(line.startswith("near.py ") for line in code([len, near.late]))
