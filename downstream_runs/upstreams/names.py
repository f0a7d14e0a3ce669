"""Which upstreams there are, without loading any of them."""

from __future__ import annotations

import ast
from pathlib import Path

from downstream_runs.bridge import s3prl_folder
from upstream_arm import names
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near

# Entries with one of these endings build a model from a checkpoint of the caller's.
NEED_CHECKPOINT = ("_local", "_url", "_custom")


def s3prl_names() -> tuple[str, ...]:
    """The upstream entries of the installed s3prl: the public functions of its hubconf files.

    They are read as text: importing s3prl takes seconds and, on today's torchaudio, needs the bridge.
    Empty where s3prl is not installed.
    """
    folder = s3prl_folder()
    if folder is None:
        return ()
    found: set[str] = set()
    for file in folder.glob("upstream/*/hubconf.py"):
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found.update(node.name for node in tree.body if isinstance(node, ast.FunctionDef))
    return tuple(sorted(name for name in found if not name.startswith("_")))


def is_known(name: str) -> bool:
    """Whether this project or s3prl has an upstream of that name."""
    return name in names.names() or name in s3prl_names()


def check_upstream(name: str) -> None:
    """Raise UsageError, with near names, for an upstream that neither this project nor s3prl has."""
    if is_known(name):
        return
    if Path(name).is_dir():
        raise UsageError(f"there is no upstream {name!r}; the folder of that name is written ./{name}")
    hint = near(name, (*names.names(), *s3prl_names()))
    raise UsageError(f"there is no upstream {name!r} ({PROGRAM} list shows all){hint}")
