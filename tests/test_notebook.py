"""The notebook as it lies in the repository; .ci/run executes it, with the wheel."""

from __future__ import annotations

import ast
import json
from pathlib import Path

FILE = Path(__file__).resolve().parents[1] / "examples" / "quickstart.ipynb"


def test_outputs_are_small_labelled_and_of_no_machine() -> None:
    text = FILE.read_text(encoding="utf-8")
    assert len(text) < 20_000
    notebook = json.loads(text)
    outputs = [output for cell in notebook["cells"] for output in cell.get("outputs", ())]
    assert {output["output_type"] for output in outputs} == {"execute_result"}
    shown = ["".join(output["data"]["text/plain"]) for output in outputs]
    assert len(shown) == 3 and all("demo" in one for one in shown)
    assert "untrained" in shown[-1]
    assert not any(place in text for place in ("/home/", "/root", "/var/", "/tmp", "/work"))


def test_the_cells_are_python() -> None:
    cells = [cell for cell in json.loads(FILE.read_text(encoding="utf-8"))["cells"]]
    for cell in cells:
        if cell["cell_type"] == "code":
            ast.parse("".join(cell["source"]))
