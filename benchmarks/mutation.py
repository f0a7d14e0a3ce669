"""Which small changes of the code does no test notice? `python benchmarks/mutation.py scoring [MODULE ...]`

A module is changed in one place (`<` to `<=`, `+` to `-`, 3 to 4, `max` to `min`, a call left out, ...), in
memory only, and the tests that run this place are run. Where all of them still pass, the change survived: a
test is missing, or the change makes no difference. Those of the second kind are named with their reason in
results/mutation-equivalent.txt. It prints progress, each survivor as it is found, and at the end a table; it
can be stopped at any time, and then prints what it has. Exit code 1 if a change survived without a reason.

Why not mutmut, whose idea this is: mutmut 3 changes neither constants outside of functions (MTWV's beta, the
boundaries of what is stored) nor properties (every `rate`), and of what it changes here half are texts of
messages. Messages are left alone here, so are types.

Tests that take over SLOWEST seconds of CPU time are left out; tests with random examples see EXAMPLES fixed
ones.
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import gc
import importlib
import importlib.util
import json
import os
import re
import signal
import sys
import tempfile
import time
import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib.machinery import ModuleSpec, SourceFileLoader
from pathlib import Path
from typing import Any, NoReturn

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import _mutants
from _mutants import Mutant

ROOT = Path(__file__).resolve().parents[1]
EQUIVALENT = ROOT / "benchmarks" / "results" / "mutation-equivalent.txt"
SLOWEST = 5.0
EXAMPLES = 25
QUICKEST = 25
PATIENCE = (60.0, 20.0)
"""Seconds after which a test run counts as hanging: the first, and the second times what the tests take."""
SCORING = (
    "numpy",
    "scipy.optimize",
    "hypothesis",
    "editdistance",
    "rapidfuzz.distance",
    "s3prl.metric.common",
)


@dataclass(frozen=True)
class Target:
    """Modules to change, the tests that must notice, and what is imported once before all of them."""

    sources: str
    tests: tuple[str, ...]
    loaded: tuple[str, ...]


TARGETS = {
    "scoring": Target("downstream_runs/scoring", ("tests/downstream_runs/scoring",), SCORING),
    "statistics": Target(
        "reports/statistics",
        ("tests/reports/test_statistics.py", "tests/reports/test_statistics_bounds.py"),
        ("numpy", "scipy.special", "hypothesis", "pandas"),
    ),
    "features": Target(
        "downstream_runs/features",
        ("tests/downstream_runs/features", "tests/downstream_runs/engine/test_remembered.py"),
        ("torch", "torchaudio", "safetensors.torch", "hypothesis", "numpy", "scipy.signal"),
    ),
}


@dataclass
class Run:
    """What one test did. seconds: of CPU; functions: (file, first line) that it called, of the target's."""

    seconds: float
    functions: list[tuple[str, int]] = field(default_factory=list)


class Watch:
    """A pytest plugin that notes how long each test takes and which functions it calls."""

    def __init__(self, files: frozenset[str]) -> None:
        self.files, self.runs = files, dict[str, Run]()
        self.failed: list[str] = []

    def pytest_runtest_logreport(self, report: Any) -> None:
        if report.failed:
            self.failed.append(report.nodeid)

    def pytest_runtest_logfinish(self, nodeid: str) -> None:
        self.runs[nodeid].seconds += _cpu()

    def pytest_runtest_protocol(self, item: Any) -> None:
        called: set[tuple[str, int]] = set()
        run = self.runs.setdefault(item.nodeid, Run(-_cpu()))

        def note(frame: types.FrameType, event: str, _: object) -> None:
            if event == "call" and frame.f_code.co_filename in self.files:
                called.add((frame.f_code.co_filename, frame.f_code.co_firstlineno))
                run.functions = sorted(called)

        sys.setprofile(note)

    def pytest_sessionfinish(self) -> None:
        sys.setprofile(None)


def _cpu() -> float:
    """Seconds of CPU time of this process and those that it waited for."""
    return sum(os.times()[:4])


class Changed(SourceFileLoader):
    """Loads one module from a changed syntax tree."""

    def __init__(self, name: str, path: str, tree: ast.Module) -> None:
        super().__init__(name, path)
        self.code = compile(ast.fix_missing_locations(tree), path, "exec", dont_inherit=True)

    def get_code(self, fullname: str) -> types.CodeType:
        return self.code


