"""Scores over all tasks, held against everything that was printed."""

from __future__ import annotations

import csv
import io
import math
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reports import published, scores
from reports.__main__ import main
from reports.systems import System
from upstream_arm.common.errors import ReportError

SYSTEMS = {system.name: system.values for system in published.rows("systems")}
HUBERT = SYSTEMS["HuBERT BASE"]


@pytest.mark.parametrize("row", published.table(1), ids=lambda row: row.name)
def test_the_printed_overalls_of_table_1(row: System) -> None:
    value = scores.overall(row.values)
    assert value is not None and abs(value - float(row.printed["overall"])) < 0.05
    assert f"{value:.1f}" == row.printed["overall"]


@pytest.mark.parametrize("row", published.displayed(), ids=lambda row: row.name)
def test_the_displayed_scores_and_ranks_of_the_leaderboard(row: System) -> None:
    values = published.leaderboard().systems[row.name]
    score = scores.superb_s(values, published.reference_points())
    assert score is not None and round(score) == int(row.printed["score"])
    assert scores.superb_r(values, published.leaderboard()) == pytest.approx(
        float(row.printed["rank"]), abs=1e-9
    )


def test_both_rows_of_fbank_give_their_own_overall() -> None:
    paper = next(row.values for row in published.table(1) if row.name == "FBANK")
    assert scores.overall(paper) == pytest.approx(40.4637, abs=1e-4)
    assert scores.overall(SYSTEMS["FBANK (leaderboard)"]) == pytest.approx(46.5282, abs=1e-4)


def test_the_two_ends_of_superb_s() -> None:
    reference = published.reference_points()
    assert scores.superb_s({key: point.fbank for key, point in reference.items()}, reference) == 0
    top = scores.superb_s({key: point.sota for key, point in reference.items()}, reference)
    assert top == pytest.approx(1000)


def test_a_system_does_not_beat_itself_and_a_board_changes_the_rank() -> None:
    alone = scores.Leaderboard("itself", {"HuBERT": HUBERT})
    assert scores.superb_r(HUBERT, alone) == 0
    assert scores.superb_r(SYSTEMS["WavLM BASE"], alone) > 0
    # Slot filling's two metrics are one task: half a rank for each.
    better = {**HUBERT, "sf_f1": 99.0}
    assert scores.superb_r(better, alone) == pytest.approx(0.05)


def test_a_missing_task_leaves_no_overall_and_is_named() -> None:
    some = {key: value for key, value in HUBERT.items() if key not in ("sf_cer", "pr_per")}
    assert scores.missing(some) == ("pr", "sf")
    assert scores.overall(some) is None
    assert scores.superb_s(some, published.reference_points()) is None
    whole = scores.superb_r(HUBERT, published.leaderboard())
    assert 0 < scores.superb_r(some, published.leaderboard()) < whole
    # The board ranks each metric by itself: half of slot filling is half of its rank.
    board = scores.Leaderboard("itself", {"HuBERT": HUBERT})
    assert scores.superb_r({"sf_f1": 99.0}, board) == pytest.approx(0.05)
    assert scores.superb_r({"sf_f1": 99.0, "sf_cer": 0.0}, board) == pytest.approx(0.1)
    assert scores.shared(some, HUBERT) == tuple(key for key in scores.KEYS if key in some)
    keys = ("asr_wer", "ks_acc")
    assert scores.partial_mean(some, keys) == pytest.approx((100 - 6.42 + 96.30) / 2)
    with pytest.raises(ReportError, match="pr_per are missing"):
        scores.partial_mean(some, ("pr_per",))
    with pytest.raises(ReportError, match="all are missing"):
        scores.partial_mean(some, ())


@given(st.sampled_from(scores.KEYS), st.floats(0.01, 5))
def test_every_metric_moves_every_score_in_its_own_direction(key: str, step: float) -> None:
    moved = {**HUBERT, key: HUBERT[key] + step}
    up = scores.goodness(key, moved[key]) > scores.goodness(key, HUBERT[key])
    reference = published.reference_points()
    for before, after in (
        (scores.overall(HUBERT), scores.overall(moved)),
        (scores.superb_s(HUBERT, reference), scores.superb_s(moved, reference)),
    ):
        assert before is not None and after is not None and (after > before) == up
    weight = 10 * (2 if key.startswith("sf_") else 1)
    change = (scores.superb_s(moved, reference) or 0) - (scores.superb_s(HUBERT, reference) or 0)
    ends = reference[key]
    assert change == pytest.approx(1000 * step / (ends.sota - ends.fbank) / weight, rel=1e-6)


# The command


