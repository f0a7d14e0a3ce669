"""The table: published rows as printed, ours apart from them and with everything that limits them."""

from __future__ import annotations

import csv
import io
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.core.results import Metric, Result, write
from reports.__main__ import main

Make = Callable[..., Result]
MakeMetric = Callable[..., Metric]
COMPARABLE = {"upstream": "armhubert", "labels": (), "deviations": ()}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save(*results: Result) -> None:
    for number, result in enumerate(results):
        write(Path("runs") / str(number) / "result.json", result)


def show(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 0) -> tuple[str, str]:
    assert main(["table", *argv]) == code
    out, err = capsys.readouterr()
    return out, err


def blocks(out: str) -> tuple[str, str]:
    published, _, ours = out.partition("### Ours")
    return published, ours or out[out.index("\nNo results of ours") :]


def line(text: str, start: str) -> list[str]:
    [found] = dict.fromkeys(row for row in text.splitlines() if row.startswith(f"| {start}"))
    return [cell.strip() for cell in found.strip("|").split(" | ")]


def test_a_demo_row_stands_apart_labelled_and_with_its_warning(
    capsys: pytest.CaptureFixture[str], make: Make
) -> None:
    save(make())
    published, ours = blocks(show(capsys)[0])
    name = "arm_hubert_random [demo, untrained, shortened]"
    assert line(published, "Model") == ["Model", "Params (M) ↓", "ASR WER ↓", "Source"]
    assert line(published, "ARMHuBERT |") == [
        "ARMHuBERT",
        "26.45",
        "<u>9.96</u>",
        "published: arXiv 2305.11685 Table 1",
    ]
    assert "arm_hubert_random" not in published
    assert line(ours, name) == [name, "26.45", "77.78", "ours"]
    assert ours.index("Warning: rows labelled demo, untrained, shortened are not comparable") < ours.index(
        "| Model"
    )
    assert "demo: trained and scored on synthetic speech" in ours
    assert "untrained: the upstream has random weights" in ours
    assert "wer on test-clean, checkpoint: lowest WER on dev-clean (the task's official metric)" in ours
    assert "(asr): 200 steps where the recipe has 200000." in ours
    assert "**" not in ours


def test_a_comparable_row_has_no_warning(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(**COMPARABLE))
    _, ours = blocks(show(capsys)[0])
    assert "Warning" not in ours and "from the result files: none." in ours
    assert line(ours, "armhubert")[0] == "armhubert"


def test_a_label_that_nobody_explained_still_warns(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(labels=("borrowed", "sample")))
    out, _ = show(capsys)
    assert "| arm_hubert_random [sample, borrowed] |" in out
    assert "rows labelled sample, borrowed are not comparable" in out


def test_tasks_of_one_upstream_share_a_row_and_gaps_are_marked(
    capsys: pytest.CaptureFixture[str], make: Make, metric: MakeMetric
) -> None:
    mtwv = metric(name="mtwv", value=6.347, counts={}, direction="higher", split="eval")
    sid = metric(name="acc", value=0.6503, unit="fraction", counts={}, direction="higher")
    save(make(**COMPARABLE, task="qbe", metrics=(mtwv,)), make(**COMPARABLE, task="sid", metrics=(sid,)))
    published, ours = blocks(show(capsys)[0])
    assert line(published, "Model")[2:4] == ["QbE MTWV ↑", "SID Acc ↑"]
    assert line(published, "FBANK")[2:4] == ["0.0058", "8.5E-4"]
    assert line(ours, "armhubert") == ["armhubert", "26.45", "0.0635", "65.03", "ours"]
    _, ours = blocks(show(capsys, "--all-tasks")[0])
    assert line(ours, "armhubert")[2:-1] == ["–", "–", "–", "–", "0.0635", "65.03", *["–"] * 6]


