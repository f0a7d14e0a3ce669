"""Runs on upstreams of each kind of source, as a user starts them."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import hub_server
import pytest
import sources as made

CHECKOUT = Path(__file__).resolve().parents[3]
SHORT = ("-o", "runner.total_steps=4", "-o", "runner.eval_step=4", "-o", "runner.log_step=2")


def superb(*words: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), **environment}
    command = [sys.executable, "-m", "downstream_runs", *words]
    return subprocess.run(command, capture_output=True, text=True, timeout=500, cwd=cwd, env=env)


def results(folder: Path) -> dict[tuple[str, str], dict[str, Any]]:
    """The content of `result.json` by upstream and task."""
    read = [json.loads(path.read_text()) for path in folder.rglob("result.json")]
    return {(one["upstream"], one["task"]): one for one in read}


def lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


@pytest.mark.slow
def test_the_example_of_the_readme(tmp_path: Path) -> None:
    assert len(lines(CHECKOUT / "examples" / "my_upstream.py")) <= 20
    text = "py:examples/my_upstream.py:make"
    out = str(tmp_path / "runs")
    done = superb(text, "ks", "--demo", *SHORT, "--out", out, cwd=CHECKOUT)
    assert done.returncode == 0, done.stderr
    result = results(tmp_path)["make", "ks"]
    assert result["upstream_source"] == f"py:{CHECKOUT}/examples/my_upstream.py:make"
    assert result["upstream_parameters"] == 201 * 64 + 64 + 64 * 64 + 64
    assert f"{result['upstream_source']} at {result['upstream_revision']}" in done.stdout


@pytest.mark.slow
def test_each_kind_runs_ks_and_asr_side_by_side(tmp_path: Path) -> None:
    """Also from Python's own processes, where each builds its upstream from the plan alone."""
    pytest.importorskip("transformers", reason="transformers is not installed (the extra `hf`)")
    code, site = made.code(tmp_path / "code"), made.plugin(tmp_path / "site")
    uploaded = made.model(tmp_path / "uploaded")
    made.model(tmp_path / "mine", "wavlm")
    kinds = ("hf:tiny/hubert", "./mine", f"py:{code}:make:width=16", "plugged")
    with hub_server.running() as hub:
        repository = hub.repositories["tiny/hubert"] = hub_server.Repository()
        commit = repository.commit({path.name: path.read_bytes() for path in uploaded.iterdir()})
        paths = os.pathsep.join([str(CHECKOUT), str(site)])
        environment = hub.environment(tmp_path / "home") | {"PYTHONPATH": paths}
        words = (",".join(kinds), "ks,asr", "--demo", *SHORT)
        done = superb(*words, "--jobs", "2", cwd=tmp_path, **environment)
        assert done.returncode == 0, done.stderr
        assert len(hub.asked("model.safetensors")) == 1
        repository.commit({"config.json": b"{}"})  # the branch moves
        hub.log.clear()
        again = superb("plan", *words, cwd=tmp_path, **environment)
        assert "8 of 8 runs are done" in again.stdout and hub.log == []
        run = next((tmp_path / "runs" / "tiny_hubert" / "ks").iterdir())
        repeated = superb("repeat", str(run), "--out", "again", cwd=tmp_path, **environment)
        assert repeated.returncode == 0 and "the same result" in repeated.stdout, repeated.stderr
    found = results(tmp_path / "runs")
    names = ("tiny/hubert", "mine", "make", "plugged")
    assert found.keys() == {(name, task) for name in names for task in ("ks", "asr")}
    of_hub, of_folder = found["tiny/hubert", "ks"], found["mine", "asr"]
    assert (of_hub["upstream_source"], of_hub["upstream_revision"]) == ("hf:tiny/hubert", commit)
    assert of_folder["upstream_source"] == str(tmp_path / "mine")
    assert of_folder["upstream_weights_sha256"] == made.sha256(tmp_path / "mine" / "model.safetensors")


@pytest.mark.slow
def test_sweep_repeat_estimate_and_stored_features(tmp_path: Path) -> None:
    code = made.code(tmp_path / "code")
    text = f"py:{code}:make:width=16"
    swept = superb(text, "ks", "--demo", *SHORT, "--lr", "1e-3,1e-4", "--features", "disk", cwd=tmp_path)
    assert swept.returncode == 0, swept.stderr
    events = [
        json.loads(line)
        for path in sorted((tmp_path / "runs").rglob("events.jsonl"))
        for line in lines(path)
        if '"features"' in line
    ]
    stored = sorted(event["stored"] for event in events)
    assert stored[0] == 0 < stored[1], "the second rate reads what the first has stored"
    chosen = next((tmp_path / "runs" / "make" / "ks").glob("*-sweep/result.json"))
    again = superb("repeat", str(chosen), "--out", "again", cwd=tmp_path)
    assert again.returncode == 0 and "the same result" in again.stdout, again.stdout + again.stderr
    estimate = superb("estimate", text, "ks", "--device", "cpu", cwd=tmp_path)
    assert estimate.returncode == 0 and "1 layers x 16" in estimate.stdout, estimate.stderr
    code.write_text(code.read_text().replace("scale=1.0", "scale=2.0"))
    changed = superb("repeat", str(chosen), "--out", "changed", cwd=tmp_path)
    assert changed.returncode == 2 and "is not what this run was begun with" in changed.stderr
