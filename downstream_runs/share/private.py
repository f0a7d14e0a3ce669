"""Paths of one's machine, which name people and machines, taken out of what is shared."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from downstream_runs.core.results import OWN_TASK, Result

#: In place of the folders of a path; its last part stays.
ANYWHERE = "/path/to"
#: An absolute path within a sentence or an option, or one below a home; no address and no "and/or".
_PATH = re.compile(r"(?<![\w.~/-])(?:file:/)?(?:~[\w.-]*)?(?:(?<=file:/)/)?/(?!/)[^\s'\"`,;:()\[\]{}<>|]+")


@dataclass(frozen=True)
class Hidden:
    """What must not be shared. places: paths that are known to be of the machine, the longest first."""

    places: tuple[str, ...]

    @classmethod
    def of(cls, result: Result, *more: Path) -> Hidden:
        """The paths that a result names; more: such as the folder of its run."""
        own = result.config.get(OWN_TASK, {})
        named = [result.corpus.root, result.upstream_checkpoint, result.upstream_source]
        named += [own.get(key) for key in ("table", "trials", "file")]
        named += [re.sub(r"^[\w.-]*=", "", word) for word in result.command]
        paths = [name.removeprefix("py:") for name in named if isinstance(name, str)]
        known = {*paths, *map(str, (*more, Path.home()))}
        above = {str(parent) for path in known for parent in list(PurePosixPath(path).parents)[:1]}
        return cls(tuple(sorted(filter(_is_private, known | above), key=len, reverse=True)))

    def text(self, text: str) -> str:
        """The text with the last parts of its paths alone."""
        for place in self.places:
            text = text.replace(place, _shortened(place))
        if text.startswith("/") and "\n" not in text and " " in text:
            return _shortened(text)
        return _PATH.sub(lambda found: _shortened(found[0]), text)

    def value(self, value: Any) -> Any:
        """A JSON value with its texts so changed."""
        if isinstance(value, str):
            return self.text(value)
        if isinstance(value, dict):
            return {key: self.value(one) for key, one in value.items()}
        if isinstance(value, list | tuple):
            return [self.value(one) for one in value]
        return value

    def found_in(self, content: bytes) -> str | None:
        """The first of the places that is in a file all the same."""
        return next((place for place in self.places if place.encode() in content), None)


def _is_private(path: str) -> bool:
    """A path long enough that replacing it everywhere spoils nothing else."""
    return path.startswith("/") and len(PurePosixPath(path).parts) > 2 and not path.startswith(ANYWHERE)


def _shortened(path: str) -> str:
    if path.startswith((ANYWHERE, "/dev/")):
        return path
    scheme = "file://" if path.startswith("file:") else ""
    parts = PurePosixPath(path).parts
    # In the cache of the Hugging Face hub a file is called by its hash, and its folders say what it is.
    model = next((place for place, part in enumerate(parts) if part.startswith("models--")), len(parts) - 1)
    return "/".join((f"{scheme}{ANYWHERE}", *parts[model:]))
