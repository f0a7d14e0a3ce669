"""The proof that kills each run of a command tells a run that goes on from one that begins again."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import kill_each
import kill_proof

COMMAND = """
import os, sys, time
from pathlib import Path
from downstream_runs.core import records

out, *tasks = sys.argv[1:]
for task in tasks:
    child = os.fork()
    if child:
        os.waitpid(child, 0)
        continue
    folder = Path(out, "fbank", task, "superb-1")
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text('{"task": "%s"}' % task.partition("-")[0])
    kept = [line["step"] for line in records.read(folder / "events.jsonl") if line["event"] == "checkpoint"]
    step = 0 if task == "forgets" else max(kept, default=0)
    journal = records.Journal(folder, ())
    stored = folder / "features" / "0.pack"
    journal.event("resume" if kept or stored.exists() else "start", step, pid=os.getpid(), command=[])
    if task.startswith("qbe"):
        stored.parent.mkdir(exist_ok=True)
        if task == "qbe-forgets":
            stored.write_bytes(b"")
            time.sleep(0.2)
    while task.startswith("qbe"):
        with stored.open("ab") as file:
            file.write(bytes(1000))
        time.sleep(0.02)
    while step < 100_000:
        step += 25
        journal.event("checkpoint", step, file="x")
        time.sleep(0.02)
"""


@pytest.mark.parametrize(
    ("tasks", "code", "said"),
    [
        (("ks", "qbe"), 0, "2 of 2 runs stepped"),
        (("ks", "forgets"), 1, "1 of 2 runs stepped"),
        (("ks", "qbe-forgets"), 1, "1 of 2 runs stepped"),
    ],
)
def test_runs_go_on_where_they_were_killed(
    tasks: Sequence[str],
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def start(words: Sequence[str], log: Path) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-c", COMMAND, str(tmp_path), *tasks]
        return subprocess.Popen(command, start_new_session=True)

    monkeypatch.setattr(kill_proof, "start", start)
    monkeypatch.setattr(kill_each, "POLL_SECONDS", 0.05)
    monkeypatch.setattr(kill_each, "STORED", 10_000)
    words = ["--minutes", "0.3", "--", "fbank", ",".join(tasks), "--out", str(tmp_path)]
    assert kill_each.main(words) == code
    assert said in capsys.readouterr().out
