"""Files of a sample beside their source, without a second copy where that can be."""

from __future__ import annotations

import contextlib
import os
import shutil
from pathlib import Path

from upstream_arm.common.files import atomic_path


def link_or_copy(source: Path, path: Path) -> None:
    """Make `path` a hard link to `source`, or a copy where the file system has no links for it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    # Refused across file systems and for files of others; a copy serves as well.
    with contextlib.suppress(OSError):
        os.link(source.resolve(), path)
        return
    with atomic_path(path) as temporary:
        shutil.copyfile(source, temporary)
