"""Plans of upstreams from a source, and the sentence of one that is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs.cli.plans import rows_of
from downstream_runs.cli.run import run_parser
from downstream_runs.core.run import RunPlan
from downstream_runs.upstreams import weights
from upstream_arm.common.errors import UsageError

FILES = {"config.json": b'{"model_type": "hubert"}', "preprocessor_config.json": b"{}", "README.md": b"read"}


def plan_of(text: str, out: Path, *options: str) -> RunPlan:
    words = [text, "ks", "--demo", "--out", str(out), *options]
    return rows_of(run_parser().parse(words))[0].plan


def refused(text: str, *, ckpt: str | None = None, trust: bool = False) -> str:
    with pytest.raises(UsageError) as caught:
        weights.choose(text, ckpt, True, trust)
    assert "\n" not in str(caught.value)
    return str(caught.value)
