"""A run of diarisation on mixtures that are mixed when they are read, beside one on their files."""

from __future__ import annotations

from pathlib import Path

import libri2mix_sources as sources
import pytest

from downstream_runs import tasks
from downstream_runs.core.results import Result
from downstream_runs.corpora import mixing
from downstream_runs.engine import RunPlan, run, run_dir

STEPS = {"runner.total_steps": 4, "runner.eval_step": 4, "runner.save_step": 4}


def result(laid: Path, folder: Path, on_the_fly: bool) -> tuple[Result, dict[str, bytes]]:
    """Of a short run, and its predictions by their names."""
    data = folder / "data"
    data.mkdir(parents=True)
    mixing.make(laid, laid, laid / "LibriMix", data, on_the_fly=on_the_fly)
    plan = RunPlan(
        upstream="fbank",
        task=tasks.get("sd"),
        recipe="demo",
        data=data,
        out=folder / "runs",
        device="cpu",
        partial=True,
        overrides=STEPS,
    )
    return run(plan), {path.name: path.read_bytes() for path in run_dir(plan).rglob("*.h5")}


@pytest.mark.slow
def test_numbers_and_predictions_are_those_of_the_files(tmp_path: Path) -> None:
    rows = [row for split in ("train", "dev", "test") for row in sources.rows(split)[:3]]
    sources.lay(tmp_path / "laid", rows)
    files, predicted = result(tmp_path / "laid", tmp_path / "files", on_the_fly=False)
    read, also = result(tmp_path / "laid", tmp_path / "read", on_the_fly=True)
    assert not list((tmp_path / "read" / "data").rglob("*.wav"))
    assert files.metrics == read.metrics and files.metrics[0].counts["files"] == 3
    assert files.corpus.hash == read.corpus.hash
    assert predicted == also and len(predicted) == 6
    assert read.labels == files.labels == ("partial", "other-data", "shortened")