def test_rows_that_differ_say_in_what(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    later = "2025-01-03T03:04:05+00:00"
    save(
        make(**COMPARABLE),
        make(**COMPARABLE, seed=2),
        make(**COMPARABLE, seed=2, created=later),
        make(**{**COMPARABLE, "upstream": "other"}, upstream_parameters=None),
    )
    _, ours = blocks(show(capsys)[0])
    rows = [row.split(" | ") for row in ours.splitlines() if row.startswith("| ")]
    assert [row[0].removeprefix("| ") for row in rows[2:]] == [
        "armhubert, seed 1337",
        "armhubert, seed 2, made 2025-01-02T03:04:05+00:00",
        f"armhubert, seed 2, made {later}",
        "other",
    ]
    assert rows[-1][1] == "–"


def test_named_rows_say_in_what_they_differ_too(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    slow = {"optimizer": {"lr": 1e-5}, "steps": 200, "parts": ["train-clean-100"]}
    save(make(**COMPARABLE), make(**COMPARABLE, name="slow", config=slow), make(**COMPARABLE, name="again"))
    _, ours = blocks(show(capsys)[0])
    rows = [row.split(" | ")[0].removeprefix("| ") for row in ours.splitlines() if row.startswith("| ")]
    assert rows[2:] == ["again: armhubert, lr 0.0001", "armhubert, lr 0.0001", "slow: armhubert, lr 1e-05"]


def test_an_unofficial_number_is_marked_and_the_others_are_said(
    capsys: pytest.CaptureFixture[str], make: Make, metric: MakeMetric
) -> None:
    other = metric(split="dev-clean", role="information", selection="last step")
    save(make(**COMPARABLE, metrics=(other, metric(official=False))))
    _, ours = blocks(show(capsys)[0])
    assert line(ours, "armhubert")[2] == "77.78 †"
    assert "† split, selection or scorer is not that of SUPERB's protocol." in ours
    assert "wer 77.7778 (percent, for information) on dev-clean, checkpoint: last step" in ours


def test_text_of_a_result_cannot_break_the_table(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(upstream="a|b\n| c", deviations=("one\n## two",)))
    _, ours = blocks(show(capsys)[0])
    assert "| a\\|b \\| c [demo, untrained, shortened] | 26.45 |" in ours
    assert "\n## two" not in ours


def test_no_result_prints_the_published_rows_and_how_to_make_one(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = show(capsys)
    published, ours = blocks(out)
    assert len(line(published, "DistilHuBERT")) == 15
    assert "No results of ours were found in runs/: ./run_superb.sh armhubert asr --demo makes one." in ours
    assert err == ""


def test_a_task_can_be_asked_for(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make())
    published, ours = blocks(show(capsys, "--task", "pr", "--task", "sf")[0])
    assert line(published, "Model")[2:-1] == ["PR PER ↓", "SF F1 ↑", "SF CER ↓"]
    assert "No results of ours for pr, sf" in ours


def test_csv_carries_labels_and_notes(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(), make(**COMPARABLE), make(upstream="deviant", labels=()))
    out, err = show(capsys, "--format", "csv")
    rows = {row["model"]: row for row in csv.DictReader(io.StringIO(out))}
    assert len(rows) == 20
    assert rows["FBANK"]["source"].startswith("published: arXiv 2305.11685 Table 1")
    demo = rows["arm_hubert_random [demo, untrained, shortened]"]
    assert (demo["asr_wer"], demo["source"], demo["comparable"]) == ("77.78", "ours", "no")
    assert demo["labels"] == "demo untrained shortened" and "200 steps" in demo["deviations"]
    assert (rows["armhubert"]["comparable"], rows["armhubert"]["official"]) == ("yes", "yes")
    assert rows["deviant"]["comparable"] == "see deviations"
    assert err.startswith("Warning: rows labelled demo")


def test_bad_input_exits_2_and_shows_the_rest(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(), make(seed=2))
    broken = Path("runs/1/result.json")
    broken.write_text(broken.read_text().replace("1337", "1").replace('"seed": 2', '"seed": 3'))
    out, err = show(capsys, code=2)
    assert "arm_hubert_random" in out
    assert err.startswith(f"error: {broken}") and "edited by hand" in err and err.count("\n") == 1
    out, err = show(capsys, "nowhere", code=2)
    assert out == "" and "nowhere does not exist" in err
    out, err = show(capsys, "--task", "avs", code=2)
    assert out == "" and "did you mean 'asv'?" in err


def test_a_task_without_a_column_is_said(capsys: pytest.CaptureFixture[str], make: Make) -> None:
    save(make(task="st"))
    assert "the task 'st' has no column" in show(capsys)[1]


def test_help_needs_nothing_heavy() -> None:
    heavy = ["torch", "numpy", "pandas", "matplotlib"]
    imports = "import sys, reports.__main__, reports.tables.paper, reports.store"
    code = f"{imports}; sys.exit(any(map(sys.modules.get, {heavy!r})))"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60, cwd=Path(__file__).parents[2])
