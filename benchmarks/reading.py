"""How much is there to read? `python benchmarks/reading.py [CHECKOUT]`

Prints, of this checkout or another one: lines of Python a room; imports of ours at module level, in functions
and for types alone; the arrows between rooms; the largest modules and functions; and which of our modules, of
how many lines, run while one ASR utterance is tested and while one QbE query is searched (two demo runs are
made in a temporary folder, and their test is done once more under a profiler).
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

PACKAGES = ("upstream_arm", "downstream_runs", "reports")
SPLIT = ("upstream_arm", "downstream_runs")
"""Packages whose folders are rooms of their own."""

PROFILED = """
import json, sys, threading
from pathlib import Path
root, target, arguments = Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
seen = set()
def note(frame, event, _):
    if event == "call" and frame.f_code.co_flags & 1:  # a function, not a module
        seen.add(frame.f_code.co_filename)
try:
    from downstream_runs.cli.main import main
except ImportError:
    from downstream_runs.cli import main
threading.setprofile(note)
sys.setprofile(note)
code = main(arguments)
sys.setprofile(None)
ours = {name for name in seen if Path(name).is_relative_to(root)}
Path(target).write_text(json.dumps(sorted(ours)))
sys.exit(code)
"""


def sources(root: Path) -> Iterator[Path]:
    """Every Python file of the packages."""
    for package in PACKAGES:
        yield from sorted((root / package).rglob("*.py"))


def room(root: Path, name: str) -> str:
    """The room of a dotted name: a package, or a folder (or module) within one that is split."""
    package, *rest = name.split(".")
    inside = bool(rest) and (root / package / rest[0]).is_dir()
    return f"{package}.{rest[0]}" if package in SPLIT and inside else package


def lines_of(path: Path) -> int:
    """Lines of a file, blank ones too."""
    return len(path.read_text(encoding="utf-8").splitlines())


def imports(root: Path) -> Iterator[tuple[str, str, str]]:
    """Each import of ours: module, what it imports, and where it stands (module, function, types)."""

    def walk(node: ast.AST, place: str) -> Iterator[tuple[ast.ImportFrom, str]]:
        for child in ast.iter_child_nodes(node):
            inner = place
            if isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test):
                inner = "types"
            elif isinstance(child, (ast.FunctionDef, ast.AsyncFunctionDef)) and place == "module":
                inner = "function"
            if isinstance(child, ast.ImportFrom):
                yield child, inner
            yield from walk(child, inner)

    for path in sources(root):
        module = ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")
        for node, place in walk(ast.parse(path.read_text(encoding="utf-8")), "module"):
            if node.level == 0 and node.module and node.module.partition(".")[0] in PACKAGES:
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    file = root / Path(*whole.split("."))
                    is_module = file.is_dir() or file.with_suffix(".py").exists()
                    yield module, whole if is_module else node.module, place


def long_functions(root: Path) -> list[tuple[int, str]]:
    """Functions by their lines, the longest first."""
    found = []
    for path in sources(root):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
                length = (node.end_lineno or node.lineno) - node.lineno + 1
                found.append((length, f"{path.relative_to(root)}:{node.name}"))
    return sorted(found, reverse=True)


def passed(root: Path, task: str, folder: Path) -> list[str]:
    """Our modules of which a function runs when a run that is trained already is tested."""
    environment = {**os.environ, "PYTHONPATH": str(root), "PYTHONSAFEPATH": "1", "OMP_NUM_THREADS": "1"}
    command = ["fbank", task, "--demo", "--out", str(folder)]
    start = [sys.executable, "-c", PROFILED, str(root), str(folder / "seen.json")]
    quiet = {
        "env": environment,
        "cwd": folder,
        "check": True,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    subprocess.run([*start, *command], **quiet)  # type: ignore[call-overload]
    for result in folder.rglob("result.json"):
        result.unlink()
    subprocess.run([*start, *command], **quiet)  # type: ignore[call-overload]
    names = json.loads((folder / "seen.json").read_text(encoding="utf-8"))
    return sorted(name for name in names)


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    here = Path(__file__).resolve().parents[1]
    parser.add_argument("checkout", type=Path, nargs="?", default=here)
    root = parser.parse_args().checkout.resolve()
    rooms: Counter[str] = Counter()
    for path in sources(root):
        name = ".".join(path.relative_to(root).with_suffix("").parts)
        rooms[room(root, name)] += lines_of(path)
    for name, count in sorted(rooms.items()):
        print(f"{count:6,} {name}")
    print(f"{rooms.total():6,} in {len(rooms)} rooms, {len(list(sources(root)))} files")
    every = list(imports(root))
    places = Counter(place for *_, place in every)
    print(f"imports of ours: {len(every)}, {places['function']} in functions, {places['types']} for types")
    arrows = {
        (room(root, one), room(root, other))
        for one, other, place in every
        if place != "types" and room(root, one) != room(root, other)
    }
    print(f"arrows between rooms: {len(arrows)}")
    functions = long_functions(root)
    over = [path for path in sources(root) if lines_of(path) > 400]
    print(f"modules over 400 lines: {len(over)}; functions over 50: {sum(n > 50 for n, _ in functions)}")
    for task in ("asr", "qbe"):
        with tempfile.TemporaryDirectory() as folder:
            names = passed(root, task, Path(folder))
        count = sum(lines_of(Path(name)) for name in names)
        print(f"testing {task} runs code of {len(names)} modules of {count:,} lines")
    return 0


if __name__ == "__main__":
    sys.exit(main())
