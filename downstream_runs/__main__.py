"""`python -m downstream_runs`, and the console command `superb`: what ./run_superb.sh runs."""

from __future__ import annotations

import os
import sys

from downstream_runs.program import shadowed


def run() -> int:
    """Run the command line; returns its exit code."""
    problem = shadowed()
    if problem is not None:
        print(f"error: {problem}", file=sys.stderr)
        return 2
    from downstream_runs.cli import main

    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for example, wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(run())
