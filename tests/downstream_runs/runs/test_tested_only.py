"""`test-only`: a trained head on another test set, whose numbers are its own and never the task's."""

from __future__ import annotations

import shutil
from pathlib import Path

import noise
import own_corpus
import pytest

from downstream_runs.cli import main as cli
from downstream_runs.core import results
from reports import ours

CHECKOUT = Path(__file__).parents[3]
BANDS = f"py:{CHECKOUT / 'examples' / 'my_upstream.py'}:make"
SHORT = [word for one in ("total_steps=4", "eval_step=2") for word in ("-o", f"runner.{one}")]
SHORT += ["--device", "cpu", "--features", "off"]


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished ASR run on noise, where there is another test set beside the official one."""
    root = tmp_path_factory.mktemp("spoken")
    noise.make_corpus(root / "data", {**noise.SPLITS, "test-other": 4})
    places = ["--data", str(root / "data"), "--out", str(root / "out")]
    assert cli.main(["fbank", "asr", *places, "--recipe", "demo", *SHORT]) == 0
    [path] = (root / "out").glob("fbank/asr/*/result.json")
    return path.parent


def tones(root: Path, kind: str, *more: str) -> Path:
    """A finished run of a task of a table."""
    own_corpus.make(root)
    words = ["--table", str(root / "tones.csv"), "--recipe", "small", "--out", str(root / "runs")]
    assert cli.main([BANDS, kind, *words, *SHORT, *more]) == 0
    [path] = (root / "runs").glob("*/tones/*/result.json")
    return path.parent


def values(path: Path, split: str) -> dict[str, tuple[float, dict[str, int]]]:
    found = results.read(path).metrics
    return {one.name: (one.value, dict(one.counts)) for one in found if one.split == split}


def test_the_tasks_own_splits_have_the_same_numbers(spoken: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = (spoken / "result.json").read_bytes()
    for split in ("test-clean", "dev-clean"):
        assert cli.main(["test-only", str(spoken), "--on", split]) == 0
        path = spoken / f"test-only-{split}" / "test-only.json"
        assert f"result: {path}" in capsys.readouterr().out
        assert values(path, split) == values(spoken / "result.json", split)
        for name in (f"{split}-noLM-hyp.ark", f"{split}-noLM-ref.ark"):
            assert name in results.read(path).artefacts
            if split == "test-clean":
                assert (path.parent / name).read_bytes() == (spoken / name).read_bytes()
    assert (spoken / "result.json").read_bytes() == before
    assert cli.main(["verify", str(spoken / "test-only-test-clean" / "test-only.json")]) == 0


def test_another_folder_of_the_corpus_is_labelled_and_in_no_table(
    spoken: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["test-only", str(spoken / "result.json"), "--on", "test-other"]) == 0
    path = spoken / "test-only-test-other" / "test-only.json"
    found = results.read(path)
    assert found.labels == ("demo", "other-data", "shortened", "test-only")
    assert {one.split for one in found.metrics} == {"test-other"}
    assert not any(one.official for one in found.metrics)
    assert found.metrics[0].counts["utterances"] == 4
    assert any(
        "tested only: the head was trained and chosen in the run demo-" in text for text in found.deviations
    )
    out = spoken.parents[2]
    [system] = ours.gather([out]).systems
    assert [place for place, _ in system.runs] == [spoken / "result.json"]
    named = ours.gather([out, path]).systems
    assert [one.name for one in named] == [
        "fbank [demo, shortened, other-data, test-only]",
        "fbank [demo, shortened]",
    ], "asked for by its file it is a row of its own"
    capsys.readouterr()
    assert cli.main(["status", "--out", str(out)]) == 0
    assert capsys.readouterr().out.endswith("\n1 done\n")


@pytest.mark.parametrize(
    ("on", "says"), [("test-othr", "test-othr"), ("x.csv", "is no task of a table"), ("../x", "../x")]
)
def test_what_cannot_be_tested(spoken: Path, capsys: pytest.CaptureFixture[str], on: str, says: str) -> None:
    assert cli.main(["test-only", str(spoken), "--on", on]) == 2
    err = capsys.readouterr().err
    assert says in err and err.count("error: ") == 1 and "Traceback" not in err


def test_a_changed_checkpoint_is_refused(
    spoken: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "out/fbank/asr" / spoken.name
    shutil.copytree(spoken, run)
    other = next(path for path in (run / "checkpoints").glob("*.pt"))
    shutil.copy(other, run / "dev-clean-best.ckpt")
    shutil.copy(other.with_name(other.name + ".sha256"), run / "dev-clean-best.ckpt.sha256")
    assert cli.main(["test-only", str(run), "--on", "test-other"]) == 2
    assert "is not the checkpoint of the result beside it" in capsys.readouterr().err


def test_another_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tones(tmp_path, "classification")
    own = [row for row in own_corpus.rows() if row["split"] == "test"]
    other = tmp_path / "elsewhere"
    own_corpus.make(other, own[1:], "same.csv")
    assert cli.main(["test-only", str(run), "--on", str(other / "same.csv")]) == 0
    path = run / "test-only-same" / "test-only.json"
    [metric] = [one for one in results.read(path).metrics if one.name == "acc"]
    assert metric.counts["utterances"] == len(own) - 1 and "test-only" in results.read(path).labels
    # All rows, the same audio at another place: the number of the run itself.
    own_corpus.write(other / "all.csv", own)
    assert cli.main(["test-only", str(run), "--on", str(other / "all.csv")]) == 0
    again = run / "test-only-all" / "test-only.json"
    assert values(again, "test") == {
        name: value for name, value in values(run / "result.json", "test").items() if name == "acc"
    }
    capsys.readouterr()
    own_corpus.write(other / "new.csv", [{**own[0], "label": "humming"}])
    own_corpus.write(other / "seen.csv", [{**own[0], "path": str(tmp_path / own_corpus.rows()[0]["path"])}])
    own_corpus.write(other / "none.csv", [{**own[0], "split": "dev"}])
    for name, says in (
        ("new", "has 'humming' in its label, which"),
        ("seen", "on which the head was trained"),
        ("none", "has no row of the split test"),
        ("absent", "cannot be read"),
    ):
        assert cli.main(["test-only", str(run), "--on", str(other / f"{name}.csv")]) == 2
        assert says in capsys.readouterr().err


def test_another_table_of_transcripts(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = tones(tmp_path, "transcription")
    own = [row for row in own_corpus.rows() if row["split"] == "test"]
    other = tmp_path / "elsewhere"
    # Fewer characters than the run's own test rows have: the head's vocabulary stays.
    own_corpus.make(other, [row for row in own if row["label"] == "low"], "low.csv")
    assert cli.main(["test-only", str(run), "--on", str(other / "low.csv")]) == 0
    found = results.read(run / "test-only-low" / "test-only.json")
    assert found.headline("cer") is not None and found.steps == 4
    own_corpus.write(other / "new.csv", [{**own[0], "transcript": "LOW 7"}])
    assert cli.main(["test-only", str(run), "--on", str(other / "new.csv")]) == 2
    assert "has '7' in its transcript" in capsys.readouterr().err
