"""The `status` command."""

from __future__ import annotations

import json
import os
import pty
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from downstream_runs.cli import main as cli
from downstream_runs.cli import status as shown_by
from downstream_runs.core import queue, run_folder
from downstream_runs.runs import status
from reports import store


def make(out: Path, run: str, **files: Any) -> Path:
    folder = out / "fbank" / "asr" / run
    folder.mkdir(parents=True)
    plan = {"upstream": "fbank", "task": "asr", "settings": {"runner.total_steps": 100}}
    (folder / "plan.json").write_text(json.dumps(plan))
    for name, lines in files.items():
        (folder / name.replace("_", ".")).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def event(name: str, step: int, second: int) -> dict[str, Any]:
    return {"event": name, "step": step, "time": f"2026-01-01T00:00:{second:02d}.000+00:00"}


EVENTS = [
    event("start", 0, 0),
    event("checkpoint", 10, 5),
    event("resume", 10, 20),
    event("checkpoint", 20, 30),
    event("checkpoint", 40, 50),
]
METRICS = [
    {"split": "train", "step": 30, "scalars": {"asr/train-loss": 2.5}},
    {"split": "dev-clean", "step": 20, "scores": {"wer": {"value": 93.25, "counts": {}}}},
]


def test_a_running_run(tmp_path: Path) -> None:
    folder = make(tmp_path, "superb-1", events_jsonl=EVENTS, metrics_jsonl=METRICS)
    (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    found = status.of_run(folder)
    assert (found.state, found.step, found.total) == ("running", 40, 100)
    # 20 steps in 20 seconds since the resume; 60 are left.
    assert found.left == pytest.approx(1.0)
    assert found.number == "wer 93.25 on dev-clean at 20"


def test_what_is_left_follows_from_the_present_pace(tmp_path: Path) -> None:
    # 30 checkpoints a second apart, then 9 three seconds apart: the last ten are 25 seconds long.
    seconds = [*range(30), *(30 + 3 * number for number in range(9))]
    events = [event("start", 0, 0), *(event("checkpoint", n, second) for n, second in enumerate(seconds))]
    folder = make(tmp_path, "superb-1", events_jsonl=events)
    (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert status.of_run(folder).left == pytest.approx((100 - 38) * 25 / 9 / 60)


def test_states_and_folds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make(tmp_path, "superb-1/fold1", events_jsonl=EVENTS)
    done = make(tmp_path, "superb-2", metrics_jsonl=METRICS[:1])
    (done / "result.json").write_text("{}")
    dead = make(tmp_path, "superb-3", metrics_jsonl=[])
    (dead / "lock").write_text(json.dumps({"pid": 2**22 + 1, "host": socket.gethostname()}))
    assert cli.main(["status", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[2:4] for line in lines[1:4]] == [
        ["superb-1/fold1", "stopped"],
        ["superb-2", "done"],
        ["superb-3", "stopped"],
    ]
    assert "result.json cannot be used" in lines[2], "no number of the journal for that of a result"
    assert lines[-1] == "1 done, 2 stopped"


def test_a_finished_run_shows_the_number_of_its_result(data_dir: Path, tmp_path: Path) -> None:
    # Runs of the engine: SID's last evaluation is on dev, the result is the test's with the best checkpoint.
    shutil.copytree(data_dir / "demo_runs", tmp_path / "runs")
    found = {(one.upstream, one.task, one.folder.name): one for one in status.find(tmp_path / "runs")}
    rows = store.find([tmp_path / "runs"]).results
    assert len(rows) == 20
    for path, result in rows:
        one = found[result.upstream, result.task, path.parent.name]
        assert (one.state, one.step) == ("done", result.steps)
        for metric in result.metrics:
            if metric.role == "headline":
                assert f"{metric.name} {metric.value:.{2 if metric.unit == 'percent' else 4}f}" in one.number
    # The mean of the folds and each fold by itself.
    er = [one for one in found.values() if (one.upstream, one.task) == ("fbank_no_cmvn", "er")]
    assert [one.folder.name for one in er][1:] == ["fold1", "fold2", "fold3", "fold4", "fold5"]
    assert er[0].number.endswith("on test of fold1, fold2, fold3, fold4, fold5")
    assert len(found) == 20 + 2 * 5


def test_status_and_reports_find_the_same_runs_behind_links(data_dir: Path, tmp_path: Path) -> None:
    out = tmp_path / "runs"
    out.mkdir()
    shutil.copytree(data_dir / "demo_runs" / "fbank_no_cmvn", tmp_path / "other disk")
    (out / "fbank_no_cmvn").symlink_to(tmp_path / "other disk")
    (tmp_path / "other disk" / "ks" / "loop").symlink_to(tmp_path / "other disk")
    (out / "up").symlink_to(tmp_path)
    shown = {one.folder for one in status.find(out) if not run_folder.is_fold(one.folder.name)}
    assert shown == {path.parent for path, _ in store.find([out]).results} and len(shown) == 10


def test_files_that_are_none_are_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = make(tmp_path, "superb-1")
    for name in ("metrics.jsonl", "events.jsonl", "lock", run_folder.OUTCOME):
        os.mkfifo(folder / name)
    zero = make(tmp_path, "superb-2")
    for name in ("metrics.jsonl", "events.jsonl", "result.json"):
        (zero / name).symlink_to("/dev/zero")
    (zero / "plan.json").unlink()
    os.mkfifo(zero / "plan.json")
    assert cli.main(["status", "--out", str(tmp_path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[1].split()[2:5] == ["superb-1", "failed", "0"]
    assert "done" in lines[2] and "result.json cannot be used" in lines[2]
    (tmp_path / "slurm").mkdir()
    os.mkfifo(tmp_path / queue.JOBS)
    assert cli.main(["status", "--out", str(tmp_path)]) == 2
    err = capsys.readouterr().err
    assert "jobs.jsonl cannot be read (it is a named pipe" in err and err.count("\n") == 1


def test_states_of_a_job(tmp_path: Path) -> None:
    folder = make(tmp_path, "superb-1", events_jsonl=EVENTS)
    end = tmp_path / "exit"
    job = queue.Job("3_0", tmp_path / "log", end)
    assert status.of_run(folder, job, {"3_0": "PENDING"}).state == "waiting"
    assert status.of_run(folder, job, {"3_0": "RUNNING"}).state == "running"
    (folder / "lock").write_text(json.dumps({"pid": 1, "host": "another host"}))
    assert status.of_run(folder, job, None).state == "running", "Slurm gives no answer"
    assert status.of_run(folder, job, {}).state == "stopped", "Slurm does not know it any more"
    # Slurm calls a job running for a moment after it has ended.
    end.write_text("1\n")
    assert status.of_run(folder, job, {"3_0": "RUNNING"}).state == "stopped"
    assert job.state({"3_0": "RUNNING"}) == "", "the same command submits it again"
    assert status.of_run(folder, job, None).state == "stopped"
    (folder / run_folder.OUTCOME).write_text(json.dumps({"said": "no such file"}))
    assert status.of_run(folder, job, {"3_0": "COMPLETING"}).state == "failed"
    # Afterwards the run may go on without Slurm.
    (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    assert status.of_run(folder, job, {}).state == "running"


def test_jobs_that_are_none_are_left_out(tmp_path: Path) -> None:
    make(tmp_path, "superb-1", events_jsonl=EVENTS)
    good = {"run": "fbank/asr/superb-1", "job": "3_0", "log": "/log", "end": "/end", "step": 0}
    path = tmp_path / queue.JOBS
    path.parent.mkdir()
    lines = [good, {**good, "end": 7}, {**good, "run": None}]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert queue.recorded(tmp_path) == {good["run"]: queue.Job("3_0", Path("/log"), Path("/end"))}
    assert [one.state for one in status.find(tmp_path)] == ["stopped"]


def test_filters_and_json(data_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(data_dir / "demo_runs", tmp_path / "runs")
    make(tmp_path / "runs", "superb-1", events_jsonl=EVENTS)

    def asked(*more: str) -> list[dict[str, Any]]:
        assert cli.main(["status", "--out", str(tmp_path / "runs"), "--json", *more]) == 0
        runs: list[dict[str, Any]] = json.loads(capsys.readouterr().out)["runs"]
        return runs

    assert len(asked()) == 31 and len(asked("--state", "done")) == 30
    assert {one["task"] for one in asked("--task", "asr,ks")} == {"asr", "ks"}
    assert [one["step"] for one in asked("--state", "stopped,failed")] == [40]
    assert {one["source"] for one in asked("--upstream", "fbank_no_cmvn")} == {"fbank_no_cmvn"}
    mean, *folds = asked("--upstream", "fbank_no_cmvn", "--task", "er")
    by_fold = [metric["value"] for one in folds for metric in one["metrics"] if metric["role"] == "headline"]
    [headline] = [metric for metric in mean["metrics"] if metric["role"] == "headline"]
    assert len(by_fold) == 5 and headline["value"] == pytest.approx(sum(by_fold) / 5)
    assert headline["unit"] == "percent" and mean["state"] == "done" and mean["labels"]
    for wrong, says in (
        (["--state", "dne"], "--state dne is unknown, did you mean 'done'?"),
        (["--json", "--watch"], "--json is printed once"),
    ):
        assert cli.main(["status", "--out", str(tmp_path), *wrong]) == 2
        assert says in capsys.readouterr().err
    assert cli.main(["status", "--out", str(tmp_path / "runs"), "--task", "asr", "--state", "stopped"]) == 0
    assert capsys.readouterr().out.endswith("\n1 stopped\n")


def test_no_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["status", "--out", str(tmp_path)]) == 0
    assert "there is no run" in capsys.readouterr().out
    assert cli.main(["status", "--out", str(tmp_path / "nowhere")]) == 2


def test_it_is_watched_until_nothing_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = make(tmp_path, "superb-1", events_jsonl=EVENTS)
    (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    slept = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        if len(slept) == 2:
            (folder / "lock").write_text("")
            (folder / "result.json").write_text("{}")

    monkeypatch.setattr(shown_by.time, "sleep", sleep)
    monkeypatch.setattr(shown_by, "BETWEEN_SECONDS", 0.0)
    page = tmp_path / "page.html"
    assert cli.main(["status", "--out", str(tmp_path), "--watch", "--html", str(page)]) == 0
    out = capsys.readouterr().out
    assert slept == [5.0, 5.0]
    assert (out.count("1 running"), out.count("1 done")) == (2, 1)
    assert shown_by.CLEAR not in out, "it is no terminal"
    assert "1 done" in page.read_text() and "refresh" not in page.read_text()
    # Nothing runs: one look.
    assert cli.main(["status", "--out", str(tmp_path), "--watch", "1"]) == 0
    assert len(slept) == 2
    assert cli.main(["status", "--out", str(tmp_path), "--watch", "0"]) == 2
    assert "expected at least 0.2 seconds" in capsys.readouterr().err


def test_a_terminal_is_redrawn_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    folder = make(tmp_path, "superb-1", events_jsonl=EVENTS)
    (folder / "lock").write_text(json.dumps({"pid": os.getpid(), "host": socket.gethostname()}))
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "downstream_runs", "status", "--out", str(tmp_path), "--watch", "0.2"],
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    shown = b""
    while shown.count(shown_by.CLEAR.encode()) < 3:
        shown += os.read(leader, 1000)
    assert b"running" in shown and b"Ctrl-C ends" in shown
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == 0
    os.close(leader)
