"""The `s3prl` console command: s3prl's own run_downstream.py on today's libraries, from any folder."""

from __future__ import annotations

import sys

from upstream_arm.common.errors import RunFailed, UsageError, say
from upstream_arm.common.program import installed
from upstream_arm.common.words import near

USAGE = """\
usage: s3prl run_downstream.py OPTIONS
       s3prl --help | --version

Runs s3prl's own run_downstream.py, unchanged, with what it misses in today's torch, torchaudio,
huggingface_hub and numpy supplied, and with the upstreams of this project registered.
All of its options work, from any folder:

  s3prl run_downstream.py -m train -u arm_hubert -d asr -c config.yaml -p result/asr
  s3prl run_downstream.py -m train -e result/asr                  continue
  s3prl run_downstream.py -m evaluate -t test-clean -e result/asr/dev-clean-best.ckpt
  s3prl run_downstream.py --help                                  s3prl's own options

Without --device and without CUDA it runs on another accelerator, or on the CPU. The values of -o are
Python literals or text.
s3prl from PyPI carries no task configurations: give one with -c, or use ./run_superb.sh, which has them.
"""

SCRIPT = "run_downstream.py"


def main(argv: list[str] | None = None) -> int:
    """Run the command; returns s3prl's exit code, or 2 after one sentence about wrong use."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="", file=sys.stdout if arguments else sys.stderr)
        return 0 if arguments else 2
    try:
        if arguments[0] == "--version":
            print(f"{version_of('s3prl')}, run by {version_of('superb-arm')}")
            return 0
        _check_script(arguments[0])
        from downstream_runs.bridge.stock_run import run

        return run(arguments[1:])
    except (UsageError, RunFailed) as error:
        return say(f"error: {_sentence(error)}", error.exit_code)


def version_of(package: str) -> str:
    """The name of a package and its installed version."""
    return f"{package} {installed(package) or '(not installed)'}"


def _check_script(name: str) -> None:
    if name in (SCRIPT, SCRIPT.removesuffix(".py")):
        return
    hint = near(name, (SCRIPT, SCRIPT.removesuffix(".py"), "--help", "--version"))
    raise UsageError(f"{name!r} is not a script that this command runs (see `s3prl --help`){hint}")


def _sentence(error: Exception) -> str:
    """The error's own sentence; torch puts a worker's whole traceback into the message."""
    name = f"{type(error).__name__}: "
    raised = [line for line in str(error).splitlines() if name in line]
    return raised[-1].partition(name)[2] if raised and "Traceback" in str(error) else str(error)


if __name__ == "__main__":
    sys.exit(main())
