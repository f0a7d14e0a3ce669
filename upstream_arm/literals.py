"""Lists written as Python expressions in the authors' yaml files, read without evaluating anything.

`conv_feature_layers`, `reuse_pattern` and `pred_layer_id` are strings such as
`[(128, 10, 5)] + [(256, 3, 2)] * 4`. Only lists, tuples, integers and booleans, joined by `+` and
repeated by `*`, are accepted.
"""

from __future__ import annotations

import ast
from collections.abc import Sequence
from typing import TypeAlias

from upstream_arm.common.errors import UpstreamError

Value: TypeAlias = "int | bool | list[Value] | tuple[Value, ...]"

# A pattern never needs more; a larger one is a mistake or an attempt to fill the memory.
MAX_ITEMS = 10_000


def parse_list(text: str, key: str) -> list[Value]:
    """Read a list expression of integers, booleans, tuples and lists.

    Args:
        text: for example `"[(256, 3, 2)] * 4 + [(432, 1, 1)]"`.
        key: the name of the setting, used in error messages.

    Raises:
        UpstreamError: if the text is anything but such a list.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        raise _refusal(key, text) from None
    try:
        value = _read(tree.body)
    except (_NotAList, RecursionError):
        raise _refusal(key, text) from None
    if not isinstance(value, list):
        raise _refusal(key, text)
    return value


class _NotAList(Exception):
    pass


def _refusal(key: str, text: str) -> UpstreamError:
    shown = text if len(text) <= 80 else text[:77] + "..."
    return UpstreamError(
        f"{key} is {shown!r}, expected a list of numbers, booleans or tuples joined by + and *, "
        "for example '[(256, 3, 2)] * 4 + [(432, 1, 1)]'; correct it in the model's yaml"
    )


def _read(node: ast.expr) -> Value:
    if isinstance(node, ast.Constant) and type(node.value) in (int, bool):
        return node.value  # type: ignore[return-value]
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
        value = _read(node.operand)
        if type(value) is int:
            return -value
    if isinstance(node, ast.List):
        return [_read(item) for item in node.elts]
    if isinstance(node, ast.Tuple):
        return tuple(_read(item) for item in node.elts)
    if isinstance(node, ast.BinOp):
        return _join(node.op, _read(node.left), _read(node.right))
    raise _NotAList


def _join(operator: ast.operator, left: Value, right: Value) -> Value:
    if isinstance(operator, ast.Add) and isinstance(left, list) and isinstance(right, list):
        joined = left + right
        if len(joined) <= MAX_ITEMS:
            return joined
    if isinstance(operator, ast.Mult):
        if type(left) is int:
            left, right = right, left
        if isinstance(left, Sequence) and type(right) is int and len(left) * right <= MAX_ITEMS:
            return left * right
    raise _NotAList
