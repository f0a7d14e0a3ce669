"""`python -m upstream_arm`."""

import sys

from upstream_arm.cli import main

sys.exit(main())
