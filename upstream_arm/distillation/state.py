"""A run's folder: the state to go on from, its journal, and the student that comes out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm.checkpoint import CONFIG_KEY, FORMAT, FORMAT_KEY
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import atomic_path, atomic_write_text, read_json, sha256_file

if TYPE_CHECKING:
    from upstream_arm.student import Student

SETTINGS = "settings.json"
STATE = "state.json"
METRICS = "metrics.jsonl"
STUDENT = "student.safetensors"


def open_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Begin or go on in `folder`.

    Raises:
        UpstreamError: if it holds a run with other settings, or files that are no run.
    """
    path = folder / SETTINGS
    if not path.is_file():
        if folder.is_dir() and any(folder.glob("*.*")):
            raise UpstreamError(
                f"{folder} holds files but no distillation run (no {SETTINGS}); give a new folder (--out)"
            )
        atomic_write_text(path, json.dumps(settings, indent=1) + "\n")
        return
    found = read_json(path)
    if found is None:
        raise UpstreamError(f"{path} is damaged; remove {folder} or give another --out")
    for key, value in settings.items():
        if found.get(key) != value:
            raise UpstreamError(
                f"{folder} holds a run with {key} {found.get(key)!r}, this one has {value!r}; give the same "
                "options to go on, or another --out"
            )


def save(folder: Path, step: int, content: Mapping[str, Any]) -> None:
    """Keep the state after `step` steps; the one before it is removed once this one is whole."""
    import torch

    name = f"state-{step:08d}.pt"
    with atomic_path(folder / name) as written:
        torch.save(dict(content), written)
    atomic_write_text(
        folder / STATE, json.dumps({"step": step, "file": name, "sha256": sha256_file(folder / name)}) + "\n"
    )
    for other in folder.glob("state-*.pt"):
        if other.name != name:
            other.unlink()


def load(folder: Path) -> tuple[int, dict[str, Any]] | None:
    """The step and the content of the kept state, None if there is none.

    Raises:
        UpstreamError: if its file is not the one that was written.
    """
    import torch

    path = folder / STATE
    if not path.is_file():
        return None
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        step, state = int(about["step"]), folder / Path(about["file"]).name
        whole = state.is_file() and sha256_file(state) == about["sha256"]
    except (ValueError, KeyError, TypeError):
        whole, state = False, path
    if not whole:
        raise UpstreamError(
            f"{state} is missing or damaged (its hash is not the one in {STATE}), so the run cannot go on; "
            f"remove {folder} to begin again, or give another --out"
        )
    return step, torch.load(state, map_location="cpu", weights_only=True)


class Journal:
    """`metrics.jsonl`: one record a line; what a killed run wrote after its last state is taken back."""

    def __init__(self, folder: Path, step: int) -> None:
        self.path = folder / METRICS
        lines = []
        for line in self.path.read_text(encoding="utf-8").splitlines() if self.path.exists() else []:
            try:
                if json.loads(line)["step"] <= step:
                    lines.append(line)
            except (ValueError, KeyError, TypeError):
                break  # the line that a kill cut short
        atomic_write_text(self.path, "".join(line + "\n" for line in lines))

    def write(self, record: Mapping[str, Any]) -> None:
        """Append a record."""
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(dict(record)) + "\n")


def export(student: Student, path: Path, about: Mapping[str, Any]) -> None:
    """Write the student as the self-describing safetensors that `upstream_arm.checkpoint` reads.

    Args:
        student: the model.
        path: the new file.
        about: further remarks for its metadata, each a json value: `labels`, `teacher`, `settings`, ...
    """
    from safetensors.torch import save_file

    metadata = {
        "format": "pt",
        FORMAT_KEY: FORMAT,
        CONFIG_KEY: json.dumps(student.config.to_mapping()),
        **{key: json.dumps(value) for key, value in about.items()},
    }
    weights = {key: tensor.detach().cpu().contiguous() for key, tensor in student.state_dict().items()}
    with atomic_path(path) as written:
        save_file(weights, written, metadata)
