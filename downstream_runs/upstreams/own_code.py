"""Upstreams and tasks of others' code: a function or class in a file, or a plug-in of a package."""

from __future__ import annotations

import ast
import importlib.metadata
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.features import provenance
from upstream_arm.common.errors import UsageError
from upstream_arm.common.reading import read_text
from upstream_arm.common.words import near

GROUP = "superb.upstreams"
"""The entry-point group in which an installed package names its upstreams: functions or classes."""

OURS = ("downstream_runs", "reports", "upstream_arm")


def plugins(group: str = GROUP) -> dict[str, importlib.metadata.EntryPoint]:
    """What installed packages offer in a group, by name; nothing of them is imported."""
    return {point.name: point for point in importlib.metadata.entry_points(group=group)}


def plugin(name: str, group: str = GROUP) -> Any:
    """The function or class behind a plug-in's name; UsageError if its package cannot be imported."""
    point = plugins(group)[name]
    try:
        return point.load()
    except Exception as error:  # a package may raise anything
        raise UsageError(f"the plug-in {name} ({point.value}) cannot be imported: {_said(error)}") from error


def check_file(path: Path, name: str) -> None:
    """UsageError if `path` is no Python file in which `name` is given to something; nothing is run."""
    try:
        tree = ast.parse(read_text(path))
    except OSError as error:
        reason = error.strerror or error
        raise UsageError(
            f"{path} cannot be read ({reason}); name a Python file, as py:FILE.py:NAME"
        ) from None
    except (ValueError, SyntaxError) as error:
        raise UsageError(f"{path} is no Python: {_said(error)}") from None
    found: set[str] = set()
    for node in ast.walk(tree):  # also within `if` and `try`
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, ast.alias):
            found.add(node.asname or node.name)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            found.add(node.id)
    if name not in found and "*" not in found:
        raise UsageError(f"{path} has no function or class {name!r}{near(name, sorted(found))}")


def sha256_of_file(path: Path) -> str:
    """SHA-256 over a file and what it imports beside installed packages; UsageError if one is unreadable."""
    try:
        return provenance.of_file(path)
    except provenance.Unknown as error:
        raise UsageError(str(error)) from None


def code_of_plugin(name: str, group: str = GROUP) -> tuple[str, str]:
    """The release of a plug-in's package, and the SHA-256 of its module's code; UsageError as `plugin`."""
    point = plugins(group)[name]
    plugin(name, group)
    release = "" if point.dist is None else f"{point.dist.name} {point.dist.version}"
    try:
        return release, provenance.of_module(point.module)
    except provenance.Unknown as error:
        raise UsageError(str(error)) from None


def load(path: Path, name: str) -> Any:
    """What the file calls `name`, after the file has been run once more, and what it imports of its folder.

    Its imports are found in its own folder first, as Python does it for a script.
    """
    for module, file in provenance.imported_by(path).items():
        top = module.partition(".")[0]
        if top in OURS and not file.is_relative_to(Path(__file__).parents[2]):
            raise UsageError(f"{file} has the name of a package of this project: give it another one")
        if top not in OURS and file.is_relative_to(path.parent):
            sys.modules.pop(module, None)  # from before an edit, or of another folder
    label, folder = f"superb_upstream_{path.stem}", str(path.parent)
    spec = importlib.util.spec_from_file_location(label, path)
    assert spec is not None and spec.loader is not None
    made = sys.modules[label] = importlib.util.module_from_spec(spec)
    sys.path.insert(0, folder)
    try:
        spec.loader.exec_module(made)
        return getattr(made, name)
    except Exception as error:  # the file may raise anything
        raise UsageError(f"{path} cannot be used: {_said(error)}") from error
    finally:
        sys.path.remove(folder)
        if folder not in sys.path:  # for imports within functions; now all else comes first
            sys.path.append(folder)


def call(made: Any, name: str, options: Mapping[str, Any], files: Mapping[str, str | None]) -> Any:
    """The module that a function or class makes of the options, and of the files that were given.

    UsageError, which names what there is, for an option that it does not take or one that it needs.
    """
    if not callable(made):
        raise UsageError(f"{name} is a {type(made).__name__}, expected a function or a class")
    given = {**options, **{key: value for key, value in files.items() if value is not None}}
    takes = inspect.signature(made).parameters
    kinds = {parameter.kind for parameter in takes.values()}
    named = [key for key, one in takes.items() if one.kind in (one.POSITIONAL_OR_KEYWORD, one.KEYWORD_ONLY)]
    for key in given:
        if key not in named and inspect.Parameter.VAR_KEYWORD not in kinds:
            option = f"--{key.replace('_', '-')}" if key in files else key
            raise UsageError(
                f"{name} takes no {option}{near(key, named)}; it takes {', '.join(named) or 'nothing'}"
            )
    for key in named:
        if takes[key].default is inspect.Parameter.empty and key not in given:
            how = f"--{key.replace('_', '-')} FILE" if key in files else f"py:FILE.py:NAME:{key}=VALUE"
            raise UsageError(f"{name} needs {key}: give it as {how}")
    return made(**given)


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split()) or 'no reason given'}"
