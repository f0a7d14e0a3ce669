"""Check what a run needs. Exit code 0 if all that --demo needs is there, else 1."""

from __future__ import annotations

import argparse
import contextlib
import importlib
import io
import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from downstream_runs import bridge, tasks
from downstream_runs.bridge import pair
from downstream_runs.cli.findings import Finding, show
from downstream_runs.corpora import data_root
from upstream_arm import download, names
from upstream_arm.common import devices
from upstream_arm.common.errors import DONE, FAILED, UsageError
from upstream_arm.common.program import PROGRAM, installed
from upstream_arm.common.stages import stage

OLDEST_PYTHON = (3, 10)
S3PRL = "0.4.18"
DEMO_BYTES = 1_000_000_000
"""The demo's corpus and run directory stay far below this."""
SPLITS = ("train-clean-100", "dev-clean", "test-clean")
INSTALL = (
    "./run_superb.sh UPSTREAM TASK --demo installs it beside the checkout, or: pip install -e '.[demo]'"
    if PROGRAM.endswith(".sh")
    else "pip install 'superb-arm[demo]'"
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `doctor`."""
    add = parser.add_argument
    add("--data", type=Path, metavar="DIR", help="folder of the corpora; else SUPERB_DATA, superb.toml")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")


def run(options: argparse.Namespace) -> int:
    """Print every finding, and the one command to run next; 0 if the demo has all that it needs, else 1."""
    seen: list[Finding] = []
    good = show(_noted(for_demo(data_root.out_folder(options.out)), seen))
    print("and beside the demo:", flush=True)
    show(_noted(for_corpora(options.data), seen))
    print("The demo can run." if good else "The demo cannot run yet.")
    if good:
        then = next((finding.then for finding in seen if finding.then), f"{PROGRAM} armhubert asr --demo")
    else:
        then = next(finding.remedy for finding in seen if not finding.good)
    print(f"next: {then}")
    return DONE if good else FAILED


def _noted(findings: Iterator[Finding], seen: list[Finding]) -> Iterator[Finding]:
    """The findings one by one, also in `seen`."""
    for finding in findings:
        seen.append(finding)
        yield finding


def for_demo(out: Path) -> Iterator[Finding]:
    """What every run needs, the quick and basic things first."""
    python = f"Python {platform.python_version()} at {sys.executable}"
    oldest = ".".join(map(str, OLDEST_PYTHON))
    good = sys.version_info[:2] >= OLDEST_PYTHON
    yield Finding(python, good, f"set SUPERB_PYTHON to a Python {oldest} or later")
    with stage("importing torch"):
        pair = torch_pair()
    yield pair
    with stage("importing s3prl"):
        found = s3prl()
    yield found
    reason = why_not(lambda: importlib.import_module("espeakng_loader"))
    version = installed("espeakng-loader") or "not installed"
    yield Finding(f"the demo's synthesiser, espeakng-loader: {version}", reason is None, INSTALL)
    yield disk(out)


def for_corpora(data: Path | None) -> Iterator[Finding]:
    """What runs on the real corpora need, or are faster with."""
    yield gpu()
    yield librispeech(data)
    yield checkpoint()


def why_not(load: Callable[[], object]) -> str | None:
    """None if `load` goes well, else the reason in one line."""
    try:
        load()
    except Exception as error:  # an ill-fitting library raises OSError, RuntimeError and others
        return f"{type(error).__name__}: {(str(error).splitlines() or ['no reason given'])[0]}"
    return None


def torch_pair() -> Finding:
    """Whether torch and torchaudio are there and fit each other."""
    versions = {name: installed(name) for name in pair.NAMES}
    absent = [name for name, version in versions.items() if version is None]
    if absent:
        return Finding(f"{' and '.join(absent)}: not installed", False, INSTALL)
    problem = pair.problem()
    if problem:
        what, _, remedy = problem.partition("): ")
        return Finding(f"{what})", False, remedy)
    return Finding(" with ".join(f"{name} {version}" for name, version in versions.items()))


def s3prl() -> Finding:
    """Whether s3prl is there in the release that the bridge is for, and can be imported under it."""
    version = installed("s3prl")
    if version is None:
        return Finding("s3prl: not installed", False, INSTALL)
    if version != S3PRL:
        return Finding(f"s3prl {version}, {S3PRL} was expected", False, f"pip install s3prl=={S3PRL}")
    # s3prl prints what it misses for upstreams that nobody asked for.
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        reason = why_not(bridge.apply)
    if reason is not None:
        return Finding(f"s3prl {version} cannot be imported: {reason}", False, INSTALL)
    return Finding(f"s3prl {version}, imports under the bridge")


def gpu() -> Finding:
    """The accelerators that torch sees."""
    if why_not(lambda: importlib.import_module("torch")):
        return Finding("GPU: unknown without torch", False, INSTALL)
    import torch

    kind = devices.accelerator()
    if kind is not None:
        names = [devices.name(torch.device(kind, number)) for number in range(devices.count())]
        return Finding(f"GPU: {', '.join(names)}")
    if shutil.which("nvidia-smi"):
        remedy = (
            f"nvidia-smi shows the driver; torch {torch.__version__} needs one for CUDA {torch.version.cuda}"
        )
        return Finding("GPU: there is nvidia-smi, but torch sees none", False, remedy)
    remedy = "--device cpu works; the superb and paper recipes want a machine with a GPU"
    return Finding("GPU: none", False, remedy)


def librispeech(option: Path | None) -> Finding:
    """Whether the corpus of three tasks is there and complete; `check` looks at all corpora."""
    remedy, then = (
        f"{PROGRAM} data pr asr --data DIR fetches {', '.join(SPLITS)} of openslr.org/12 into DIR",
        "",
    )
    try:
        data = data_root.data_root(option)
        if data is None:
            where = f"no folder is named by --data, {data_root.VARIABLE} or {data_root.FILE_NAME}"
            raise UsageError(where)
        then = f"{PROGRAM} data pr asr --data {data.path}"
        asr = tasks.get("asr")
        corpus = asr.corpus.look(data.path, None, asr.recipes["superb"].config)
    except UsageError as error:
        return Finding(f"LibriSpeech: {error}", False, remedy, then)
    labels = f", labelled {', '.join(corpus.labels)}" if corpus.labels else ""
    others = f"{PROGRAM} check looks at the other tasks' corpora"
    return Finding(
        f"LibriSpeech: {data.path} by {data.source}: {', '.join(SPLITS)} are whole{labels}; {others}",
        then=f"{PROGRAM} armhubert asr --data {data.path}",
    )


def checkpoint() -> Finding:
    """Which released checkpoints are on this machine."""
    if installed("huggingface_hub") is None:
        return Finding("checkpoint: huggingface_hub is not installed", False, INSTALL)
    there = [name for name in names.RELEASED if download.cached(name) is not None]
    what = ", ".join(there) or "no released one"
    return Finding(f"checkpoint: {what} in the Hugging Face cache", bool(there), f"{PROGRAM} fetch armhubert")


def disk(out: Path) -> Finding:
    """Whether runs can be written, with room for the demo's."""
    folder = next(parent for parent in (out, *out.parents) if parent.exists())
    if not os.access(folder, os.W_OK):
        return Finding(
            f"disk: {folder} cannot be written to", False, "name another place for runs with --out DIR"
        )
    free = shutil.disk_usage(folder).free
    what = f"disk: {free / 1e9:.0f} GB free at {folder}"
    return Finding(what, free >= DEMO_BYTES, "name a place with 1 GB or more with --out DIR")
