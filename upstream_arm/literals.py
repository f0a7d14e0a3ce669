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
from upstream_arm.common.words import shown

Value: TypeAlias = "int | bool | list[Value] | tuple[Value, ...]"

# A pattern never needs more; a larger one is a mistake or an attempt to fill the memory.
MAX_ITEMS = 10_000


def parse_list(text: str, key: str) -> list[Value]:
    """Read a list expression such as "[(256, 3, 2)] * 4 + [(432, 1, 1)]".

    UpstreamError, which names the setting `key`, if the text is anything but such a list.
    """
    try:
        value = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        value = 0
    if not isinstance(value, list):
        raise UpstreamError(
            f"{key} is {shown(text)}, expected a list of numbers, booleans or tuples joined by + and *, "
            "for example '[(256, 3, 2)] * 4 + [(432, 1, 1)]'; correct it in the model's yaml"
        )
    return value


def _read(node: ast.expr) -> Value:
    """The value of an expression; ValueError for other kinds of expressions."""
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
        left, right = _read(node.left), _read(node.right)
        if isinstance(node.op, ast.Add) and isinstance(left, list) and isinstance(right, list):
            both = left + right
            if len(both) <= MAX_ITEMS:
                return both
        if isinstance(node.op, ast.Mult):
            if type(left) is int:
                left, right = right, left
            if isinstance(left, Sequence) and type(right) is int and len(left) * right <= MAX_ITEMS:
                return left * right
    raise ValueError
