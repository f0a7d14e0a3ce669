"""Lets s3prl's keyword spotting list its folders by this project's rule of what belongs to a corpus.

Its own lists take hidden files and folders, and folders whose names end in .wav. What it trains and tests on
would then be other files than the ones that were checked, counted and hashed.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

from downstream_runs.bridge.import_hooks import after_import


class ListedPath(type(Path())):  # type: ignore[misc]
    """A path whose `iterdir` gives the folders that belong to a corpus, and whose `glob` the files."""

    def iterdir(self) -> Generator[Any, None, None]:
        """The folders in this one that belong, in the file system's order, which stock s3prl has too."""
        from downstream_runs.corpora import folders

        belong = {folder.name for folder in folders.subfolders(Path(self))}
        yield from (ListedPath(path) for path in Path(self).iterdir() if path.name in belong)

    def glob(self, pattern: str, **options: Any) -> Iterator[Path]:
        """The files in this folder that belong, for a pattern such as `*.wav`; none if there is no folder."""
        from downstream_runs.corpora import folders

        if not Path(self).is_dir():
            return iter(())
        belong = {file.name for file in folders.files(Path(self), pattern.removeprefix("*"))}
        return (path for path in Path(self).glob(pattern, **options) if path.name in belong)


def install() -> None:
    """Correct the two modules as soon as they are imported."""
    for name in ("dataset", "expert"):
        after_import(f"s3prl.downstream.speech_commands.{name}", correct)


def correct(module: ModuleType) -> None:
    """Let the module list folders by the rule."""
    vars(module)["Path"] = ListedPath
