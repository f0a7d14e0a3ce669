"""`doctor`: is everything here that a run needs? One line a check, and for each red line the next command."""

from __future__ import annotations

import contextlib
import importlib
import importlib.metadata
import io
import os
import platform
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.core.program import PROGRAM
from downstream_runs.corpora import data_root as settings
from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import UsageError

OLDEST_PYTHON = (3, 10)
S3PRL = "0.4.18"
# The demo's corpus and run directory stay far below this.
DEMO_BYTES = 1_000_000_000
SPLITS = ("train-clean-100", "dev-clean", "test-clean")
INSTALL = (
    "./run_superb.sh UPSTREAM TASK --demo installs it beside the checkout, or: pip install -e '.[demo]'"
    if PROGRAM.endswith(".sh")
    else "pip install 'superb-arm[demo]'"
)


@dataclass(frozen=True)
class Finding:
    """One check: what was looked at, whether it is good, what was found, the next command if it is not.

    `for_demo` is true for what `--demo` needs too; only such findings decide the exit code.
    """

    name: str
    good: bool
    found: str
    then: str = ""
    for_demo: bool = True


def main(arguments: Sequence[str]) -> int:
    """Print every finding; 0 if the demo has all that it needs, else 1."""
    parser = Parser(
        prog=f"{PROGRAM} doctor",
        description="Check what a run needs. Exit code 0 if all that --demo needs is there, else 1.",
    )
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the corpora; else SUPERB_DATA, superb.toml"
    )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)"
    )
    options = parser.parse_args(arguments)
    good = True
    for finding in findings(options.data, settings.out_folder(options.out)):
        print(_line(finding), flush=True)
        good = good and (finding.good or not finding.for_demo)
    print(
        f"The demo can run: {PROGRAM} armhubert asr --demo" if good else "The demo cannot run yet: see above."
    )
    return 0 if good else 1


def findings(data: Path | None, out: Path) -> Iterator[Finding]:
    """All checks, the quick and basic ones first."""
    yield _python()
    yield _torch()
    yield _s3prl()
    yield _gpu()
    yield _synthesiser()
    yield _data(data)
    yield _checkpoint()
    yield _disk(out)


def _line(finding: Finding) -> str:
    colours = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    word = "ok" if finding.good else "red"
    shown = f"\033[{32 if finding.good else 31}m{word:<3}\033[0m" if colours else f"{word:<3}"
    text = f"{shown}  {finding.name:<13} {finding.found}"
    if not finding.good:
        aside = "" if finding.for_demo else " (the demo does not need it)"
        text += f"{aside}\n     {'':<13} -> {finding.then}"
    return text


def _python() -> Finding:
    good = sys.version_info[:2] >= OLDEST_PYTHON
    found = f"{platform.python_version()} at {sys.executable}"
    then = f"set SUPERB_PYTHON to a Python {'.'.join(map(str, OLDEST_PYTHON))} or later"
    return Finding("Python", good, found, then)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _torch() -> Finding:
    from downstream_runs.bridge import pair

    torch, torchaudio = _version("torch"), _version("torchaudio")
    if torch is None or torchaudio is None:
        absent = " and ".join(p for p, v in (("torch", torch), ("torchaudio", torchaudio)) if v is None)
        return Finding("torch", False, f"{absent} not installed", INSTALL)
    problem = pair.problem()
    if problem:
        found, _, then = problem.partition("): ")
        return Finding("torch", False, found + ")", then)
    return Finding("torch", True, f"torch {torch} with torchaudio {torchaudio}")


def _s3prl() -> Finding:
    version = _version("s3prl")
    if version is None:
        return Finding("s3prl", False, "not installed", INSTALL)
    if version != S3PRL:
        return Finding("s3prl", False, f"{version}, {S3PRL} was expected", f"pip install s3prl=={S3PRL}")
    problem = _bridge()
    if problem:
        return Finding("s3prl", False, f"{version} cannot be imported: {problem}", INSTALL)
    return Finding("s3prl", True, f"{version}, imports under the bridge")