def run(path: Path, capsys: pytest.CaptureFixture[str], code: int = 0) -> tuple[list[dict[str, str]], str]:
    assert main(["score", str(path)]) == code
    out, err = capsys.readouterr()
    return list(csv.DictReader(io.StringIO(out))), err


def write(folder: Path, text: str) -> Path:
    path = folder / "rows.csv"
    path.write_text(text)
    return path


def test_the_command_scores_the_published_rows(capsys: pytest.CaptureFixture[str]) -> None:
    rows, err = run(published.FOLDER / "systems.csv", capsys)
    assert err == "" and len(rows) == 20
    by_name = {(row["model"], row["distilled_on"]): row for row in rows}
    star = by_name["STaRHuBERT", "960h"]
    assert float(star["overall"]) == pytest.approx(79.5427, abs=1e-4)
    assert round(float(star["superb_s"])) == 887
    assert "20 displayed rows" in star["board"] and star["missing"] == ""
    assert by_name["FBANK (leaderboard)", ""]["superb_s"].startswith("0.0")


def test_the_command_reads_both_ways_to_write_mtwv(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows, _ = run(published.FOLDER / "table1.csv", capsys)
    assert [f"{float(row['overall']):.1f}" for row in rows] == [
        row.printed["overall"] for row in published.table(1)
    ]
    rows, err = run(write(tmp_path, "model,asr_wer,qbe_mtwv_x100,acc\nA,5.0,,1\nB,,7,1\n"), capsys)
    assert rows[0]["missing"] == "pr ks qbe sid asv sd ic sf er"
    assert all(row["overall"] == row["superb_s"] == "" for row in rows)
    assert "'acc' is no metric" in err


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has the columns \(none\)"),
        ("model,wer\nA,1\n", "some of pr_per"),
        ("model,asr_wer\n", "no rows below its header"),
        ("model,asr_wer\nA,x\n", "line 2, asr_wer is 'x', a number"),
        ("model,asr_wer\nA,nan\n", "a number .* or an empty cell"),
        ("model,asr_wer\nA,-1\n", "at least 0"),
        ("model,ks_acc\nA,101\n", "at most 100"),
        ("model,qbe_mtwv\nA,7.36\n", "is '7.36', a number .in percent at most 100"),
        ("model,qbe_mtwv,qbe_mtwv_x100\nA,0.1,1\n", "QbE's MTWV in one form"),
        ("model,asr_wer,asr_wer\nA,1,1\n", "each once"),
        ("model,asr_wer\nA,1,2\n", "line 2: a model's name and as many cells"),
        ("model,asr_wer\nA\n", "line 2: a model's name and as many cells"),
        ("model,asr_wer\n,1\n", "a model's name"),
        ('model,asr_wer\n"A,1\n', "cannot be read"),
        ("model,asr_wer\nA,0.0642\n", "line 2: asr_wer 0.0642 look like fractions; .* here 6.42: mul"),
        (
            "model,asr_wer,sf_cer,qbe_mtwv\nB,6,25,0.07\nA,0.06,0.25,0.07\n",
            "line 3: asr_wer 0.06, sf_",
        ),
        ("model,asr_wer,ks_acc\nA,6.42,0.963\n", "line 2: ks_acc 0.963 look .* percents were expected"),
    ],
)
def test_a_rows_file_that_cannot_be_used(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, text: str, message: str
) -> None:
    import re

    path = write(tmp_path, text)
    rows, err = run(path, capsys, code=2)
    assert rows == [] and str(path) in err and err.count("\n") == 1
    assert re.search(message, err)


def test_a_value_that_may_be_a_fraction_is_said(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    # FBANK's 8.5E-4 percent of the original paper is no fraction, and other rows are percents.
    rows, err = run(published.FOLDER / "table1.csv", capsys)
    assert len(rows) == 17 and err.count("fraction") == 1
    assert "sid_acc of FBANK is 8.5E-4 and was read as percent" in err
    _, err = run(write(tmp_path, "model,asr_wer,asv_eer\nA,5.0,0.9\n"), capsys)
    assert "asv_eer of A is 0.9" in err
    _, err = run(write(tmp_path, "model,asr_wer,asv_eer\nA,0,5\n"), capsys)
    assert err == ""


def test_an_absent_rows_file(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    rows, err = run(tmp_path / "none.csv", capsys, code=2)
    assert rows == [] and "No such file" in err


@given(st.dictionaries(st.sampled_from(scores.KEYS), st.floats(0, 100), min_size=1))
def test_scores_of_any_subset_are_finite_or_absent(values: dict[str, float]) -> None:
    whole = len(values) == len(scores.KEYS)
    assert (scores.overall(values) is not None) == whole
    assert math.isfinite(scores.superb_r(values, published.leaderboard()))
