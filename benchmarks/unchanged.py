"""Does other code still write the same numbers? Record with one checkout, record with another, compare.

    python benchmarks/unchanged.py record before             # in the old checkout
    python benchmarks/unchanged.py record after              # in the new one
    python benchmarks/unchanged.py compare before after      # 0 if nothing differs, else 1 and a line each

`record` runs all ten demo tasks with `fbank` and with `armhubert_random`, the report of them, the demo of
distillation, and every command's --help; killed, it goes on where it was. `compare` holds plans, metrics,
predictions, items, weights and optimizer states, results, tables and options against each other, bit for
bit, and leaves out what must differ: times, paths, commits, versions of packages, process ids, and what is
meant to differ, by `--except KEY,KEY` of results, plans, journals and checkpoints.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).resolve().parents[1]
UPSTREAMS = "fbank,armhubert_random"
COMMANDS = (
    "",
    *[
        "plan",
        "estimate",
        "check",
        "status",
        "logs",
        "cancel",
        "clean",
        "verify",
        "repeat",
        "submit",
        "distill",
        "doctor",
        "list",
    ],
)
VOLATILE = frozenset(
    {"created", "wall_seconds", "git_commit", "packages", "content_sha256", "command", "root", "time", "pid"}
)
"""Keys of JSON files whose values may differ between two recordings of the same code."""

HASHED = frozenset({"artefacts"})
"""Keys whose values are hashes of files that hold something volatile; their names are compared."""

COMPARED = frozenset(
    {".json", ".jsonl", ".ark", ".csv", ".txt", ".xml", ".ckpt", ".pt", ".md", ".tex", ".safetensors"}
)
LEFT_OUT = frozenset({"events.jsonl", "lock", "lengths.json", "lengths-dev.json"})
FOLDERS = ("demo-data", "cache", "logs")


def record(folder: Path, upstreams: str, tasks: str) -> int:
    """Make everything below `folder`; returns the worst exit code."""
    folder.mkdir(parents=True, exist_ok=True)
    runs = str(folder / "runs")
    codes = [_python("downstream_runs", upstreams, tasks, "--demo", "--out", runs)]
    codes.append(_python("reports", "build", runs, "--to", str(folder / "report")))
    distillation = ("--demo", "--teacher", "random:hubert", "--preset", "tiny", "--epochs", "2")
    codes.append(_python("downstream_runs", "distill", *distillation, "--out", str(folder / "distillation")))
    options = folder / "options.txt"
    options.write_text("".join(f"{command}: {_options(command)}\n" for command in COMMANDS), encoding="utf-8")
    print(f"recorded in {folder}; exit codes {codes}")
    return max(codes)


def _python(module: str, *arguments: str) -> int:
    print("+", module, *arguments, flush=True)
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    return subprocess.run([sys.executable, "-m", module, *arguments], env=environment, check=False).returncode


def _options(command: str) -> str:
    arguments = [sys.executable, "-m", "downstream_runs", *([command] if command else []), "--help"]
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    said = subprocess.run(arguments, env=environment, capture_output=True, text=True, check=False).stdout
    return " ".join(sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", said))))


def compare(before: Path, after: Path, left_out: frozenset[str] = frozenset()) -> int:
    """Print each file that differs, with the first difference; 0 if there is none. left_out: further keys."""
    names = {folder: {path.relative_to(folder) for path in files(folder)} for folder in (before, after)}
    lines = [f"{name}: only in {before}" for name in sorted(names[before] - names[after])]
    lines += [f"{name}: only in {after}" for name in sorted(names[after] - names[before])]
    both = sorted(names[before] & names[after])
    for name in both:
        difference = first_difference(content(before, name, left_out), content(after, name, left_out))
        if difference is not None:
            lines.append(f"{name}{difference}")
    print(*lines, f"{len(both)} files compared, {len(lines)} differences", sep="\n")
    return 1 if lines else 0


def files(folder: Path) -> Iterator[Path]:
    """The files of a recording that are compared."""
    for path in folder.rglob("*"):
        inside = path.relative_to(folder).parts
        left_out = path.name in LEFT_OUT or any(part in FOLDERS for part in inside[:-1])
        if path.suffix in COMPARED and not left_out and path.is_file():
            yield path


def content(folder: Path, name: Path, left_out: frozenset[str] = frozenset()) -> Any:
    """What a file holds, without what may differ: VOLATILE keys and those of `left_out`."""
    path = folder / name
    if path.suffix in (".ckpt", ".pt"):
        return _steady(_checkpoint(path), left_out)
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        return load_file(path)
    text = path.read_text(encoding="utf-8").replace(str(folder.absolute()), "DIR").replace(str(folder), "DIR")
    if path.suffix == ".json":
        return _steady(json.loads(text), left_out)
    if path.suffix == ".jsonl":
        return [_steady(json.loads(line), left_out) for line in text.splitlines()]
    # Reports name the commit that they were made by.
    return re.sub(r"\b[0-9a-f]{7,40}\b", "HASH", text).splitlines()


def _checkpoint(path: Path) -> Any:
    import torch

    return torch.load(path, map_location="cpu", weights_only=True)


def _steady(value: Any, left_out: frozenset[str]) -> Any:
    if isinstance(value, Mapping):
        kept = {key: item for key, item in value.items() if key not in VOLATILE | left_out}
        return {key: sorted(item) if key in HASHED else _steady(item, left_out) for key, item in kept.items()}
    return [_steady(item, left_out) for item in value] if isinstance(value, list) else value


def first_difference(one: Any, two: Any, place: str = "") -> str | None:
    """Where and how two values differ first, or None; tensors must agree in type, shape and every bit."""
    if isinstance(one, Mapping) and isinstance(two, Mapping):
        if list(one) != list(two) and set(one) != set(two):
            return f"{place}: keys {sorted(map(str, set(one) ^ set(two)))} are in one only"
        pairs: Any = [(f"{place}.{key}", item, two[key]) for key, item in one.items()]
    elif isinstance(one, (list, tuple)) and isinstance(two, (list, tuple)):
        if len(one) != len(two):
            return f"{place}: {len(one)} and {len(two)} entries"
        pairs = [(f"{place}[{number}]", *pair) for number, pair in enumerate(zip(one, two, strict=True))]
    else:
        return None if _same(one, two) else f"{place}: {_short(one)} and {_short(two)}"
    return next((found for at, a, b in pairs if (found := first_difference(a, b, at)) is not None), None)


def _same(one: Any, two: Any) -> bool:
    if hasattr(one, "dtype") and hasattr(two, "dtype"):
        import numpy as np

        left, right = (np.asarray(value.cpu() if hasattr(value, "cpu") else value) for value in (one, two))
        return left.dtype == right.dtype and left.shape == right.shape and left.tobytes() == right.tobytes()
    return bool(type(one) is type(two) and (one == two or (one != one and two != two)))


def _short(value: Any) -> str:
    return " ".join(repr(value).split())[:90]


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("record", help="run everything and keep what it writes")
    making.add_argument("folder", type=Path)
    making.add_argument("--upstreams", default=UPSTREAMS)
    making.add_argument("--tasks", default="all")
    comparing = commands.add_parser("compare", help="hold two recordings against each other")
    comparing.add_argument("before", type=Path)
    comparing.add_argument("after", type=Path)
    comparing.add_argument("--except", dest="left_out", default="", metavar="KEY,KEY")
    options = parser.parse_args()
    if options.command == "record":
        return record(options.folder.absolute(), options.upstreams, options.tasks)
    return compare(options.before, options.after, frozenset(options.left_out.split(",")))


if __name__ == "__main__":
    sys.exit(main())
