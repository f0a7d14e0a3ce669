"""A run's folder: what is removed from it, and that only one module spells the names in it."""

from __future__ import annotations

import ast
from pathlib import Path

from downstream_runs.core import run_folder
from downstream_runs.core.run_folder import RunFolder

CHECKOUT = Path(__file__).parents[3]
# The others are words of their own, which mean other things elsewhere.
NAMES = {value for value in vars(run_folder).values() if isinstance(value, str) and "." in value[1:-1]}


def test_no_other_module_spells_the_names() -> None:
    assert {"result.json", "metrics.jsonl", "s3prl.log", "items.csv", "benchmark.stdlist.xml"} <= NAMES
    spelled = {
        str(file.relative_to(CHECKOUT))
        for package in ("downstream_runs", "reports")
        for file in (CHECKOUT / package).rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and node.value in NAMES
    }
    assert spelled == {"downstream_runs/core/run_folder.py"}


def test_a_folder_is_cleared_but_for_its_lock(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert not folder.is_finished and folder.failure() == ""
    folder.checkpoint(2).parent.mkdir()
    for name in ("lock", "events.jsonl", "result.json", "checkpoints/.step-00000009.pt.tmp"):
        (tmp_path / name).write_text("")
    (tmp_path / "outcome.json").write_text('{"said": "it broke"}')
    for step in (2, 10):
        folder.checkpoint(step).write_bytes(b"")
    assert folder.is_finished and folder.failure() == "it broke"
    folder.remove(".*.tmp", "checkpoints/.*.tmp")
    assert list(folder.checkpoints()) == [10, 2]
    assert {path.name for path in folder.checkpoint(2).parent.iterdir()} == {
        "step-00000002.pt",
        "step-00000010.pt",
    }
    folder.remove()
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
