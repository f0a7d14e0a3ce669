"""XML of the term detection formats, read element by element and without anything that XML can pull in."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from downstream_runs.scoring import inputs
from downstream_runs.scoring.names import ScoringError

Visit = Callable[[str, dict[str, str]], None]


class _Target:
    """What the parser calls; it holds no more than the element at hand, as a stdlist can hold millions."""

    def __init__(self, path: Path, root: str, visit: Visit) -> None:
        self.path, self.root, self.visit = path, root, visit
        self.elements = 0

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.elements and tag != self.root:
            raise ScoringError(f"{self.path} is a <{tag}> file, a <{self.root}> file was expected")
        self.elements += 1
        self.visit(tag, attributes)

    def end(self, tag: str) -> None:
        pass

    def doctype(self, name: str, public: str | None, system: str | None) -> None:
        # Called before any entity of the DOCTYPE is known, so none is ever expanded.
        raise ScoringError(
            f"{self.path} declares a document type ({name}), which can define entities: "
            "a plain file was expected, remove the <!DOCTYPE ...>"
        )

    def close(self) -> None:
        pass


def walk(path: Path, root: str, visit: Visit) -> None:
    """Call `visit(tag, attributes)` for every element of an XML file (`.gz` allowed), in order.

    Raises ScoringError when the file cannot be read, is not well-formed XML in the encoding that it declares,
    has another root element than `root`, or holds a DOCTYPE.
    """
    target = _Target(path, root, visit)
    parser = ElementTree.XMLParser(target=target)
    wanted = f"a <{root}> XML file"
    try:
        for block in inputs.blocks(path, wanted):
            before = target.elements
            parser.feed(block)
            # The parser holds all of an element until its end, and more than once.
            if target.elements == before and len(block) >= inputs.LINE_LIMIT:
                raise ScoringError(
                    f"{path} has {len(block):,} bytes without an element, {wanted} was expected"
                )
        parser.close()
    except (ValueError, LookupError, ElementTree.ParseError) as error:
        raise ScoringError(f"{path} cannot be read ({error}), {wanted} was expected") from None


def names(
    path: Path, root: str, tag: str, key: str, item: str, named: Callable[[str], str] = str
) -> tuple[str, ...]:
    """The names of what a file lists: of every element `tag` its attribute `key` as `named` shortens it.

    item: what an element stands for. Raises ScoringError as `walk` does, and for no name or the same twice.
    """
    found: dict[str, None] = {}

    def visit(element: str, attributes: dict[str, str]) -> None:
        if element == tag:
            name = named(attribute(path, tag, attributes, key))
            if name in found:
                raise ScoringError(f"{path}: {item} {name!r} is there twice, once was expected")
            found[name] = None

    walk(path, root, visit)
    if not found:
        raise ScoringError(f"{path} holds no {item}, <{tag} {key}=...> was expected")
    return tuple(found)


def attribute(path: Path, tag: str, attributes: dict[str, str], name: str) -> str:
    """One attribute of an element. Raises ScoringError when it is absent or empty."""
    value = attributes.get(name, "")
    if not value:
        raise ScoringError(f"{path}: a <{tag}> has no {name}, <{tag} {name}=...> was expected")
    return value
