"""A child process of test_bridge_stock_asr.py: `s3prl` with the project's upstreams left out."""

import sys
import types

stub = types.ModuleType("upstream_arm.s3prl_hub")
vars(stub)["register"] = lambda: None
import upstream_arm  # noqa: E402

sys.modules["upstream_arm.s3prl_hub"] = stub
vars(upstream_arm)["s3prl_hub"] = stub

from downstream_runs.bridge.command import main  # noqa: E402

sys.exit(main())
