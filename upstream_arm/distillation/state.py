"""A run's folder: its settings, the state to go on from, and its journal.

settings.json        what the run computes; another run is refused here
state-00000500.pt    weights, optimiser and scaler after that step; state.json names it and its SHA-256
metrics.jsonl        one record a step; tensorboard/ holds the same
student.safetensors  what came out; student-00000500.safetensors, what was there after that step, if asked for
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import atomic_path, atomic_write_text, read_json, sha256_file

SETTINGS = "settings.json"
STATE = "state.json"
METRICS = "metrics.jsonl"
STUDENT = "student.safetensors"
KEPT = "student-{step:08d}.safetensors"


def open_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin or go on in `folder`; UpstreamError if it holds another run, or files that are no run."""
    path = folder / SETTINGS
    if not path.is_file():
        if any(not path.name.startswith(".") for path in folder.glob("*.*")):
            raise UpstreamError(
                f"{folder} holds files but no distillation run (no {SETTINGS}); give a new folder (--out)"
            )
        atomic_write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    kept = read_json(path)
    if kept is None:
        raise UpstreamError(f"{path} is damaged; remove {folder} or give another --out")
    for key, value in settings.items():
        if kept.get(key) != value:
            raise UpstreamError(
                f"{folder} holds a run with {key} {kept.get(key)!r}, this one has {value!r}; give the same "
                "options to go on, or another --out"
            )


def save(folder: Path, step: int, content: Mapping[str, Any]) -> None:
    """Keep the state after `step` steps; the one before it is removed once this one is whole."""
    name = f"state-{step:08d}.pt"
    # Given a path, torch would write its temporary name into the file.
    with atomic_path(folder / name) as written, written.open("wb") as file:
        torch.save(dict(content), file)
    about = {"step": step, "file": name, "sha256": sha256_file(folder / name)}
    atomic_write_text(folder / STATE, json.dumps(about) + "\n")
    for other in folder.glob("state-*.pt"):
        if other.name != name:
            other.unlink()


def load(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The step and the content of the kept state, None if there is none; UpstreamError if it is damaged."""
    if not (folder / STATE).is_file():
        return None
    about = read_json(folder / STATE) or {}
    state = folder / Path(str(about.get("file", STATE))).name
    if not state.is_file() or sha256_file(state) != about.get("sha256"):
        raise UpstreamError(
            f"{state} is missing or damaged (its hash is not the one in {STATE}), so the run cannot go on; "
            f"remove {folder} to begin again, or give another --out"
        )
    return int(about["step"]), torch.load(state, map_location="cpu", weights_only=True)


class Journal:
    """`metrics.jsonl` and the same for TensorBoard; what a killed run wrote after `step` is taken back."""

    def __init__(self, folder: Path, step: int) -> None:
        from tensorboardX import SummaryWriter

        self.path = folder / METRICS
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            try:
                if json.loads(line)["step"] <= step:
                    lines.append(line)
            except (ValueError, KeyError, TypeError):
                break  # the line that a kill cut short
        atomic_write_text(self.path, "".join(line + "\n" for line in lines))
        self.last: dict[str, Any] = json.loads(lines[-1]) if lines else {}
        self.board = SummaryWriter(str(folder / "tensorboard"), purge_step=step + 1)

    def write(self, record: dict[str, Any]) -> None:
        """Append the record of a step."""
        self.last = record
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
        dev = {f"dev/{key}": value for key, value in record.get("dev", {}).items()}
        for key, value in {**record, **dev}.items():
            if key != "step" and not isinstance(value, (dict, list)):
                self.board.add_scalar(key, value, record["step"])
