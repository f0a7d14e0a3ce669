"""XML of the term detection formats, read element by element and without anything that XML can pull in."""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

from downstream_runs.scoring.names import ScoringError

Visit = Callable[[str, dict[str, str]], None]


class _Target:
    """What the parser calls; it holds no more than the element at hand, as a stdlist can hold millions."""

    def __init__(self, path: Path, root: str, visit: Visit) -> None:
        self.path, self.root, self.visit = path, root, visit
        self.seen = False

    def start(self, tag: str, attributes: dict[str, str]) -> None:
        if not self.seen and tag != self.root:
            raise ScoringError(f"{self.path} is a <{tag}> file, a <{self.root}> file was expected")
        self.seen = True
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
    parser = ElementTree.XMLParser(target=_Target(path, root, visit))
    try:
        data = path.read_bytes()
        if path.suffix.lower() == ".gz":
            data = gzip.decompress(data)
        parser.feed(data)
        parser.close()
    except (OSError, EOFError, zlib.error, ValueError, LookupError, ElementTree.ParseError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ScoringError(f"{path} cannot be read ({reason}), a <{root}> XML file was expected") from None


def attribute(path: Path, tag: str, attributes: dict[str, str], name: str) -> str:
    """One attribute of an element. Raises ScoringError when it is absent or empty."""
    value = attributes.get(name, "")
    if not value:
        raise ScoringError(f"{path}: a <{tag}> has no {name}, <{tag} {name}=...> was expected")
    return value
