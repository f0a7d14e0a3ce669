"""s3prl's `-o` option without its eval().

The format is s3prl's: `config.optimizer.lr=1e-3,,config.runner.eval_dataloaders=['dev'],,args.seed=7`.
A value is a Python literal, or else plain text. Apart from the original, the text may hold `=`, a calculation
is refused instead of run, and so is a key that s3prl would pass over in silence.
"""

from __future__ import annotations

import ast
import copy
import sys
from argparse import Namespace
from dataclasses import dataclass
from typing import Any

from upstream_arm.common.errors import UsageError

SEPARATOR = ",,"
_FORMAT = "args.NAME=VALUE or config.SECTION.NAME=VALUE, several joined by ',,'"


@dataclass(frozen=True)
class Assignment:
    """One override: where it goes (`args` or `config`), the keys on the way down, and the value."""

    target: str
    keys: tuple[str, ...]
    value: Any


def parse(text: str) -> tuple[Assignment, ...]:
    """Read the whole option; UsageError names the part that cannot be read."""
    return tuple(_parse_one(part.strip()) for part in text.split(SEPARATOR))


def override(text: str, args: Namespace, config: dict[str, Any]) -> None:
    """Set in `args` and `config` what `text` says; on UsageError neither has changed."""
    assignments = parse(text)
    changed = copy.deepcopy(config)
    for assignment in assignments:
        if assignment.target == "config":
            _set(changed, assignment)
    config.clear()
    config.update(changed)
    for assignment in assignments:
        name = ".".join((assignment.target, *assignment.keys))
        print(f"[Override] - {name} = {assignment.value}", file=sys.stderr)
        if assignment.target == "args":
            setattr(args, assignment.keys[0], assignment.value)


def _parse_one(part: str) -> Assignment:
    key, equals, value = (piece.strip() for piece in part.partition("="))
    target, *keys = key.split(".")
    if not equals or target not in ("args", "config") or not keys or not all(keys):
        raise UsageError(f"-o: cannot read '{part}': expected {_FORMAT}; correct it and run again")
    if target == "args" and len(keys) != 1:
        raise UsageError(
            f"-o: '{key}' has {len(keys)} names after args, expected one, as in args.seed=7: "
            "correct it and run again"
        )
    return Assignment(target, tuple(keys), parse_value(value))


def parse_value(text: str) -> Any:
    """A Python literal as its value, other text as itself; UsageError for a calculation or a call."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        pass
    if _would_compute(text):
        raise UsageError(
            f"-o: '{text}' is a calculation, expected a value: write the result itself, "
            "or put quotes around it if it is text"
        )
    return text


def _would_compute(text: str) -> bool:
    """Whether eval() could have made a number of this: as text it would be a silent change of meaning."""
    try:
        nodes = list(ast.walk(ast.parse(text, mode="eval")))
    except (ValueError, SyntaxError, MemoryError, RecursionError):
        return False
    if any(isinstance(node, ast.Call) for node in nodes):
        return True
    # 'train-clean-100' and 'data/x' also parse, as sums of unknown names: those are texts.
    return any(isinstance(node, ast.BinOp) for node in nodes) and not any(
        isinstance(node, ast.Name) for node in nodes
    )


def _set(config: dict[str, Any], assignment: Assignment) -> None:
    """Go down section by section, making those that are missing, and set the last key."""
    section: Any = config
    for depth, key in enumerate(assignment.keys):
        if not isinstance(section, dict):
            where = ".".join(("config", *assignment.keys[:depth]))
            raise UsageError(
                f"-o: {where} is {section!r} in the configuration, expected a section that can hold '{key}': "
                "correct the key and run again"
            )
        if depth + 1 == len(assignment.keys):
            section[key] = assignment.value
        else:
            section = section.setdefault(key, {})
