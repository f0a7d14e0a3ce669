"""Checkpoints that survive a kill at any moment, and the random states that make a resumed run the same."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from downstream_runs.core.run_folder import RunFolder, sha256_record
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_write_bytes, atomic_write_text

FORMAT = 1
KEPT = 2


def write_tensors(path: Path, content: dict[str, Any]) -> str:
    """Write tensors and plain values to `path`, its SHA-256 in `path`.sha256; returns that hash."""
    # In memory first: torch reports a full disk as a RuntimeError without cause, a plain write as OSError.
    buffer = io.BytesIO()
    torch.save(content, buffer)
    data = buffer.getvalue()
    digest = hashlib.sha256(data).hexdigest()
    # The record goes first: a file without its record would look damaged after a kill between the two.
    atomic_write_text(sha256_record(path), digest + "\n")
    atomic_write_bytes(path, data)
    return digest


def read_tensors(path: Path) -> dict[str, Any]:
    """Read what `write_tensors` wrote, on the CPU; RunFailed if it is damaged."""
    data = path.read_bytes()
    record = sha256_record(path)
    expected = record.read_text(encoding="utf-8").strip() if record.exists() else "no record"
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise RunFailed(f"{path} is damaged: its SHA-256 is {found}, {record.name} has {expected}")
    content = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    if not isinstance(content, dict):
        raise RunFailed(f"{path} holds a {type(content).__name__}, expected a dictionary of states")
    return content


class Checkpoints:
    """The last checkpoints of a run, `checkpoints/step-N.pt`; a new one is whole before an old one goes."""

    def __init__(self, folder: RunFolder, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn

    def save(self, step: int, state: dict[str, Any]) -> Path:
        """Write the state at `step`, then remove all but the newest two."""
        path = self._folder.checkpoint(step)
        write_tensors(path, {"format": FORMAT, "step": step, **state})
        for old in list(self._folder.checkpoints().values())[KEPT:]:
            sha256_record(old).unlink(missing_ok=True)
            old.unlink(missing_ok=True)
        return path

    def latest(self) -> dict[str, Any] | None:
        """The newest good state, or None; a damaged file is named and the one before it taken."""
        for path in self._folder.checkpoints().values():
            try:
                state = read_tensors(path)
            except RunFailed as error:
                self._warn(f"{error}; going back to the checkpoint before it")
                continue
            if state.get("format") != FORMAT:
                raise RunFailed(
                    f"{path} has checkpoint format {state.get('format')}, this version reads {FORMAT}; "
                    "start again with --rerun always"
                )
            return state
        return None

    def drop_after(self, step: int) -> None:
        """Remove files of later steps: they could not be read, and their steps are done again."""
        for later, path in self._folder.checkpoints().items():
            if later > step:
                path.unlink()
                sha256_record(path).unlink(missing_ok=True)
