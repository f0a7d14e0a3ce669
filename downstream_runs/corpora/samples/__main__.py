"""`python -m downstream_runs.corpora.samples NAME SOURCE DEST`: lay small real speech out for a task."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path

from downstream_runs.corpora.markers import SAMPLE, notice_of
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM

NAMES = {
    "librimix": "SD: recordings of two speakers and ref.rttm as Kaldi folders",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; the exit code is 0, or 2 with one sentence on standard error."""
    lines = [f"  {name:<16} {what}" for name, what in NAMES.items()]
    parser = argparse.ArgumentParser(
        prog="python -m downstream_runs.corpora.samples",
        description="Lay a few real recordings out as the corpus of diarization, to try it on real speech; "
        f"then: {PROGRAM} UPSTREAM TASK --data DEST --recipe sample",
        epilog="\n".join(["names:", *lines]),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("name", choices=NAMES, metavar="NAME", help="of the layout, see below")
    parser.add_argument("source", type=Path, help="folder with the recordings and the table that lists them")
    parser.add_argument("dest", type=Path, help="folder in which the corpus is laid out")
    options = parser.parse_args(arguments)
    module = importlib.import_module(f"downstream_runs.corpora.samples.{options.name}")
    try:
        root: Path = module.lay_out(options.source, options.dest)
    except UsageError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{root} is laid out (see {notice_of(root, SAMPLE).name} there): a sample, not the official splits")
    return 0


if __name__ == "__main__":
    sys.exit(main())
