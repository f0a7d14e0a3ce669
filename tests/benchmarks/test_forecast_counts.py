"""The counts of stock s3prl that are kept with the package are those that its parts have today."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("s3prl")

from downstream_runs.estimate import forecast

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
AGAIN = "import forecast, pathlib, sys; forecast.write(['ks'], pathlib.Path(sys.argv[1]))"


@pytest.mark.slow
def test_keyword_spotting_is_counted_again(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    # In a process of its own, as others have s3prl's heads corrected.
    subprocess.run([sys.executable, "-c", AGAIN, str(tmp_path / "now")], cwd=BENCHMARKS, check=True)
    now, kept = (json.loads(path.read_text())["tasks"]["ks"] for path in (tmp_path / "now", forecast.STOCK))
    for name in ("trained", "alone", "step", "pooled"):
        assert now[name]["kernels"] == pytest.approx(kept[name]["kernels"], rel=0.05), name
        assert now[name]["fp32"] == pytest.approx(kept[name]["fp32"], rel=0.001), name
        assert now[name]["tf32"] == pytest.approx(kept[name]["tf32"], rel=0.001), name
