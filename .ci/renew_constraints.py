"""Write constraints.txt anew: the newest releases that setup.cfg admits, for every supported Python.

    python .ci/renew_constraints.py ['torch==2.11.*' ...]     # requirements to hold back, if any
    bash .ci/run                                              # the suite on them, in a fresh environment

Resolves with pip by wheels alone, in a dry run that installs nothing; only s3prl, a source archive of pure
Python, is let through. A Python that is not on PATH (as python3.X) is resolved for by the one that runs this,
by whose version pip reads the markers of requirements: run it with the newest. Exit code 1, and the old file
stays, if one Python finds no solution.
"""

from __future__ import annotations

import configparser
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
FILE = CHECKOUT / "constraints.txt"
PYTHONS = ("3.10", "3.11", "3.12", "3.13", "3.14")
SOURCE_ONLY = "s3prl"
# torch's own requirements name the exact releases of these, which differ from platform to platform.
LEFT_TO_TORCH = ("cuda-", "nvidia-", "triton")
HEAD = f"""\
# The tested set: what run_superb.sh and .ci/run install from. It limits versions and installs nothing.
# Made by .ci/renew_constraints.py, for Python {PYTHONS[0]} to {PYTHONS[-1]}; held back: {{held}}.
"""


def requirements() -> list[str]:
    """Everything that setup.cfg names, of all extras, with its markers."""
    config = configparser.ConfigParser(interpolation=None)
    config.read(CHECKOUT / "setup.cfg", encoding="utf-8")
    texts = [config["options"]["install_requires"], *config["options.extras_require"].values()]
    lines = (line.strip() for text in texts for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("#")]


def interpreter(python: str) -> str | None:
    """The command of that Python, if it runs here and has pip."""
    name = f"python{python}"
    check = [name, "-c", f"import pip, sys; sys.exit('%d.%d' % sys.version_info[:2] != {python!r})"]
    try:
        return name if subprocess.run(check, capture_output=True).returncode == 0 else None
    except FileNotFoundError:
        return None


def resolve(command: str, options: Sequence[str], wanted: Sequence[str]) -> list[dict]:
    """What pip would install, as in its report; CalledProcessError where there is no solution."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.json"
        given = [command, "-m", "pip", "install", "--quiet", "--dry-run", "--ignore-installed"]
        given += ["--only-binary", ":all:", "--report", str(report), *options, *wanted]
        subprocess.run(given, check=True, cwd=folder, stdin=subprocess.DEVNULL)
        return json.loads(report.read_text(encoding="utf-8"))["install"]


def versions(report: Sequence[dict]) -> dict[str, str]:
    """Package name, in pip's normal form, to release."""
    found = ((item["metadata"]["name"], item["metadata"]["version"]) for item in report)
    return {name.lower().replace("_", "-").replace(".", "-"): release for name, release in found}


def resolve_all(held: Sequence[str]) -> dict[str, dict[str, str]]:
    """For each Python: package to release."""
    everything = [*requirements(), *held]
    found: dict[str, dict[str, str]] = {}
    source_needs: list[str] = []
    for python in PYTHONS:
        command = interpreter(python)
        if command is not None:
            report = resolve(command, ["--no-binary", SOURCE_ONLY], everything)
            source = next(item for item in report if item["metadata"]["name"] == SOURCE_ONLY)
            needs = source["metadata"].get("requires_dist", ())
            source_needs = [need for need in needs if "extra ==" not in need]
        else:
            with tempfile.TemporaryDirectory() as target:
                options = ["--python-version", python, "--target", target]
                wanted = [one for one in everything if not one.startswith(SOURCE_ONLY)]
                report = resolve(sys.executable, options, [*wanted, *source_needs])
        found[python] = versions(report)
        print(f"Python {python}: {len(report)} packages by wheels", file=sys.stderr)
    return found


def lines(found: Mapping[str, Mapping[str, str]]) -> list[str]:
    """One line a package, or one for each run of neighbouring Pythons where releases differ."""
    result = []
    for name in sorted({name for packages in found.values() for name in packages}):
        if name.startswith(LEFT_TO_TORCH):
            continue
        by_python = [(python, found[python][name]) for python in PYTHONS if name in found[python]]
        runs: list[tuple[str, list[str]]] = []
        for python, release in by_python:
            if not runs or runs[-1][0] != release:
                runs.append((release, []))
            runs[-1][1].append(python)
        for number, (release, pythons) in enumerate(runs):
            bounds = []
            if number > 0:
                bounds.append(f'python_version >= "{pythons[0]}"')
            if number + 1 < len(runs):
                bounds.append(f'python_version < "{runs[number + 1][1][0]}"')
            result.append(f"{name}=={release}" + (f"; {' and '.join(bounds)}" if bounds else ""))
    return result


def main(held: Sequence[str]) -> int:
    """Resolve, then replace the file in one step."""
    try:
        found = resolve_all(held)
    except subprocess.CalledProcessError as error:
        print(f"pip ended with {error.returncode}: {FILE} is unchanged", file=sys.stderr)
        return 1
    new = FILE.with_suffix(".new")
    text = HEAD.format(held=", ".join(held) or "nothing") + "\n".join(lines(found)) + "\n"
    new.write_text(text, encoding="utf-8")
    os.replace(new, FILE)
    print(f"wrote {FILE}; now run: bash .ci/run", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