class Finder:
    """Finds the changed module before anything else does."""

    def __init__(self, name: str, path: Path, tree: ast.Module) -> None:
        self.name, self.path, self.loader = name, str(path), Changed(name, str(path), tree)

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.path, loader=self.loader)


def module_name(path: Path) -> str:
    """The dotted name of a source file."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _tests(arguments: Sequence[str], plugins: Sequence[object] = ()) -> int:
    import pytest
    from hypothesis import settings

    settings.register_profile(
        "mutation", derandomize=True, database=None, deadline=None, max_examples=EXAMPLES
    )
    settings.load_profile("mutation")
    common = ["-q", "-p", "no:cacheprovider", "-m", "not slow", "--rootdir", str(ROOT)]
    return int(pytest.main([*common, *arguments], plugins=list(plugins)))


def _quiet() -> None:
    for number in (1, 2):
        os.dup2(os.open(os.devnull, os.O_WRONLY), number)


def _child(work: Any, seconds: float) -> int | None:
    """The exit code of `work` in a process of its own; None if it takes longer than this."""
    sys.stdout.flush()
    process = os.fork()
    if process == 0:
        _as_child(work)
    until = time.monotonic() + seconds
    try:
        while time.monotonic() < until:
            done, status = os.waitpid(process, os.WNOHANG)
            if done:
                process = 0
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.01)
        return None
    finally:
        if process:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process, signal.SIGKILL)
            os.waitpid(process, 0)


def _as_child(work: Any) -> NoReturn:
    code = 70
    try:
        os.setpgid(0, 0)  # what tests start is ended with it
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        _quiet()
        code = work()
    finally:
        os._exit(code)


def naming(target: Target, modules: Sequence[str]) -> list[str]:
    """The target's test files, or only those that name one of the modules."""
    places = [ROOT / test for test in target.tests]
    files = [
        file for place in places for file in ([place] if place.is_file() else sorted(place.glob("test_*.py")))
    ]
    texts = {file: set(re.findall(r"\w+", file.read_text(encoding="utf-8"))) for file in files}
    return [str(file) for file in files if not modules or texts[file] & set(modules)]


def measure(tests: Sequence[str], files: frozenset[str]) -> dict[str, Run]:
    """Run the tests once on the unchanged code. Raises SystemExit if one fails."""
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "runs.json"

        def work() -> int:
            watch = Watch(files)
            code = _tests(tests, [watch])
            runs = {name: [run.seconds, run.functions] for name, run in watch.runs.items()}
            note.write_text(json.dumps({"failed": watch.failed, "runs": runs}))
            return code

        code = _child(work, 1800.0)
        found = json.loads(note.read_text()) if note.is_file() else {"failed": [], "runs": {}}
    if code != 0 or not found["runs"]:
        sys.exit(f"error: the tests fail on the unchanged code ({', '.join(found['failed'][:3]) or code})")
    return {
        name: Run(seconds, [(file, line) for file, line in functions])
        for name, (seconds, functions) in found["runs"].items()
    }


def chosen(runs: Mapping[str, Run], path: Path, mutant: Mutant) -> list[str]:
    """The tests that can notice, the quickest first."""
    place = (str(path), mutant.function)
    whole = mutant.function is None
    fitting = [
        name
        for name, run in runs.items()
        if place in run.functions or (whole and any(file == str(path) for file, _ in run.functions))
    ]
    return sorted(fitting, key=lambda name: runs[name].seconds)


def outcome(runs: Mapping[str, Run], path: Path, tree: ast.Module, mutant: Mutant) -> str:
    """killed, timeout, survived or untested."""
    names = chosen(runs, path, mutant)
    if not names:
        return "untested"

    # Most changes are noticed by one of the quickest, and collecting hundreds takes longer than running them.
    for part in filter(None, (names[:QUICKEST], names[QUICKEST:])):
        state = _tried(path, tree, mutant, part, sum(runs[name].seconds for name in part))
        if state != "survived":
            return state
    return "survived"


def _tried(path: Path, tree: ast.Module, mutant: Mutant, names: Sequence[str], seconds: float) -> str:
    def work() -> int:
        mutant.put(mutant.new_node)
        sys.meta_path.insert(0, Finder(module_name(path), path, tree))
        return _tests(["-x", *names])

    code = _child(work, PATIENCE[0] + PATIENCE[1] * seconds)
    return "timeout" if code is None else "survived" if code == 0 else "killed"


