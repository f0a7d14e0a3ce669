"""Show upstreams, tasks and recipes."""

from __future__ import annotations

import argparse
import importlib.metadata
import textwrap

from downstream_runs import tasks
from downstream_runs.tasks import own, plugins
from downstream_runs.upstreams import own_code, sources
from downstream_runs.upstreams.names import NEED_CHECKPOINT, s3prl_names
from upstream_arm import names
from upstream_arm.common.errors import DONE
from upstream_arm.common.program import PROGRAM


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace) -> int:
    """Print the names."""
    print(text(), end="")
    return DONE


def text() -> str:
    """Upstreams of this project, upstreams of s3prl, tasks with their recipes; nothing is loaded."""
    lines = [f"Upstreams of this project (weights: {PROGRAM} fetch NAME, or --ckpt FILE)"]
    lines += [f"  {name:<18} {file}" for name, file in names.RELEASED.items()]
    lines += [f"  {alias:<18} the same as {name}" for alias, name in names.ALIASES.items()]
    lines.append("  each also as NAME_local (--ckpt FILE) and NAME_random (seeded, untrained)")
    lines += ["", "Models of other papers, read from their authors' files (--ckpt FILE)"]
    lines += [f"  {name:<24} {family}" for name, family in names.PEERS.items()]
    others = [name for name in s3prl_names() if not name.endswith(NEED_CHECKPOINT)]
    if others:
        lines += ["", f"Upstreams of s3prl {importlib.metadata.version('s3prl')}"]
        lines += textwrap.wrap(", ".join(others), 100, initial_indent="  ", subsequent_indent="  ")
        lines.append("  and those ending in _local, _url or _custom (--ckpt FILE)")
    else:
        lines += ["", "Upstreams of s3prl: s3prl is not installed here; the first run installs it"]
    installed = own_code.plugins()
    if installed:
        lines += ["", f"Upstreams of installed packages ({own_code.GROUP})"]
        lines += [f"  {name:<18} {point.value}" for name, point in sorted(installed.items())]
    lines += ["", f"Any other: {sources.FORMS}"]
    lines += ["", "Tasks, with their recipes"]
    for name in tasks.names():
        lines.append(f"  {name:<18} {', '.join(tasks.get(name).recipes)}")
    lines += ["", "Tasks of a table of your own (--table FILE): " + ", ".join(own.KINDS)]
    if plugins.names():
        lines += ["", f"Tasks of installed packages ({plugins.GROUP})"]
        lines += [f"  {name:<18} {value}" for name, value in sorted(plugins.names().items())]
    return "\n".join(lines) + "\n"
