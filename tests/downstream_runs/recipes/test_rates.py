"""Learning rates that others published: where each is from, and when a recipe's own is doubted."""

from __future__ import annotations

import re

import pytest

from downstream_runs import tasks
from downstream_runs.cli.main import main
from downstream_runs.recipes import rates


def test_every_rate_has_its_source_and_is_of_a_task_that_trains() -> None:
    every = [rate for task in tasks.names() for rate in rates.of_task(task)]
    assert len(every) == len(rates.FILE.read_text(encoding="utf-8").splitlines()) - 1
    for rate in every:
        assert rate.upstreams and 0 < rate.lr < 1 and tasks.get(rate.task).train_split is not None
        assert re.fullmatch(r"github\.com/[\w-]+/\w+(/issues/\d+|, README)", rate.source)
    pairs = [(upstream, rate.task) for rate in every for upstream in rate.upstreams]
    assert len(set(pairs)) == len(pairs)


@pytest.mark.parametrize(
    ("upstream", "task", "lr", "said"),
    [
        (
            "hubert_base",
            "sid",
            1e-4,
            "0.0001; published is for hubert, hubert_base, .*: 0.1 .accuracy 81.42 %",
        ),
        ("hubert_base", "sid", 1e-1, None),
        ("hubert_base", "ks", 1e-4, None),
        ("lighthubert_small", "pr", 1e-2, "learning rate 0.01; published is for .*: 0.0005"),
        ("armhubert_local", "sid", 1e-4, "learning rate 0.0001; published is for maskhubert, armhubert"),
        ("armhubert_local", "sid", 1e-3, None),
        ("lighthubert_local", "pr", 1e-2, None),  # which of them is in the file is not known
        (
            "wavlm_base",
            "sid",
            1e-4,
            "all of other upstreams, are 0.001 to 0.1: --lr 0.001,0.005,0.01,0.05,0.1 t",
        ),
        ("wavlm_base", "sid", 1e-3, None),
        ("wavlm_base", "pr", 1e-4, None),
        ("wavlm_base", "qbe", 1e-4, None),
    ],
)
def test_a_rate_that_is_known_to_be_poor(upstream: str, task: str, lr: float, said: str | None) -> None:
    found = rates.doubt(upstream, task, lr)
    assert found is None if said is None else found is not None and re.search(said, found)


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["hubert_base", "sid"], 1),
        (["hubert_base,wavlm_base", "sid,ks", "--seed", "1,2"], 2),
        (["hubert_base", "sid", "--lr", "1e-4"], 0),
        (["hubert_base", "sid", "--lr", "1e-4,1e-1"], 0),
        (["hubert_base", "sid", "-o", "optimizer.lr=1e-4"], 0),
        (["hubert_base", "ks"], 0),
        (["fbank", "qbe"], 0),
    ],
)
def test_the_note_of_a_plan(
    arguments: list[str], told: int, tmp_path: object, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["plan", *arguments, "--data", str(tmp_path), "--out", f"{tmp_path}/runs"]) == 0
    out, err = capsys.readouterr()
    assert err.count("note: the recipe of sid has the learning rate 0.0001") == told
    assert out.count("sid's learning rate as published for hubert") == ("hubert" in arguments[0]) * (
        "sid" in arguments[1]
    )


def test_a_demo_is_not_doubted(tmp_path: object, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["plan", "hubert_base", "sid", "--demo", "--out", f"{tmp_path}/runs"]) == 0
    assert "note: the recipe" not in capsys.readouterr().err


def test_a_recipe_is_printed_with_the_rates_beside_it(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "sid"]) == 0
    assert "  wav2vec2, wav2vec2_base_960" in capsys.readouterr().out
    assert main(["recipe", "sid", "superb"]) == 0
    out, err = capsys.readouterr()
    assert "wav2vec2" not in out and "  wav2vec2, wav2vec2_base_960" in err
    assert main(["recipe", "qbe"]) == 0
    assert "published" not in capsys.readouterr().out