@dataclass
class Row:
    """The table's line of one module."""

    module: str
    counts: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    survivors: list[tuple[Mutant, str]] = field(default_factory=list)

    def add(self, mutant: Mutant, state: str) -> None:
        """Count one mutant."""
        self.counts[state] = self.counts.get(state, 0) + 1
        if state not in ("killed", "timeout"):
            self.survivors.append((mutant, state))


def excuses() -> dict[str, str]:
    """`MODULE: CHANGE` -> why it makes no difference."""
    lines = EQUIVALENT.read_text(encoding="utf-8").splitlines() if EQUIVALENT.is_file() else []
    parted = (line.partition("\t") for line in lines if line and not line.startswith("#"))
    return {change: reason for change, _, reason in parted}


def _load(modules: Sequence[str]) -> None:
    """Import once what all children share: without it each takes four times as long to start."""
    import _pytest.config

    for name in modules:
        with contextlib.suppress(ImportError):
            importlib.import_module(name)
    os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"  # no test here needs one
    _pytest.config.get_config()
    gc.disable()  # the children are short, and would copy all that is collected
    gc.freeze()


def mutate(target: Target, modules: Sequence[str], rows: list[Row], known: Mapping[str, str]) -> None:
    """Try every mutant of the modules, filling `rows`."""
    paths = sorted(path for path in (ROOT / target.sources).glob("*.py") if path.stem != "__init__")
    _load(target.loaded)
    runs = measure(naming(target, modules), frozenset(map(str, paths)))
    slow = sorted(name for name, run in runs.items() if run.seconds > SLOWEST)
    print(f"{len(runs)} tests pass on the unchanged code; too slow: {', '.join(slow) or 'none'}", flush=True)
    runs = {name: run for name, run in runs.items() if name not in slow}
    for path in paths:
        if modules and path.stem not in modules:
            continue
        row = Row(str(path.relative_to(ROOT)))
        rows.append(row)
        tree, mutants = _mutants.read(path)
        for number, mutant in enumerate(mutants, start=1):
            started = time.monotonic()
            state = outcome(runs, path, tree, mutant)
            row.add(mutant, state)
            row.seconds += time.monotonic() - started
            if state in ("survived", "untested") and f"{path.stem}: {mutant.text}" not in known:
                print(f"{state}: {row.module}:{mutant.line}: {mutant.text}", flush=True)
            if number % 20 == 0 or number == len(mutants):
                print(f"  {row.module}: {number} of {len(mutants)}, {row.seconds:.0f} s", flush=True)


def table(rows: Sequence[Row], known: Mapping[str, str]) -> Iterator[str]:
    """The lines of the table, then the survivors."""
    yield "| module | changes | killed | hung | equivalent | survived | seconds |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: | ---: |"
    left, excused = [], []
    for row in rows:
        stem = Path(row.module).stem
        same = [one for one in row.survivors if f"{stem}: {one[0].text}" in known]
        excused += [(row, mutant) for mutant, _ in same]
        left += [(row, mutant, state) for mutant, state in row.survivors if (mutant, state) not in same]
        counted = (sum(row.counts.values()), row.counts.get("killed", 0), row.counts.get("timeout", 0))
        numbers = (*counted, len(same), len(row.survivors) - len(same), round(row.seconds))
        yield f"| `{row.module}` | " + " | ".join(map(str, numbers)) + " |"
    yield f"\n{len(left)} survived without a reason:"
    for row, mutant, state in left:
        unseen = " (no test runs it)" if state == "untested" else ""
        yield f"  {row.module}:{mutant.line}: {mutant.text}{unseen}"
    yield f"\n{len(excused)} make no difference:"
    for row, mutant in excused:
        reason = known[f"{Path(row.module).stem}: {mutant.text}"]
        yield f"  {row.module}:{mutant.line}: {mutant.text}: {reason}"


def main(argv: Sequence[str] | None = None) -> int:
    """Print the table; 1 if a change survived without a reason, 130 if stopped."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n\n")[0])
    parser.add_argument("target", choices=TARGETS, help="what to change")
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="only these, such as mtwv (all)")
    arguments = parser.parse_args(argv)
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.chdir(ROOT)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    rows: list[Row] = []
    known = excuses()
    stopped = False
    try:
        mutate(TARGETS[arguments.target], arguments.modules, rows, known)
    except KeyboardInterrupt:
        stopped = True
        print("stopped: the last module is not complete")
    lines = list(table(rows, known))
    print("\n" + "\n".join(lines))
    survived = "\n0 survived without a reason:" not in lines
    return 130 if stopped else int(survived)


if __name__ == "__main__":
    sys.exit(main())
