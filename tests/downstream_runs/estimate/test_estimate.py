"""What a full run takes, from a made-up measurement; and a measurement of the toy upstream."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

from downstream_runs import tasks
from downstream_runs.cli import estimate
from downstream_runs.cli import main as cli
from downstream_runs.core.corpus import Split
from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import predict
from downstream_runs.estimate.clock import Busy
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.measure import Cost, Measurement

SHAPE = Shape(layers=12, features=768, rate=320)


def measurement(**costs: Cost) -> Measurement:
    busy = Busy(0.1, 2, 2, 0.99)
    return Measurement(device="CPU", seconds=60.0, busy=busy, shape=SHAPE, loading=0.001, costs=costs)


def small(name: str) -> TaskSpec:
    """A task on a corpus of round numbers: 3,600 seconds to train on, 360 for dev and test each."""
    task = tasks.get(name)
    splits = {"train": Split(1800, 1.0), "dev": Split(180, 0.1), "test": Split(180, 0.1)}
    return dataclasses.replace(task, corpus=dataclasses.replace(task.corpus, splits=splits))


def test_pooled_hours_are_extraction_then_the_head() -> None:
    found = predict.predict(small("ic"), "superb", measurement(ic=Cost(0.1, 0.2, 0.03, 0.006)))
    # 200,000 steps of 32 utterances of 2 s; 40 evaluations of dev and test, one test more.
    training = 200_000 * (32 * 2.0 * 0.1 + 0.03)
    evaluation = (40 + 41) * (360 * 0.2 + 180 / 32 * 0.03 / 3)
    assert found.off == pytest.approx((training + evaluation) / 3600)
    assert found.extraction == pytest.approx(1.2 * 0.2)
    assert found.training == pytest.approx(200_000 * 0.006 / 3600)
    assert found.evaluation == pytest.approx(81 * 180 / 32 * 0.006 / 3 / 3600)
    assert (found.kind, found.store_bytes) == ("pooled", ((1800 + 360) * 2 * 12 * 768 * 4,) * 2)


def test_folds_multiply_everything_but_the_extraction() -> None:
    cost = Cost(0.1, 0.2, 0.03, 0.006)
    found = predict.predict(small("er"), "superb", measurement(er=cost))
    assert found.extraction == pytest.approx(1.2 * 0.2)
    assert found.training == pytest.approx(5 * 30_000 * 0.006 / 3600)


def test_frames_take_the_whole_head_and_are_loaded() -> None:
    found = predict.predict(small("pr"), "superb", measurement(pr=Cost(0.1, 0.2, 0.4)))
    assert found.training == pytest.approx(100_000 * (0.4 + 32 * 2.0 * 0.001) / 3600)
    assert found.store_bytes == pytest.approx((1.2 * 3600 * 50 * 12 * 768 * 2,) * 2)
    fp32 = predict.predict(small("pr"), "superb", measurement(pr=Cost(0.1, 0.2, 0.4)), "fp32")
    assert fp32.store_bytes[1] == 2 * found.store_bytes[1]


def test_random_crops_are_encoded_in_every_step() -> None:
    cost = Cost(0.1, 0.2, 0.03, 0.006)
    ks = predict.predict(small("ks"), "superb", measurement(ks=cost))
    assert ks.training == pytest.approx(200_000 * (32 * 2.0 * 0.1 / 12 + 0.006) / 3600)
    sid = predict.predict(small("sid"), "superb", measurement(sid=cost))
    assert sid.training == pytest.approx(200_000 * (32 * 2.0 * 0.1 + 0.006) / 3600)
    assert sid.extraction == pytest.approx(0.2 * 0.2), "dev and test only"
    assert sid.store_bytes == (360 * 73_728, 2160 * 73_728), "none of training, or all"
    assert ks.store_bytes == (2160 * 73_728,) * 2, "silence alone is cropped, all words are stored"
    asv = predict.predict(small("asv"), "superb", measurement(asv=Cost(0.1, 0.2, 0.03)))
    assert asv.store_bytes == pytest.approx((0.2 * 3600 * 921_600, 1.2 * 3600 * 921_600))


def test_the_search_is_every_layer_of_both_splits_in_stock_and_of_one_here() -> None:
    found = predict.predict(
        tasks.get("qbe"), "superb", measurement(qbe=Cost(0.1, 0.1, stock_pair=1e-7, our_pair=1e-8))
    )
    splits = tasks.get("qbe").corpus.splits
    documents = splits["documents"].hours * 3600 * 50
    pairs = splits["dev"].hours * 3600 * 50 * documents
    audio = 2 * splits["documents"].hours + splits["dev"].hours + splits["test"].hours
    assert found.off == pytest.approx(12 * (audio * 0.1 + 2 * pairs * 1e-7 / 3600))
    assert found.evaluation == pytest.approx(13 * pairs * 1e-8 / 3600)


def test_tasks_on_one_corpus_share_its_frames() -> None:
    cost = Cost(0.1, 0.2, 0.4)
    rows = [
        predict.predict(tasks.get(name), "superb", measurement(pr=cost, asr=cost)) for name in ("pr", "asr")
    ]
    off, stored, size = predict.totals(rows)
    assert off == sum(row.off for row in rows)
    assert stored == pytest.approx(sum(row.stored for row in rows) - rows[0].extraction)
    assert size == rows[0].store_bytes


def test_every_task_has_its_corpus() -> None:
    for name in tasks.names():
        found = measurement(**{name: Cost(0.1, 0.1, 0.1, 0.1 if tasks.get(name).pooled else None)})
        row = predict.predict(tasks.get(name), "paper", found)
        assert 0 < row.stored < row.off
        assert 0 < row.store_bytes[0] <= row.store_bytes[1]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["armhubert", "kss"], "there is no task 'kss'"),
        (["armhuber", "ks"], "did you mean"),
        (["fbank", "ks", "--batching", "released"], "fbank has exact or stock"),
        (["fbank", "ks", "--recipe", "demo"], "argument --recipe: invalid choice: 'demo'"),
        (["armhubert_local", "ks", "--ckpt", "absent.ckpt"], "--ckpt absent.ckpt is no file"),
    ],
)
def test_wrong_use_is_one_sentence(
    arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["estimate", *arguments]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error


def test_a_measurement_of_a_toy_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("s3prl")
    import torch
    import toy

    from downstream_runs.upstreams.checked import CheckedUpstream

    toy.register()
    monkeypatch.chdir(tmp_path)
    built = (CheckedUpstream(toy.Toy(), "toy"), torch.device("cpu"), "toy [untrained]")
    monkeypatch.setattr(estimate, "built_upstream", lambda options, task: built)
    assert cli.main(["estimate", "toy", "ks,qbe", "--device", "cpu"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("estimate for toy [untrained], 3 layers x 16, recipe superb")
    rows = [line.split() for line in said.splitlines() if line.startswith(("ks", "qbe"))]
    assert [row[0] for row in rows] == ["ks", "qbe"]
    assert all(float(row[1].replace(",", "")) > 0 for row in rows)
    assert "the machine during it: load average" in said
    assert not list(tmp_path.iterdir()), "nothing is written"
