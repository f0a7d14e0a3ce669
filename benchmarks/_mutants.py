"""The small changes that benchmarks/mutation.py makes in a module, one at a time, in its syntax tree."""

from __future__ import annotations

import ast
import copy
import dataclasses
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

OPERATORS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.And: ast.Or,
    ast.Or: ast.And,
}
NAMES = {"min": "max", "max": "min", "any": "all", "all": "any", "maximum": "minimum", "minimum": "maximum"}
NAMES |= {"sorted": "list", "argmax": "argmin", "argmin": "argmax", "floor": "ceil", "ceil": "floor"}
#: Texts and types are not what these tests are about, nor are guards against our own slips, such as `strict`.
SKIPPED = (ast.JoinedStr, ast.Raise, ast.Import, ast.ImportFrom)
SKIPPED_KEYWORDS = frozenset({"help", "metavar", "description", "prog", "title", "encoding", "strict"})
SKIPPED_FIELDS = frozenset({"annotation", "returns", "decorator_list"})


@dataclass(frozen=True)
class Mutant:
    """One change.

    line: of the module, and source its text. function: first line of the function around it, None outside of
    all. put: puts a node there, new_node or, to undo it, old_node.
    """

    line: int
    function: int | None
    old_node: ast.AST
    new_node: ast.AST
    put: Callable[[ast.AST], None]
    source: str = ""

    @property
    def text(self) -> str:
        """The change in one line, the same wherever the code stands."""
        old, new = (_line(node) for node in (self.old_node, self.new_node))
        where = f"  in  {self.source}" if isinstance(self.old_node, (ast.Constant, ast.Name)) else ""
        return f"{old}  ->  {new}{where}"


def _line(node: ast.AST) -> str:
    if isinstance(node, ast.Pass):
        return "(nothing)"
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 90 else text[:90] + "..."


def read(path: Path) -> tuple[ast.Module, list[Mutant]]:
    """A module's syntax tree and all its mutants, in the order of the lines."""
    text = path.read_text(encoding="utf-8")
    tree, lines = ast.parse(text), text.splitlines()
    found = sorted(_walk(tree, None), key=lambda mutant: mutant.line)
    return tree, [dataclasses.replace(one, source=lines[one.line - 1].strip()) for one in found]


def _walk(parent: ast.AST, function: int | None) -> Iterator[Mutant]:
    for name, value in ast.iter_fields(parent):
        if name in SKIPPED_FIELDS:
            continue
        if isinstance(value, ast.AST):
            yield from _visit(value, _attribute(parent, name), function)
        elif isinstance(value, list):
            for place, child in enumerate(value):
                if isinstance(child, ast.AST):
                    yield from _visit(child, _element(value, place), function)


def _attribute(parent: ast.AST, name: str) -> Callable[[ast.AST], None]:
    return lambda node: setattr(parent, name, node)


def _element(owner: list[ast.AST], place: int) -> Callable[[ast.AST], None]:
    def put(node: ast.AST) -> None:
        owner[place] = node

    return put


def _visit(node: ast.AST, put: Callable[[ast.AST], None], function: int | None) -> Iterator[Mutant]:
    if isinstance(node, SKIPPED) or _for_types_only(node):
        return
    if isinstance(node, ast.keyword) and node.arg in SKIPPED_KEYWORDS:
        return
    if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
        function = min([node.lineno, *(one.lineno for one in node.decorator_list)])
    for new in _alternatives(node):
        yield Mutant(getattr(node, "lineno", 0), function, node, new, put)
    yield from _walk(node, function)


def _for_types_only(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    if isinstance(node, ast.Compare):
        for place, operator in enumerate(node.ops):
            yield _changed(node, ops=[*node.ops[:place], OPERATORS[type(operator)](), *node.ops[place + 1 :]])
    elif isinstance(node, (ast.BinOp, ast.AugAssign, ast.BoolOp)):
        if type(node.op) in OPERATORS and not _about_text(node):
            yield _changed(node, op=OPERATORS[type(node.op)]())
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant):
        yield from _constants(node)
    elif isinstance(node, (ast.If, ast.While, ast.IfExp)):
        if not isinstance(node.test, (ast.Compare, ast.BoolOp, ast.UnaryOp)):
            yield _changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Call) and not _makes(node):
        for place, keyword in enumerate(node.keywords):
            if keyword.arg in SKIPPED_KEYWORDS:
                continue
            yield _changed(node, keywords=node.keywords[:place] + node.keywords[place + 1 :])
    elif isinstance(node, ast.Name) and node.id in NAMES and isinstance(node.ctx, ast.Load):
        yield _changed(node, id=NAMES[node.id])
    elif isinstance(node, ast.Attribute) and node.attr in NAMES:
        yield _changed(node, attr=NAMES[node.attr])
    elif isinstance(node, ast.Continue):
        yield ast.Break()
    elif isinstance(node, ast.Break):
        yield ast.Continue()
    if isinstance(node, ast.AugAssign) or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield ast.Pass()


def _constants(node: ast.Constant) -> Iterator[ast.AST]:
    value = node.value
    if isinstance(value, bool):
        yield ast.Constant(not value)
    elif isinstance(value, int):
        yield ast.Constant(value + 1)
    elif isinstance(value, float):
        yield ast.Constant(1.5 * value if value else 1.0)


def _makes(node: ast.Call) -> bool:
    """Whether an object is made here, which cannot be done without its fields."""
    name = ast.unparse(node.func).rpartition(".")[2].lstrip("_")
    return name[:1].isupper() or name == "cls"


def _about_text(node: ast.AST) -> bool:
    """Whether texts are put together here."""
    parts = ast.walk(node)
    return any(isinstance(part, ast.Constant) and isinstance(part.value, str) for part in parts)


def _changed(node: ast.AST, **fields: object) -> ast.AST:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new
