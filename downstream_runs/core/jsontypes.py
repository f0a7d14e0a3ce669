"""Check values against the type hints of a frozen dataclass, whether they come from Python or from JSON."""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Mapping, Sequence
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from upstream_arm.common.errors import ReportError
from upstream_arm.common.words import shown

_hints = functools.cache(get_type_hints)  # reading them takes longer than checking a result by them
WORDS = {str: "text", int: "a whole number", float: "a finite number", bool: "true or false"}


def check_fields(instance: Any) -> None:
    """Replace each field of a frozen dataclass by its checked form (lists become tuples, mappings dicts).

    Raises ReportError that names the field, what was found and what was expected.
    """
    cls: Any = type(instance)
    for name, hint in _hints(cls).items():
        object.__setattr__(instance, name, convert(getattr(instance, name), hint, name))


def convert(value: Any, hint: Any, where: str) -> Any:
    """`value` in the form that `hint` asks for; `where` names it in the ReportError.

    Knows text, numbers, booleans, None, `Literal`, `X | None`, `tuple[X, ...]`, `Mapping[str, X]`,
    dataclasses and `Any` (any JSON value).
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return json_value(value, where)
    if origin is Literal:
        if value not in arguments or type(value) not in {type(choice) for choice in arguments}:
            raise _wrong(value, " or ".join(map(repr, arguments)), where)
        return value
    if origin in (Union, types.UnionType):
        inner = next(choice for choice in arguments if choice is not type(None))
        return None if value is None else convert(value, inner, where)
    if origin is tuple:
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise _wrong(value, "a list", where)
        return tuple(convert(item, arguments[0], f"{where}[{index}]") for index, item in enumerate(value))
    if origin is Mapping:
        return {key: convert(item, arguments[1], f"{where}.{key}") for key, item in _items(value, where)}
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return value if isinstance(value, hint) else from_mapping(hint, value, where)
    return _scalar(value, hint, where)


def _scalar(value: Any, hint: Any, where: str) -> Any:
    accepted = (int, float) if hint is float else hint
    # bool is a subclass of int, but true is no count; numpy's float64 is a float and becomes a plain one.
    fits = isinstance(value, accepted) and (hint is bool or not isinstance(value, bool))
    if not fits or (hint is float and not math.isfinite(value)):
        raise _wrong(value, WORDS[hint], where)
    return hint(value)


def from_mapping(cls: Any, value: Any, where: str) -> Any:
    """A dataclass from a mapping that has exactly its fields as keys.

    The values are checked by the class's own `__post_init__`, which calls `check_fields`.
    """
    given = dict(_items(value, where))
    expected = [field.name for field in dataclasses.fields(cls)]
    for kind, names in (
        ("lacks the keys", [name for name in expected if name not in given]),
        ("has the unknown keys", [name for name in given if name not in expected]),
    ):
        if names:
            more = ", ..." if len(names) > 5 else ""
            raise ReportError(f"{where} {kind} {', '.join(map(repr, names[:5]))}{more}")
    try:
        return cls(**given)
    except ReportError as error:
        raise ReportError(f"{where}: {error}") from None


def _items(value: Any, where: str) -> list[tuple[str, Any]]:
    if not isinstance(value, Mapping):
        raise _wrong(value, "an object", where)
    for key in value:
        if not isinstance(key, str):
            raise ReportError(f"{where} has the key {key!r}, only text keys are possible in JSON")
    return list(value.items())


def unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An `object_pairs_hook` of json.loads; ValueError for a key that is there twice."""
    content = dict(pairs)
    if len(content) != len(pairs):
        raise ValueError("a key is there twice")
    return content


def json_value(value: Any, where: str) -> Any:
    """`value` as JSON gives it back (tuples become lists); ReportError where JSON has no such value."""
    if isinstance(value, Mapping):
        return {key: json_value(item, f"{where}.{key}") for key, item in _items(value, where)}
    if isinstance(value, list | tuple):
        return [json_value(item, f"{where}[{index}]") for index, item in enumerate(value)]
    if value is None or isinstance(value, bool):
        return value
    for kind in (str, int, float):
        if isinstance(value, kind):
            return _scalar(value, kind, where)
    raise _wrong(value, "a JSON value", where)


def _wrong(value: Any, expected: str, where: str) -> ReportError:
    return ReportError(f"{where} is {shown(value, 60)}, {expected} was expected")


def filled(instance: Any, *names: str) -> None:
    """Raise ReportError where one of these fields is empty or 0."""
    for name in names:
        if not getattr(instance, name):
            raise ReportError(f"{name} is empty, a value was expected")
