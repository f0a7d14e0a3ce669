"""Tasks of one's own from a table to a report row, and what may never happen to them."""

from __future__ import annotations

import csv
import json
import re
import shutil
from pathlib import Path

import own_corpus
import pytest

from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.tasks import own

CHECKOUT = Path(__file__).parents[3]
SHORT = ("--device", "cpu", "-o", "runner.total_steps=20", "-o", "runner.eval_step=10")
BANDS = f"py:{CHECKOUT / 'examples' / 'my_upstream.py'}:make"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table `tones.csv`, and in `runs` what a run of it left."""
    pytest.importorskip("s3prl")
    folder = tmp_path_factory.mktemp("own")
    own_corpus.make(folder)
    assert run(folder, "tones.csv") == 0
    return folder


def run(folder: Path, table: str, *more: str, kind: str = "classification") -> int:
    words = ["--table", str(folder / table), "--recipe", "small", "--out", str(folder / "runs")]
    return main([BANDS, kind, *words, *SHORT, *more])


def folders(place: Path, task: str = "tones") -> list[Path]:
    return sorted(path.parent for path in (place / "runs").glob(f"*/{task}/*/result.json"))


def result(place: Path, task: str = "tones") -> Result:
    (folder,) = folders(place, task)
    return results.read(folder / "result.json")


def test_what_a_result_says(place: Path) -> None:
    found = result(place)
    assert found.task == "tones" and found.corpus.name == "tones"
    assert set(found.labels) == {"own-corpus", "shortened", "untrained"}
    assert not any(metric.official for metric in found.metrics)
    table = place / "tones.csv"
    pinned = {"kind": "classification", "table": str(table), "table_sha256": own_corpus.sha256(table)}
    assert found.config["own_task"] == pinned
    plan = json.loads((folders(place)[0] / "plan.json").read_text())
    assert plan["own_task"] == {"kind": "classification", "table_sha256": pinned["table_sha256"]}
    with (folders(place)[0] / "items.csv").open() as file:
        groups = {row["group"] for row in csv.DictReader(file)}
    assert groups == {"dora", "emil"}


def test_a_finished_run_is_handed_back_and_another_table_is_another_run(place: Path, tmp_path: Path) -> None:
    before = (folders(place)[0] / "result.json").read_bytes()
    assert run(place, "tones.csv") == 0
    assert (folders(place)[0] / "result.json").read_bytes() == before
    rows = own_corpus.rows()
    own_corpus.write(place / "other.csv", [{**row, "speaker": "x" + row["speaker"]} for row in rows])
    assert main([*plan_words(place, "tones.csv")]) == main([*plan_words(place, "other.csv")]) == 0


def plan_words(place: Path, table: str) -> list[str]:
    words = ["--table", str(place / table), "--task-name", "tones", "--recipe", "small"]
    return ["plan", BANDS, "classification", *words, "--out", str(place / "runs"), *SHORT]


def test_the_table_is_in_the_name_of_the_folder(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = own_corpus.rows()
    own_corpus.write(place / "other.csv", [{**row, "speaker": "x" + row["speaker"]} for row in rows])
    names = []
    for table in ("tones.csv", "other.csv"):
        assert main(plan_words(place, table)) == 0
        names.append(re.findall(r"tones/(small-\w+)", capsys.readouterr().out)[0])
    assert names[0] == folders(place)[0].name != names[1]


def test_verify_needs_no_table_and_repeat_gives_the_same(
    place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder, table = folders(place)[0], place / "tones.csv"
    moved = table.rename(place / "moved.csv")
    try:
        assert main(["verify", str(folder)]) == 0
        assert "acc of test is" in capsys.readouterr().out
        assert main(["repeat", str(folder), "--out", str(tmp_path / "failed")]) == 2
        assert "tones.csv cannot be read" in capsys.readouterr().err
        words = ["--out", str(tmp_path / "again"), "--data", str(moved)]
        assert main(["repeat", str(folder), *words]) == 0
        assert "the same result" in capsys.readouterr().out
    finally:
        moved.rename(table)


def test_reports_keep_them_apart(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(place / "runs"), "--to", str(tmp_path)]) == 0
    captured = capsys.readouterr()
    assert "has no column" not in captured.err and "no results of ours on SUPERB's tasks" in captured.out
    assert f"1 result on tasks of one's own, in {tmp_path}/tables/own.md\n" in captured.out
    with (tmp_path / "tables" / "own.csv").open() as file:
        (row,) = csv.DictReader(file)
    value = next(metric.value for metric in result(place).metrics if metric.role == "headline")
    assert (row["Task"], row["Value"]) == ("tones", f"{value:.2f}")
    assert "speaker" in row["Resampled"] or row["95 % interval"] in ("", "–")
    for name in ("table1", "systems"):
        assert "tones" not in (tmp_path / "tables" / f"{name}.csv").read_text()


def test_status_and_list(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["status", "--out", str(place / "runs")]) == 0
    assert re.search(r"tones +small-\w+ +done", capsys.readouterr().out)


def folds(place: Path, name: str) -> Path:
    rows = [
        {"path": row["path"], "label": row["label"], "speaker": row["speaker"], "fold": fold}
        for row, fold in ((row, "b" if row["split"] == "test" else "a") for row in own_corpus.rows())
    ]
    return own_corpus.write(place / name, rows)


def test_folds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folds(place, "folds.csv")
    assert run(place, "folds.csv") == 0
    found = result(place, "folds")
    (headline,) = [metric for metric in found.metrics if metric.role == "headline"]
    assert headline.split == "test of fold1, fold2" and not headline.official
    assert found.config["own_task"]["folds"] == ["fold1", "fold2"] and "own-corpus" in found.labels
    assert main(["verify", str(folders(place, "folds")[0])]) == 0
    assert "mean of 2 folds" in capsys.readouterr().out


@pytest.mark.slow
def test_several_at_a_time_and_learning_rates(place: Path) -> None:
    folds(place, "rates.csv")
    assert run(place, "rates.csv", "--jobs", "2", "--lr", "1e-3,1e-2") == 0
    assert any("the learning rate" in sentence for sentence in result(place, "rates").deviations)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--demo",), "--demo is for the corpora of SUPERB's tasks"),
        (("--data", "/nowhere"), "--data is for the corpora"),
        (("--partial",), "--partial is for the corpora"),
        (("--task-name", "ks"), "would be called ks, which is one of SUPERB's tasks"),
        (("-o", "downstream_expert.datarc.test_fold=fold2"), "test_fold is 'fold2', 'fold1' was expected"),
    ],
)
def test_options_that_do_not_go_together(
    words: tuple[str, ...], message: str, place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(place, "tones.csv", *words) == 2
    assert message in capsys.readouterr().err


def test_options_without_a_table(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([BANDS, "ks", "--demo", "--split-by", "speaker"]) == 2
    assert "--split-by is for a table: give --table FILE, or leave it out" in capsys.readouterr().err
    assert main([BANDS, "classification"]) == 2
    assert "classification is a kind of task for a table of your own: add --table" in capsys.readouterr().err


def test_the_lines_of_the_documentation(
    place: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(place)
    text = (CHECKOUT / "docs" / "own-task.md").read_text(encoding="utf-8")
    lines = re.findall(r"^\./run_superb\.sh (.*)$", text, re.M)
    assert len(lines) == 4 and "head -n 2 tones.csv\n" in text and (place / "tones.csv").is_file()
    data = own_corpus.in_folders(place / "folders")
    shutil.copy(CHECKOUT / "examples" / "my_task.py", place)
    for line in (line.replace("FOLDER", str(data)) for line in lines):
        short = SHORT if "--table" in line or "--task-file" in line else ()
        assert main([*line.split(), *short]) == 0, line
    assert (
        "| tones | fbank_no_cmvn [shortened, own-corpus] | acc ↑ |"
        in (place / "reports/out/report.md").read_text()
    )


def write_texts(place: Path, name: str, *columns: str, split: str = "split") -> Path:
    rows = [{key: row[key] for key in ("path", *columns, split, "speaker")} for row in own_corpus.rows()]
    return own_corpus.write(place / name, rows)


@pytest.mark.parametrize(
    ("kind", "column", "metrics", "more"),
    [
        ("units", "units", ["per"], ()),
        (
            "transcription",
            "transcript",
            ["cer", "wer"],
            (
                "-o",
                "downstream_expert.model.RNNs.dim=[16,16]",
                "-o",
                "downstream_expert.model.project_dim=16",
            ),
        ),
    ],
)
def test_transcripts(
    kind: str,
    column: str,
    metrics: list[str],
    more: tuple[str, ...],
    place: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    write_texts(place, f"{kind}-own.csv", column)
    assert run(place, f"{kind}-own.csv", *more, kind=kind) == 0
    found = result(place, f"{kind}-own")
    assert [metric.name for metric in found.metrics if metric.role == "headline"] == metrics
    assert "own-corpus" in found.labels and not any(metric.official for metric in found.metrics)
    (folder,) = folders(place, f"{kind}-own")
    references = dict(line.split(" ", 1) for line in (folder / "test-ref.ark").read_text().splitlines())
    expected = {"units": "l ow n", "transcription": "LOW NOTE"}[kind]
    assert references["audio-dora-low-0"] == expected and len(references) == 12
    with (folder / "items.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"dora", "emil"}
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 0
    assert f"{metrics[0]} of test is" in capsys.readouterr().out


@pytest.fixture(scope="module")
def verified(place: Path) -> Path:
    """The folder of `place` with the table `who.csv`, a list of trials, and a run of both."""
    parts = {"anna": "train", "bert": "train", "cleo": "dev", "dora": "dev", "emil": "test", "finn": "test"}
    rows = own_corpus.voices(place, parts)
    own_corpus.write(place / "who.csv", rows)
    named = [row["path"].removeprefix("voices/") for row in rows if row["split"] == "test"]
    pairs = [(one, other) for number, one in enumerate(named) for other in named[:number]]
    lines = [f"{int(one.split('-')[0] == other.split('-')[0])} {one} {other}\n" for one, other in pairs]
    (place / "voices" / "trials.txt").write_text("".join(lines))
    assert verify(place) == 0
    return place


def verify(place: Path, *more: str) -> int:
    trials = ("--trials", str(place / "voices" / "trials.txt"))
    steps = ("-o", "runner.total_steps=4", "-o", "runner.eval_step=2")
    return run(place, "who.csv", *trials, *steps, *more, kind="verification")


def test_verification(verified: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = result(verified, "who")
    headline, *others = found.metrics
    assert (headline.name, headline.split, headline.role) == ("eer", "test", "headline")
    assert headline.selection.startswith("lowest EER on the dev trials of 4 checkpoints")
    assert [(one.split, one.role) for one in others] == [("dev", "information")]
    assert not headline.official and "own-corpus" in found.labels
    assert set(found.config["own_task"]) == {"kind", "table", "table_sha256", "trials", "trials_sha256"}
    assert found.corpus.counts == {"train": 6, "dev": 6, "test": 6}
    (folder,) = folders(verified, "who")
    with (folder / "trials.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 15 and {row["group"] for row in rows} == {"emil", "finn"}
    assert sum(row["label"] == "1" for row in rows) == 6
    capsys.readouterr()
    assert main(["verify", str(folder)]) == 0
    assert "trials.csv" in capsys.readouterr().out
    trials = folder / "trials.csv"
    assert "trials.csv" not in own_interval(folder / "result.json", found)[1]
    text = trials.read_text()
    trials.write_text(text.replace("emil,1,", "emil,0,", 1))
    assert "is not the file that the run wrote" in own_interval(folder / "result.json", found)[1]
    trials.write_text(text)


def own_interval(path: Path, found: Result) -> tuple[str, str]:
    """The interval of the first number, and how it was made, as the table of one's own tasks shows them."""
    from reports.tables import own as table

    made = table.table([(path, found)])
    names = [head.text for head in made.heads]
    row = made.blocks[0].rows[0]
    cells = [row[names.index(name)].text.strip("–") for name in ("95 % interval", "Resampled")]
    return cells[0], cells[1]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("1 emil-0.wav gone.wav", r"line 16 names gone.wav, which is no row of test"),
        ("1 emil-0.wav anna-0.wav", r"names anna-0.wav, which is no row of test"),
        ("2 emil-0.wav emil-1.wav", r"expected 1 or 0 and two files"),
        ("0 emil-0.wav emil-1.wav", r"has the label 0, and its speakers are emil and emil"),
        (None, r"trials of one speaker and 0 of two|0 trials of one speaker"),
    ],
)
def test_trials_that_cannot_be_used(
    line: str | None, message: str, verified: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trials = verified / "voices" / "trials.txt"
    text = trials.read_text()
    try:
        trials.write_text("" if line is None else f"{text}{line}\n")
        assert verify(verified) == 2
        assert re.search(message, capsys.readouterr().err)
    finally:
        trials.write_text(text)


def test_trials_are_for_verification(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "tones.csv", "--trials", "x.txt") == 2
    assert "--trials is for verification, not for classification" in capsys.readouterr().err
    assert run(place, "tones.csv", kind="verification") == 2
    assert "add --trials FILE" in capsys.readouterr().err


def test_real_speech_at_its_counts(shared_dir: Path, tmp_path: Path) -> None:
    """Only the tables are read: the training on them is in the notes."""
    real = shared_dir / "real"
    digits = own.define("classification", real / "digits" / "items.csv", "digits")
    assert {split: one.utterances for split, one in digits.corpus.splits.items()} == {
        "train": 750,
        "dev": 250,
        "test": 500,
    }
    assert not digits.corpus.look(tmp_path, None, {}).deviations
    speakers = own.define("classification", real / "speakers" / "items.csv", "speakers")
    assert not speakers.corpus.look(tmp_path, None, {}).deviations
    libri = own.define("transcription", real / "libri" / "items.csv", "libri")
    assert {split: one.utterances for split, one in libri.corpus.splits.items()} == {
        "train": 60,
        "dev": 10,
        "test": 30,
    }


def test_recipes_of_kinds(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for kind in own.KINDS:
        assert main(["recipe", kind]) == 0
        names = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
        assert names[:2] == ["superb", "small"]
    assert main(["recipe", "classification", "small"]) == 0
    text = capsys.readouterr().out
    (place / "mine.yaml").write_text(text.replace("total_steps: 1500", "total_stepz: 10"))
    words = ["--table", str(place / "tones.csv"), "--recipe", str(place / "mine.yaml")]
    assert main([BANDS, "classification", *words]) == 2
    assert "recipe classification superb prints one" in capsys.readouterr().err
