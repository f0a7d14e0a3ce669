"""Short runs of ASR's head on noise, and how one of them is made to fail."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import noise
import pytest

SHORT = {"total_steps": 4, "eval_step": 2, "save_step": 1, "gradient_accumulate_steps": 1, "log_step": 2}


def plan(corpus: Path, out: Path, **changes: Any) -> Any:
    runner = {**SHORT, **changes.pop("runner", {})}
    return noise.tiny_plan(corpus, out, upstream=changes.pop("upstream", "toy"), runner=runner, **changes)


def events(folder: Path, name: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (folder / "events.jsonl").read_text().splitlines()]
    return [line for line in lines if line["event"] == name]


def fail_at(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str, call: int, error: BaseException) -> None:
    """The `call`-th call of `owner.name` raises `error`."""
    real, calls = getattr(owner, name), [0]

    def wrapped(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == call:
            raise error
        return real(*args, **kwargs)

    monkeypatch.setattr(owner, name, wrapped)