def _bridge() -> str | None:
    try:
        # s3prl prints what it misses for upstreams that nobody asked for.
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from downstream_runs import bridge

            bridge.apply()
            importlib.import_module("s3prl.hub")
    except Exception as error:  # whatever s3prl's dependencies raise is what the user has to see
        return _first_line(error)
    return None


def _gpu() -> Finding:
    def finding(good: bool, found: str, then: str = "") -> Finding:
        return Finding("GPU", good, found, then, for_demo=False)

    if _version("torch") is None or _import("torch"):
        return finding(False, "unknown without torch", INSTALL)
    import torch

    if torch.cuda.is_available():
        names = [torch.cuda.get_device_name(number) for number in range(torch.cuda.device_count())]
        return finding(True, ", ".join(names))
    if shutil.which("nvidia-smi"):
        then = (
            f"nvidia-smi shows the driver; torch {torch.__version__} needs one for CUDA {torch.version.cuda}"
        )
        return finding(False, "there is nvidia-smi, but torch sees no GPU", then)
    return finding(
        False, "none", "--device cpu works; the superb and paper recipes want a machine with a GPU"
    )


def _synthesiser() -> Finding:
    problem = _import("espeakng_loader")
    if problem:
        return Finding("synthesiser", False, "espeakng-loader is not installed", INSTALL)
    return Finding("synthesiser", True, f"espeakng-loader {_version('espeakng-loader')}")


def _data(option: Path | None) -> Finding:
    def finding(good: bool, found: str, then: str = "") -> Finding:
        return Finding("LibriSpeech", good, found, then, for_demo=False)

    then = f"unpack {', '.join(SPLITS)} of openslr.org/12, and name their folder with --data DIR"
    try:
        data = settings.data_root(option)
        if data is None:
            return finding(
                False, f"no folder is named by --data, {settings.VARIABLE} or {settings.FILE_NAME}", then
            )
        from downstream_runs.corpora import librispeech

        root = librispeech.find_root(data.path)
        report = librispeech.check(root, SPLITS, decode=0)
        librispeech.require_good(report)
    except UsageError as error:
        return finding(False, str(error), then)
    labels = f", labelled {', '.join(report.labels)}" if report.labels else ""
    counts = ", ".join(f"{name} {split.utterances:,}" for name, split in report.splits.items())
    others = f"{PROGRAM} check looks at the other tasks' corpora"
    return finding(True, f"{root} by {data.source}: {counts}{labels}; {others}")


def _checkpoint() -> Finding:
    from upstream_arm import download, names

    if _version("huggingface_hub") is None:
        return Finding("checkpoint", False, "huggingface_hub is not installed", INSTALL, for_demo=False)
    there = [name for name in names.RELEASED if download.cached(name) is not None]
    if not there:
        then = f"{PROGRAM} fetch armhubert"
        return Finding("checkpoint", False, "no released one in the Hugging Face cache", then, for_demo=False)
    return Finding("checkpoint", True, f"in the Hugging Face cache: {', '.join(there)}", for_demo=False)


def _disk(out: Path) -> Finding:
    folder = next(parent for parent in (out, *out.parents) if parent.exists())
    if not os.access(folder, os.W_OK):
        return Finding(
            "disk", False, f"{folder} cannot be written to", "name another place for runs with --out DIR"
        )
    free = shutil.disk_usage(folder).free
    found = f"{free / 1e9:.0f} GB free at {folder}"
    return Finding("disk", free >= DEMO_BYTES, found, "name a place with 1 GB or more with --out DIR")


def _import(module: str) -> str | None:
    """None if the module imports, else the reason in one line."""
    try:
        importlib.import_module(module)
    except Exception as error:  # an ill-fitting library raises OSError, RuntimeError and others
        return _first_line(error)
    return None


def _first_line(error: Exception) -> str:
    return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
