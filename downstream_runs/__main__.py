"""`python -m downstream_runs`."""

from __future__ import annotations

import sys

from downstream_runs.cli import main

if __name__ == "__main__":
    sys.exit(main())
