"""A whole run of query-by-example on a tiny corpus."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import pytest
import spoken

from downstream_runs.cli import main as cli
from downstream_runs.corpora import quesst14
from downstream_runs.engine import run, run_dir
from downstream_runs.protocols import dtw
from downstream_runs.scoring import mtwv, stdlist
from reports import item_files
from reports.statistics import trials as statistics
from upstream_arm.common.errors import UsageError


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return spoken.make_corpus(tmp_path_factory.mktemp("data")).parent


@pytest.fixture
def upstream() -> spoken.Layered:
    return spoken.register()


@pytest.fixture(scope="module")
def whole(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The directory of a run that nobody disturbed."""
    spoken.register()
    plan = spoken.plan(data, tmp_path_factory.mktemp("whole"))
    run(plan)
    return run_dir(plan)


def test_every_layer_on_dev_and_the_best_on_eval(
    data: Path, tmp_path: Path, upstream: spoken.Layered
) -> None:
    plan = spoken.plan(data, tmp_path)
    result = run(plan)
    folder = run_dir(plan)
    recordings = spoken.DOCUMENTS + sum(spoken.QUERIES.values())
    assert upstream.calls == recordings + 1 + 6, (
        "one pass over the audio, one of the featurizer for its width, and six for the upstream's card"
    )
    headline = result.headline("mtwv")
    assert headline is not None and headline.official
    assert (headline.split, headline.selection) == ("eval", "highest MTWV on dev: layer 2 of 0 to 2")
    assert result.labels == ("demo", "untrained") and result.steps == 0
    assert result.corpus.counts == {"documents": 9, "dev": 3, "eval": 3}

    rows = list(csv.DictReader((folder / "layers.csv").read_text().splitlines()))
    assert [(row["split"], row["layer"]) for row in rows] == [
        ("dev", "0"),
        ("dev", "1"),
        ("dev", "2"),
        ("eval", "2"),
    ]
    assert float(rows[0]["mtwv"]) < 0.3 < float(rows[2]["mtwv"])
    assert not (folder / "features").exists()
    assert sorted(path.name for path in (folder / "layers").iterdir()) == [
        "dev-00.stdlist.xml.gz", "dev-01.stdlist.xml.gz", "dev-02.stdlist.xml.gz", "layers.json",
    ]  # fmt: skip

    corpus = quesst14.load(data / quesst14.FOLDER)
    scores = stdlist.read(folder / "benchmark.stdlist.xml")
    assert list(scores.scores) == [query.name for query in corpus.queries["eval"]]
    assert headline.value == mtwv.score(corpus.truth["eval"], scores.scores).rate
    # Of four queries with targets one is in another language, and counts as missed.
    english = next(m for m in result.metrics if (m.name, m.split) == ("mtwv_english", "eval"))
    assert headline.counts["queries"] == 4 and english.counts["queries"] == 3
    assert not english.official and english.role == "information"
    assert headline.counts["defaulted"] == 4 * 11 - 3 * 9
    assert headline.value == pytest.approx(0.75 * english.value)

    trials = list(csv.DictReader((folder / "trials.csv").read_text().splitlines()))
    searched, others = trials[:27], trials[27:]
    assert sum(int(trial["label"]) for trial in searched) == 9
    assert trials[0]["item"] == "quesst14_eval_0001 quesst14_00001"
    # All that the official number counts: what was not searched too, with the tool's default score.
    assert {trial["split"] for trial in trials} == {"eval"}
    assert {trial["score"] for trial in others} == {"-10.0000"}
    assert sum(int(trial["count"]) for trial in trials) == headline.counts["trials"]
    assert sum(int(trial["count"]) for trial in others) == headline.counts["defaulted"]
    targets = [int(trial["count"]) for trial in trials if trial["label"] == "1"]
    assert sum(targets) == headline.counts["targets"]
    items = [trial["item"] for trial in trials]
    assert len(set(items)) == len(items)
    # Reports compute the number again, and resample the three queries that were searched.
    [(key, found)] = item_files.items_of([(folder / "result.json", result)])[0].items()
    assert key == "qbe_mtwv"
    assert item_files.recomputed(found) == pytest.approx(100 * headline.value, abs=1e-9)
    drawn = statistics.draws(found)
    assert drawn is not None and (drawn.groups, drawn.unit) == (3, "query")
    assert drawn.values.max() <= drawn.point + (75 - drawn.point) * 1.5**0.5 + 1e-9, "one of four is missed"
    assert set(result.artefacts) == {"benchmark.stdlist.xml", "layers.csv", "trials.csv"}


