"""benchmarks/mutation.py: which changes it makes, and that they are noticed or not, in memory only."""

from __future__ import annotations

import ast
import os
import signal
import sys
import time
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import _mutants
import mutation

CHECKOUT = Path(__file__).parents[2]
CODE = '''"""Not changed."""
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import one

LIMIT = 3


@property
def inside(value: int | None, top: float = 2.0) -> bool:
    """Not changed."""
    if value is None:
        raise ValueError(f"{value + 1} is {2 < 3}")
    return 0 <= value < min(top, LIMIT) and not sorted([value], reverse=True) == []
'''


def test_the_changes_of_a_module(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text(CODE)
    tree, mutants = _mutants.read(path)
    assert [mutant.text.partition("  ->  ")[::2] for mutant in mutants if mutant.line < 12] == [
        ("3", "4  in  LIMIT = 3"),
        ("2.0", "3.0  in  def inside(value: int | None, top: float = 2.0) -> bool:"),
    ]
    changed = {
        mutant.text.partition("  ->  ")[2].partition("  in  ")[0] for mutant in mutants if mutant.line > 12
    }
    assert {
        "value is not None",
        "0 < value < min(top, LIMIT)",
        "0 <= value <= min(top, LIMIT)",
        "max",
        "list",
    } < changed
    assert {"1", "False", "sorted([value])", "sorted([value], reverse=True) != []"} < changed
    assert not any("2 <= 3" in text or "value - 1" in text for text in changed)
    assert {mutant.function for mutant in mutants} == {None, 10}
    whole = ast.unparse(tree)
    for mutant in mutants:
        mutant.put(mutant.new_node)
        assert ast.unparse(tree) != whole
        mutant.put(mutant.old_node)
        assert ast.unparse(tree) == whole


def test_a_module_is_loaded_changed_and_its_file_stays(tmp_path: Path) -> None:
    path = tmp_path / "changed_module.py"
    path.write_text("LIMIT = 3\n")
    tree, (mutant,) = _mutants.read(path)
    mutant.put(mutant.new_node)
    finder = mutation.Finder("changed_module", path, tree)
    sys.meta_path.insert(0, finder)
    try:
        import changed_module

        assert changed_module.LIMIT == 4 and path.read_text() == "LIMIT = 3\n"
    finally:
        sys.meta_path.remove(finder)
        sys.modules.pop("changed_module", None)


def test_children_that_end_hang_or_fail() -> None:
    assert mutation._child(lambda: 3, 30.0) == 3
    started = time.monotonic()
    assert mutation._child(lambda: time.sleep(60) or 0, 0.3) is None
    assert time.monotonic() - started < 30
    assert mutation._child(lambda: 1 // 0, 30.0) == 70


def test_the_table_tells_survivors_from_equivalent_changes(tmp_path: Path) -> None:
    path = tmp_path / "module.py"
    path.write_text("A = 3\nB = 5\nC = True\n")
    _, mutants = _mutants.read(path)
    row = mutation.Row("some/module.py")
    for mutant, state in zip(mutants, ("killed", "survived", "untested"), strict=True):
        row.add(mutant, state)
    lines = list(mutation.table([row], {"module: 5  ->  6  in  B = 5": "nobody reads it"}))
    assert lines[2] == "| `some/module.py` | 3 | 1 | 0 | 1 | 1 | 0 |"
    assert "  some/module.py:3: True  ->  False  in  C = True (no test runs it)" in lines
    assert "  some/module.py:2: 5  ->  6  in  B = 5: nobody reads it" in lines


def test_every_target_is_there() -> None:
    for target in mutation.TARGETS.values():
        assert list((CHECKOUT / target.sources).glob("*.py"))
        assert all((CHECKOUT / test).exists() for test in target.tests)
    assert all(reason.strip() for reason in mutation.excuses().values())


def test_what_is_known_when_stopped_is_printed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(target: object, modules: object, rows: list[mutation.Row], known: object) -> None:
        rows.append(mutation.Row("some/module.py", {"killed": 2}))
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)

    before = signal.getsignal(signal.SIGTERM)
    monkeypatch.chdir(CHECKOUT)  # main goes there, and this comes back
    monkeypatch.setattr(mutation, "mutate", stopped)
    try:
        assert mutation.main(["scoring"]) == 130
    finally:
        signal.signal(signal.SIGTERM, before)
    out = capsys.readouterr().out
    assert "stopped: the last module is not complete" in out and "| `some/module.py` | 2 | 2 |" in out
    monkeypatch.setattr(mutation, "mutate", lambda *_: None)
    assert mutation.main(["scoring"]) == 0
