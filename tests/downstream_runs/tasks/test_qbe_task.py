"""The task of query-by-example on its demo corpus: better than chance, and equal to stock s3prl."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from downstream_runs import tasks
from downstream_runs.core.settings import leaves
from downstream_runs.corpora import quesst14
from downstream_runs.engine import RunPlan, run, run_dir
from downstream_runs.scoring import mtwv, stdlist

REPOSITORY = Path(__file__).parents[3]


def test_names_and_recipes() -> None:
    task = tasks.get("qbe")
    for alias in ("quesst14_dtw", "query-by-example", "QUESST14"):
        assert tasks.get(alias) is task
    assert set(task.recipes) == {"superb", "paper", "demo"}
    settings = dict(leaves(task.recipes["superb"].config))
    stock = {
        "downstream_expert.feature_normalization": True,
        "downstream_expert.dtwrc.dist_method": "cosine_exp",
        "downstream_expert.dtwrc.minmax_norm": True,
        "downstream_expert.dtwrc.step_pattern": "asymmetric",
        "downstream_expert.dtwrc.subsequence": True,
    }
    assert {key: settings[key] for key in stock} == stock


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run directory of FBANK on the demo corpus, which lies beside it."""
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    folder = tmp_path_factory.mktemp("qbe")
    task = tasks.get("qbe")
    data = task.corpus.make_demo(folder / "data").parent
    plan = RunPlan(task=task, recipe="demo", upstream="fbank", data=data, out=folder / "runs", device="cpu")
    run(plan)
    return run_dir(plan)


def root_of(searched: Path) -> Path:
    return searched.parents[3] / "data" / quesst14.FOLDER


def test_fbank_beats_chance(searched: Path) -> None:
    """0.5 at least, where scores in another order give 0.1 at most."""
    corpus = quesst14.load(root_of(searched))
    scores = stdlist.read(searched / "benchmark.stdlist.xml").scores
    assert mtwv.score(corpus.truth["eval"], scores).rate > 0.5
    documents = [document.name for document in corpus.documents]
    source = random.Random(0)
    chance = []
    for _ in range(20):
        mixed = {
            query: dict(zip(source.sample(documents, len(documents)), found.values(), strict=True))
            for query, found in scores.items()
        }
        chance.append(mtwv.score(corpus.truth["eval"], mixed).rate)
    assert max(chance) < 0.1


@pytest.mark.slow
@pytest.mark.parametrize(("split", "ours"), [("dev", "layers/dev-00.stdlist.xml.gz"), ("test", None)])
def test_every_score_is_that_of_stock_s3prl(
    split: str, ours: str | None, searched: Path, tmp_path: Path
) -> None:
    """s3prl's own expert, run by the `s3prl` command on the same files, to the last printed digit."""
    task, root = tasks.get("qbe"), root_of(searched)
    config = task.recipes["superb"].copy_config()
    config["downstream_expert"].update(
        {
            "max_workers": 1,
            "silence_frame": None,
            "datarc": {"dataset_root": str(root), "num_workers": 0, "batch_size": 1},
        }
    )
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    done = subprocess.run(
        [sys.executable, "-m", "downstream_runs.bridge.command", "run_downstream.py", "-m", "evaluate",
         "-t", split, "-u", "fbank", "-l", "0", "-d", "quesst14_dtw", "-c", "config.yaml", "-p", "stock"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    stock = stdlist.read(tmp_path / "stock" / "benchmark.stdlist.xml")
    found = stdlist.read(searched / (ours or "benchmark.stdlist.xml"))
    assert found.scores.keys() == stock.scores.keys()
    for query, scores in stock.scores.items():
        # 1e-4 is the last printed digit: rounding may go either way.
        assert found.scores[query] == pytest.approx(scores, abs=1.0001e-4)
        assert set(found.accepted[query]) == set(stock.accepted[query])
