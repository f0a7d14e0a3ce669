"""Trains with the `s3prl` command: `stock_labels.py JOBS.json`, each job a task, a config and a folder."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import toy

from downstream_runs.bridge import command

_listed = Path.iterdir, Path.glob


def _sorted_folder(path: Path) -> Iterator[Path]:
    return iter(sorted(_listed[0](path)))


def _sorted_matches(path: Path, pattern: str) -> Iterator[Path]:
    return iter(sorted(_listed[1](path, pattern)))


def main(jobs: str) -> None:
    toy.register()
    # A file system that lists folders by name, on which stock KS has the order that we put it in anywhere.
    Path.iterdir, Path.glob = _sorted_folder, _sorted_matches  # type: ignore[method-assign,assignment]
    for task, config, folder in json.loads(Path(jobs).read_text()):
        arguments = ["-m", "train", "-u", "toy", "-d", task, "-c", config, "-p", folder, "--device", "cpu"]
        code = command.main(["run_downstream.py", *arguments])
        if code:
            sys.exit(code)


main(*sys.argv[1:])
