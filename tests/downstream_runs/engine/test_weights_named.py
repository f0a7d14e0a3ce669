"""Other weights under a released name: everything that a run leaves names their file and hash."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import shutil
from pathlib import Path

import noise
import pytest

from downstream_runs.core.results import read, write
from downstream_runs.core.run import RunPlan
from downstream_runs.engine import run, run_dir
from downstream_runs.runs import status
from downstream_runs.upstreams import weights
from reports import ours
from reports.columns import COLUMNS
from reports.ours import gather
from reports.tables import blocks
from upstream_arm import download

GOLDEN = Path(__file__).parents[2] / "data" / "golden_tiny"
CONFIG = str(GOLDEN / "tiny.yaml")
SHORT = {"total_steps": 2, "eval_step": 2, "save_step": 2, "gradient_accumulate_steps": 1}


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("weights") / "other.safetensors"
    shutil.copy(GOLDEN / "weights.safetensors", file)
    return file


@pytest.fixture(scope="module")
def told(other: Path) -> str:
    return f"other.safetensors, {hashlib.sha256(other.read_bytes()).hexdigest()[:8]}"


@pytest.fixture(autouse=True)
def _nothing_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "cached", lambda name: None)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def tiny(corpus: Path, out: Path, upstream: str, ckpt: Path) -> RunPlan:
    return noise.tiny_plan(corpus, out, upstream=upstream, ckpt=str(ckpt), model_config=CONFIG, runner=SHORT)


# The second: a plan made in Python, past what the command line does.
@pytest.mark.parametrize("name", ["armhubert_local", "armhubert"])
def test_result_table_and_status_name_the_weights(
    name: str, corpus: Path, other: Path, told: str, tmp_path: Path
) -> None:
    plan = tiny(corpus, tmp_path, name, other)
    result = run(plan)
    assert result.upstream == "armhubert_local"
    (row,) = gather([tmp_path]).systems
    assert row.name == f"armhubert_local ({told}) [demo, shortened]" and row.upstream == "armhubert_local"
    notes = blocks.notes([row], COLUMNS)
    assert any(row.name in note and str(result.upstream_checkpoint_sha256) in note for note in notes)
    (shown,) = status.find(tmp_path)
    assert shown.upstream == f"{name} ({told})"


def test_a_run_that_an_earlier_version_began_is_found_and_shown_as_what_it_is(
    corpus: Path, other: Path, told: str, tmp_path: Path
) -> None:
    """That version kept `armhubert --ckpt FILE` under `armhubert`, and named it so."""
    plan = tiny(corpus, tmp_path, "armhubert_local", other)
    result = run(plan)
    new = run_dir(plan)
    old = tmp_path / "armhubert" / new.relative_to(tmp_path / "armhubert_local")
    shutil.copytree(new, old)
    shutil.rmtree(tmp_path / "armhubert_local")
    kept = json.loads((old / "plan.json").read_text())
    del kept["weights"]
    (old / "plan.json").write_text(json.dumps({**kept, "upstream": "armhubert"}))
    write(old / "result.json", dataclasses.replace(result, upstream="armhubert"))

    assert run_dir(plan) == old
    assert run(plan).metrics == result.metrics
    (row,) = ours.systems([(old, read(old / "result.json"))])
    assert row.name.startswith(f"armhubert ({told})") and row.upstream == "armhubert_local"
    (shown,) = status.find(tmp_path)
    assert shown.upstream == f"armhubert ({kept['ckpt'][:8]})"
    (old / "result.json").unlink()
    assert run(plan).upstream == "armhubert_local" and not (tmp_path / "armhubert_local").exists()


def test_the_released_weights_alone_have_the_bare_name(
    corpus: Path, other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blob = tmp_path / weights_folder() / "blobs" / hashlib.sha256(other.read_bytes()).hexdigest()
    link = tmp_path / weights_folder() / "snapshots" / "abc" / "ARMHuBERT-960h.ckpt"
    for path in (blob, link):
        path.parent.mkdir(parents=True)
    shutil.copy(other, blob)
    link.symlink_to(blob)
    monkeypatch.setattr(download, "cached", lambda name: link)
    chosen = weights.choose("armhubert", None, demo=False)
    assert chosen.ckpt is not None
    plan = tiny(corpus, tmp_path / "runs", chosen.name, Path(chosen.ckpt))
    assert run(plan).upstream == "armhubert"
    (row,) = gather([tmp_path / "runs"]).systems
    assert row.name == "armhubert [demo, shortened]" and row.upstream == "armhubert"
    (shown,) = status.find(tmp_path / "runs")
    assert shown.upstream == "armhubert"


def weights_folder() -> str:
    return "models--sungnyun--ARMHuBERT"
