"""A clock that is set back or forth during a run."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from pathlib import Path

from downstream_runs.core import records
from downstream_runs.runs import status


def write(folder: Path, *events: tuple[str, int, float]) -> None:
    """Events as (name, step, minutes from now)."""
    now = datetime.now(timezone.utc)
    lines = [
        {"event": name, "step": step, "time": (now + timedelta(minutes=minutes)).isoformat()}
        for name, step, minutes in events
    ]
    (folder / "events.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def test_a_clock_set_back_takes_no_time_from_a_run(tmp_path: Path) -> None:
    # Ten minutes, then a clock that was an hour ahead is put right, then five minutes.
    write(tmp_path, ("start", 0, 40), ("checkpoint", 5, 50), ("resume", 5, -10), ("checkpoint", 9, -5))
    assert 20 * 60 - 1 < records.seconds(tmp_path) < 20 * 60 + 60
    write(tmp_path, ("start", 0, 60), ("checkpoint", 5, 30))
    assert records.seconds(tmp_path) == 0.0
    (tmp_path / "events.jsonl").write_text('{"event": "start", "step": 0}\n{"step": 1, "time": "noon"}\n')
    assert records.seconds(tmp_path) == 0.0


def test_no_estimate_from_a_turned_clock(tmp_path: Path) -> None:
    write(tmp_path, ("start", 0, 0), ("checkpoint", 5, 10), ("checkpoint", 10, 5))
    events = list(records.read(tmp_path / "events.jsonl"))
    assert status._left(events, 20) is None
    write(tmp_path, ("start", 0, 0), ("checkpoint", 5, 5), ("checkpoint", 10, 10))
    events = list(records.read(tmp_path / "events.jsonl"))
    left = status._left(events, 20)
    assert left is not None and abs(left - 10) < 1e-6