@pytest.mark.parametrize("call", [12, 22, 36])
def test_a_killed_run_ends_with_the_same_files(
    call: int,
    data: Path,
    whole: Path,
    tmp_path: Path,
    upstream: spoken.Layered,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = [0]

    def killed(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            calls[0] += 1
            if calls[0] == call:
                raise KeyboardInterrupt
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, wrapped)

    monkeypatch.setattr("downstream_runs.protocols.search.BLOCK_SECONDS", 4.0)
    monkeypatch.setattr("downstream_runs.protocols.layers.CHUNK_SECONDS", 4.0)
    again = spoken.plan(data, tmp_path)
    with monkeypatch.context() as patch:
        monkeypatch = patch
        for owner, name in ((spoken.Layered, "forward"), (dtw, "costs"), (stdlist, "write")):
            killed(owner, name)
        with pytest.raises(KeyboardInterrupt):
            run(again)
    run(again)
    for name in ("benchmark.stdlist.xml", "layers.csv", "trials.csv", "layers/dev-01.stdlist.xml.gz"):
        assert (run_dir(again) / name).read_bytes() == (whole / name).read_bytes(), name


def test_one_layer_alone(
    data: Path, whole: Path, tmp_path: Path, upstream: spoken.Layered, capsys: pytest.CaptureFixture[str]
) -> None:
    result = run(spoken.plan(data, tmp_path, layer=1))
    headline = result.headline("mtwv")
    assert result.layer == 1 and headline is not None
    assert headline.selection == "layer 1, as --layer says; no other was searched"
    folder = run_dir(spoken.plan(data, tmp_path, layer=1))
    one, all_ = ((place / "layers.csv").read_text().splitlines() for place in (folder, whole))
    assert one[1] == all_[2] and one[1].startswith("dev,1,")
    assert cli.main(["verify", str(folder)]) == 0
    assert "give: layer 1, as --layer says; no other was searched" in capsys.readouterr().out


def test_half_precision_is_a_stated_deviation(data: Path, tmp_path: Path, upstream: spoken.Layered) -> None:
    result = run(spoken.plan(data, tmp_path, overrides={"downstream_expert.feature_store": "float16"}))
    assert any("feature_store is 'float16'" in sentence for sentence in result.deviations)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"overrides": {"downstream_expert.feature_store": "int8"}}, "expected one of float32, float16"),
        ({"overrides": {"downstream_expert.dtwrc.minmax_norm": False}}, "True was expected: qbe's numbers"),
        ({"precision": "bf16"}, "QbE trains nothing"),
    ],
)
def test_what_cannot_be_changed(
    changes: dict[str, Any], sentence: str, data: Path, tmp_path: Path, upstream: spoken.Layered
) -> None:
    with pytest.raises(UsageError, match=sentence):
        run(spoken.plan(data, tmp_path, **changes))


def test_mtwv_is_computed_again_from_the_scores_that_were_kept(
    data: Path, whole: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    shutil.copytree(whole, folder)
    result = str(folder / "result.json")
    assert cli.main(["verify", result]) == 0
    out = capsys.readouterr().out
    assert out.count("by scores of all trials") == 4 and "MISMATCH" not in out
    assert "the scores of all layers give: highest MTWV on dev: layer 2 of 0 to 2" in out
    # The scores of another layer than the best, which no hash covers.
    layers = folder / "layers"
    (layers / "dev-02.stdlist.xml.gz").write_bytes((layers / "dev-00.stdlist.xml.gz").read_bytes())
    assert cli.main(["verify", result]) == 1
    out = capsys.readouterr().out
    assert "MISMATCH mtwv of dev is" in out and "ok       mtwv of eval is" in out
    assert "MISMATCH the scores of all layers give: highest MTWV on dev: layer 1 of 0 to 2" in out
    # Without the ground truth nothing can be said.
    assert cli.main(["verify", result, "--data", str(tmp_path)]) == 0
    assert "-        MTWV is not computed again: " in capsys.readouterr().out
    (layers / "dev-01.stdlist.xml.gz").unlink()
    assert cli.main(["verify", result]) == 0
    assert "lacks benchmark.stdlist.xml or some of layers/" in capsys.readouterr().out
