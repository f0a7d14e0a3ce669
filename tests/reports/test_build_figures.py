"""What figures show, which test items give an interval, and files that are written whole."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import synthetic

from downstream_runs.core.run_folder import METRICS
from reports import build, figures
from reports.figures import labels, pareto, style, training
from reports.item_files import items_of
from reports.ours import gather
from upstream_arm.common.errors import ReportError


def test_items_that_do_not_give_the_reported_number_give_no_interval(tmp_path: Path) -> None:
    synthetic.make(tmp_path / "runs", "a", tasks=("ks", "asv", "er"))
    [row] = gather([tmp_path / "runs"]).systems
    whole, problems = items_of(row.runs)
    assert problems == [] and set(whole) == {"ks_acc", "asv_eer", "er_acc"}
    items = next((tmp_path / "runs").rglob("ks/*/items.csv"))
    items.write_text(items.read_text().replace(",s1,1,1", ",s1,0,1", 1))
    fold = next((tmp_path / "runs").rglob("fold3/items.csv"))
    fold.write_text("\n".join(fold.read_text().splitlines()[:-1]) + "\n")
    trials = next((tmp_path / "runs").rglob("trials.csv"))
    trials.write_text("item\n")
    found, problems = items_of(row.runs)
    assert found == {}
    text = "\n".join(problems)
    assert str(items) in text and "is not the file that the run wrote" in text
    assert "acc is" in text and "in result.json" in text and len(problems) == 3


def test_the_pareto_front_by_definition() -> None:
    points = [
        pareto.Point(str(n), cost, score, "")
        for n, (cost, score) in enumerate([(10, 70), (10, 72), (20, 72), (20, 75), (30, 74), (40, 80)])
    ]
    found = pareto.front(points)
    assert [(point.cost, point.overall) for point in found] == [(10, 72), (20, 75), (40, 80)]
    for point in points:
        beaten = any(
            other.cost <= point.cost
            and other.overall >= point.overall
            and (other.cost, other.overall) != (point.cost, point.overall)
            for other in points
        )
        assert (point in found) == (not beaten)


def test_names_in_a_figure_cover_neither_points_nor_each_other() -> None:
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    figure = Figure(figsize=(3.4, 3))
    axes = figure.add_axes((0.1, 0.1, 0.85, 0.85))
    points = [(x / 10, (x * 7 % 10) / 10) for x in range(10)]
    axes.set(xlim=(-0.1, 1.1), ylim=(-0.1, 1.1))
    labels.place(axes, points, [(f"system {number}", x, y) for number, (x, y) in enumerate(points)])
    figure.canvas.draw()
    for text in axes.texts:
        text.get_window_extent()  # it puts the text in its place; the box holds the line to the point too
    boxes = [Text.get_window_extent(text) for text in axes.texts]
    assert len(boxes) >= 8
    for number, box in enumerate(boxes):
        assert not any(box.overlaps(other) for other in boxes[:number])
        assert not any(box.contains(*axes.transData.transform(point)) for point in points)


def test_a_long_name_keeps_its_ends_and_real_runs_come_first(runs: Path) -> None:
    assert style.short("armhubert") == "armhubert"
    cut = style.short("a_student_of_many_words [demo, untrained]", 20)
    assert len(cut) == 20 and cut.startswith("a_stu") and cut.endswith("trained]")
    rows = gather([runs]).systems
    assert rows[0].labels
    [picture] = [one for one in figures.draw(rows, {}, 2) if one.key == "layer_weights"]
    assert picture.caption.startswith("Learned layer weights of armhubert, armhubert_s_960h:")
    assert "2 more rows are not drawn" in picture.caption


def test_a_journal_with_a_half_line_is_read(tmp_path: Path) -> None:
    good = {"split": "dev", "step": 1, "scores": {"wer": {"value": 50.0}}, "layer_weights": [0.25, 0.75]}
    train = {"split": "train", "step": 1, "scalars": {"asr/train-loss": 2.5, "x": 1}}
    lines = [json.dumps(good), json.dumps(train), "[1]", '{"split": "dev", "st']
    (tmp_path / METRICS).write_text("\n".join(lines))
    assert training.layer_weights(tmp_path) == [0.25, 0.75]
    assert training.curve(tmp_path, "asr", training.evaluated) == [(1, 50.0)]
    assert training.curve(tmp_path, "asr", lambda line, _: training.training_loss(line)) == [(1, 2.5)]
    assert training.layer_weights(tmp_path / "none") is None


def test_files_are_written_whole(tmp_path: Path) -> None:
    build.write_all(tmp_path, {"a/b.txt": b"x"}, prune=False)
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["b.txt"]
    before = (tmp_path / "a" / "b.txt").stat().st_mtime_ns
    build.write_all(tmp_path, {"a/b.txt": b"x"}, prune=False)
    assert (tmp_path / "a" / "b.txt").stat().st_mtime_ns == before
    with pytest.raises(ReportError):
        build.write_all(tmp_path, {"a/b.txt/c": b"x"}, prune=False)
