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
import re
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from downstream_runs.features import provenance


def text(value: Any) -> tuple[str, ...]:
    """All that is known of a value."""
    found = provenance._Options()
    found.add(value, "it")
    return (*found.lines, *sorted(found.modules))


def code(value: Any) -> list[str]:
    """What is known of the files and packages of a value."""
    found = provenance._Options()
    found.add(value, "it")
    return provenance._code(sorted(found.modules))


class Slotted:
    """An object with an attribute in a slot."""

    __slots__ = ("rate",)

    def __init__(self, rate: int) -> None:
        self.rate = rate


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
    lambda: provenance.Unknown,
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
    lambda: Slotted(1),
    lambda: Slotted(2),
    lambda: re.compile("1"),
    lambda: re.compile("2"),
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


class Private:
    __slots__ = ("__rate",)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (np.array([object()]), "ndarray"),
        (operator.itemgetter(1), "itemgetter"),
        (io.StringIO("a"), "StringIO"),
        (Private(), "Private"),
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
    "main.py": "import near, pack.deep.leaf, numpy.fft, torch, optional_and_absent\nfrom branch import twig",
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
UNUSED = dict.fromkeys(("alone.py", "pack/alone.py", "elsewhere/spaced/alone.py"), "")
UNUSED |= {"numpy/fft.py": "", "json/decoder.py": ""}  # folders of names that Python finds elsewhere


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = tmp_path / "code"
    for name, source in {**SOURCES, **UNUSED}.items():
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text(source + "\n")
    return made


def lines(folder: Path, *names: str) -> list[str]:
    """What is known of the code of these modules of a folder."""
    with pytest.MonkeyPatch.context() as patch:
        for place in (folder, folder / "elsewhere"):
            patch.syspath_prepend(str(place))
        for name in names:
            module = ModuleType(name)
            module.__file__ = str(folder / f"{name}.py")
            patch.setitem(sys.modules, name, module)
        return provenance._code(names)


def test_every_file_that_is_imported_counts_and_no_other(folder: Path) -> None:
    before = lines(folder, "main")
    for name in SOURCES:
        path = folder / name
        path.write_text(SOURCES[name] + "\n# changed\n")
        assert lines(folder, "main") != before, name
        path.write_text(SOURCES[name] + "\n")
    for name in UNUSED:
        (folder / name).write_text("# changed\n")
    assert lines(folder, "main") == before
    assert len(before) == len(SOURCES) + 2 and before[-2:] == [version("numpy"), version("torch")]


def test_the_order_of_modules_and_their_place_do_not_matter(folder: Path) -> None:
    before = lines(folder, "main")
    assert lines(folder, "near", "alone") == lines(folder, "alone", "near")
    moved = folder.with_name("moved")
    shutil.move(folder, moved)
    assert lines(moved, "main") == before


def test_many_packages_stand_in_the_order_of_their_names(folder: Path) -> None:
    names = ["numpy", "torch", "scipy", "pytest", "hypothesis", "yaml", "packaging", "pluggy", "filelock"]
    names = [name for name in names if importlib.util.find_spec(name)]
    (folder / "main.py").write_text(f"import {', '.join(names)}\n")
    assert [line.split()[0] for line in lines(folder, "main")[1:]] == sorted(names)


def test_code_that_cannot_be_read_is_unknown(folder: Path) -> None:
    with pytest.raises(provenance.Unknown, match=r"none\.py cannot be read"):
        lines(folder, "none")
    (folder / "broken.py").write_text("import (\n")
    with pytest.raises(provenance.Unknown, match=r"broken\.py cannot be read"):
        lines(folder, "broken")


def test_builtin_modules_have_no_file_and_end_nothing(folder: Path) -> None:
    assert lines(folder, "alone") == [one for one in lines(folder, "alone") if one.startswith("alone.py ")]
    with pytest.MonkeyPatch.context() as patch:
        module = ModuleType("alone")
        module.__file__ = str(folder / "alone.py")
        patch.setitem(sys.modules, "alone", module)
        assert [one.split()[0] for one in provenance._code(["_io", "alone", "builtins"])] == ["alone.py"]


def test_a_module_that_is_in_no_file_and_not_pythons_own_is_unknown() -> None:
    with pytest.raises(provenance.Unknown, match="the code of module typed_in is in no file"):
        provenance._code(["builtins", "typed_in"])


def test_an_identity_is_of_what_builds_an_upstream_and_of_the_upstream() -> None:
    pairs = [(upstream, entry) for upstream in ([1.0], [2.0]) for entry in (str.upper, str.lower)]
    identities = [provenance.identity(*pair) for pair in pairs]
    assert len(set(identities)) == 4 and provenance.identity([1.0], str.upper) == identities[0]


def test_what_a_module_imports_is_found_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when its folder is on Python's path no more, as after a notebook changed it."""
    (tmp_path / "found_beside.py").write_text("import helper_beside\nclass Made: pass\n")
    helper = tmp_path / "helper_beside.py"
    helper.write_text("FACTOR = 1\n")
    with monkeypatch.context() as patch:
        patch.syspath_prepend(str(tmp_path))
        module = importlib.import_module("found_beside")
    try:
        before = code(module.Made)
        helper.write_text("FACTOR = 2\n")
        assert any(line.startswith("helper_beside.py ") for line in before) and code(module.Made) != before
    finally:
        for name in ("found_beside", "helper_beside"):
            sys.modules.pop(name, None)
