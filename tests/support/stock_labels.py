"""Trains with the `s3prl` command: `stock_labels.py JOBS.json`, each job a task, a config and a folder."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import toy

from downstream_runs.bridge import command
from upstream_arm import folders, listings

_names = folders._names


def _by_name(folder: Path) -> listings.Names:
    return dict(sorted(_names(folder).items()))


def main(jobs: str) -> None:
    toy.register()
    # A file system that lists folders by name, on which stock KS has the order that we put it in anywhere.
    folders._names = _by_name
    for task, config, folder in json.loads(Path(jobs).read_text()):
        arguments = ["-m", "train", "-u", "toy", "-d", task, "-c", config, "-p", folder, "--device", "cpu"]
        code = command.main(["run_downstream.py", *arguments])
        if code:
            sys.exit(code)


main(*sys.argv[1:])
