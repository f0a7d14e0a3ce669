"""What a reader sees first: our rows, their differences to others, seeds; and what may stand in a cell."""

from __future__ import annotations

import csv
import io
import statistics
from collections.abc import Sequence
from pathlib import Path

import pytest
import synthetic

from reports import build, compare, published, render, scores
from reports.figures import pareto
from reports.figures.style import Picture
from reports.ours import gather, seeds
from reports.table import Block, Cell, Head, Table, harmless, printable
from reports.tables import mine
from upstream_arm.common.errors import ReportError

LONG = "a_student_with_a_name_that_is_far_too_long_for_any_column_of_a_table"
SEVEN = ("asr", "pr", "ks", "sid", "sf", "ic", "er")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of a released student, a student that lacks tasks, and a demo row."""
    root = tmp_path_factory.mktemp("rows")
    for seed in (1, 2):
        synthetic.make(root, "armhubert", seed=seed, skill=1 + seed / 50)
    synthetic.make(root, LONG, tasks=SEVEN, skill=1.1)
    synthetic.make(root, "fbank", tasks=("ks",), labels=("demo",), skill=0.5)
    return root


def texts(table: Table | None) -> dict[str, list[list[str]]]:
    assert table is not None
    return {block.title: [[cell.text for cell in row] for row in block.rows] for block in table.blocks}


def test_our_rows_say_what_is_missing_and_seeds_have_a_mean_beside_them(place: Path) -> None:
    ours = gather([place]).systems
    found = texts(mine.table(ours))
    assert list(found) == ["Ours", mine.SEEDS, "Ours, not comparable to published rows"]
    assert [row[0] for row in found["Ours"]] == [LONG, "armhubert, seed 1", "armhubert, seed 2"]
    assert [row[-1] for row in found["Ours"]] == ["qbe, asv, sd", "–", "–"]
    [same] = seeds(ours)
    [row] = found[mine.SEEDS]
    wer = [system.values["asr_wer"] for system in same]
    assert row[0] == "armhubert, 2 seeds"
    assert row[4] == f"{statistics.fmean(wer):.2f} ± {statistics.stdev(wer):.2f}"
    whole = [scores.overall(system.values) for system in same]
    assert None not in whole and row[2].startswith(f"{statistics.fmean(map(float, map(str, whole))):.1f} ±")
    assert mine.table(()) is None and seeds(ours[:1]) == []


def test_differences_name_the_nearest_row_and_the_teacher_and_tests_where_they_are(place: Path) -> None:
    ours = gather([place]).systems
    _, groups, _ = build._measured(ours, tests=True)
    pairs = mine.differences(ours, groups, 4)
    named = [(pair.system.name, pair.other.name, pair.why, bool(pair.outcomes)) for pair in pairs]
    near, teacher = "published, nearest in size: 26.45 M", "published, its teacher"
    # A student of which nobody knows the teacher has none; a demo row meets no published one.
    assert named == [
        (LONG, "ARMHuBERT (960h)", near, False),
        ("armhubert, seed 1", "ARMHuBERT (960h)", near, False),
        ("armhubert, seed 1", "HuBERT BASE", teacher, False),
        ("armhubert, seed 1", LONG, "ours", True),
        ("armhubert, seed 2", "ARMHuBERT (960h)", near, False),
        ("armhubert, seed 2", "HuBERT BASE", teacher, False),
        ("armhubert, seed 2", LONG, "ours", True),
    ]
    [rows] = texts(mine.deltas(pairs, 0)).values()
    printed = next(one for one in published.known() if one.name == "HuBERT BASE")
    own = next(system for system in ours if system.name == "armhubert, seed 1")
    by_kind = {(row[0], row[1]): row[2:] for row in rows}
    row = by_kind[("armhubert, seed 1 – HuBERT BASE", teacher)]
    assert row[2] == f"{own.values['asr_wer'] - printed.values['asr_wer']:+.2f}"
    tested = next(pair for pair in pairs if pair.outcomes and pair.system is own).outcomes["asr_wer"]
    assert isinstance(tested, mine.Comparison) and tested.interval is not None
    pair = f"armhubert, seed 1 – {LONG}"
    assert by_kind[(pair, "ours")][2] == f"{tested.difference:+.2f}"
    ends = f"{tested.interval.low:+.2f} to {tested.interval.high:+.2f}"
    assert by_kind[(pair, "ours: 95 % interval")][2] == ends
    assert by_kind[(pair, "ours: p")][2] == f"{tested.p:.3f}"
    assert by_kind[(pair, "ours")][3 + 1] == "–", "the other has no QbE"


def test_a_long_name_is_cut_and_its_labels_are_not() -> None:
    labels = "[demo, untrained, shortened]"
    name = f"{'a_student' * 8} {labels} – other {labels}"
    rows = Block("B", ((Cell(name), Cell("1")),))
    page = render.to_page([Table("mine", "Ours", (Head("Ours"), Head("x")), (rows,))], [], [], [])
    cell = page[page.index(f'title="{name}"') :]
    shown = cell[cell.index(">") + 1 : cell.index("</th>")].replace("<wbr>", "")
    assert "…" in shown and shown.endswith(f"{labels} – other {labels}")


def test_the_page_has_ours_first_then_figures_then_published_tables_folded(place: Path) -> None:
    ours = gather([place]).systems
    first = mine.table(ours)
    assert first is not None
    other = Table(
        "table9", "Other people's", (Head("Model"), Head("Source")), (Block("B", ((Cell("x"), Cell("y")),)),)
    )
    page = render.to_page([first], [], [other], [Picture("f", "Caption", b"<svg/>", b"")])
    order = ['<section id="mine"', '<section id="figures"', '<details id="table9"']
    assert sorted(order, key=page.index) == order
    assert f'title="{LONG}"' in page and page.count(LONG) == 1 + sum(LONG in note for note in first.notes)
    assert "<li>y: x.</li>" in page and ">Source<" not in page
    assert 'data-h="ASR WER ↓"' in page and "prefers-color-scheme: dark" in page
    assert "makes one" in render.to_page([], [], [other], [])


def test_only_some_rows_are_reported(place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[Sequence[str], bool]] = []
    monkeypatch.setattr(
        "reports.figures.draw",
        lambda ours, around, shown, others: asked.append(([one.name for one in ours], others)) or [],
    )
    files, _ = build.write([place], tmp_path, whole=True, only=["fbank"])
    assert {"table1.md", "mine.md"} <= {path.name for path in files}
    files, _ = build.write([place], tmp_path, whole=True, only=["mine", "fbank [demo]"])
    assert not {"table1.md", "systems.md"} & {path.name for path in files}
    assert (
        "HuBERT"
        not in (tmp_path / "index.html")
        .read_text()
        .split("<script>")[0]
        .split("</nav>")[1]
        .split('id="guide"')[0]
    )
    assert asked == [(["fbank [demo]"], True), (["fbank [demo]"], False)]
    with pytest.raises(ReportError, match="no system 'HuBERT BASE'"):
        build.write([place], tmp_path, whole=True, only=["HuBERT BASE"])
    assert compare.find(["HuBERT BASE"], gather([place]))[0].name == "HuBERT BASE"


@pytest.mark.parametrize(
    ("cell", "shown"),
    [
        ("=1+1", "'=1+1"),
        ("@SUM(A1)", "'@SUM(A1)"),
        ("-2+3*cmd", "'-2+3*cmd"),
        ("\x07\t=HYPERLINK(1)", "'=HYPERLINK(1)"),
        ("-0.31", "-0.31"),
        ("+1e-3", "+1e-3"),
        ("-1.5†", "-1.5†"),
        ("-1.0 to +2.5", "-1.0 to +2.5"),
        ("armhubert", "armhubert"),
    ],
)
def test_no_cell_of_a_csv_file_is_a_formula(cell: str, shown: str) -> None:
    assert harmless(cell) == shown
    table = Table("t", "T", (Head("a"),), (Block("B", ((Cell(cell),),)),))
    assert list(csv.reader(io.StringIO(render.to_csv(table))))[1][1] == shown


def test_markdown_is_escaped_and_control_characters_are_gone_everywhere() -> None:
    name = "[x](http://a) _b_ $c$ ~~d~~ &lt; e_f \x1b[31m \u202eg"
    table = Table("t", "T", (Head("a"),), (Block("B", ((Cell(name),),)),), ("# note",))
    text = render.to_markdown(table)
    assert r"[x]\(http://a) \_b\_ \$c\$ \~\~d\~\~ \&lt; e_f [31m g" in text and r"- \# note" in text
    for made in (text, render.to_csv(table), render.to_latex(table), render.to_page([table], [], [], [])):
        assert not {"\x1b", "\u202e"} & set(made)
    assert printable("é 모 ↑\n") == "é 모 ↑\n"


def test_ours_without_all_tasks_are_drawn_by_a_partial_mean_under_their_own_name(place: Path) -> None:
    by_name = {system.name: system for system in gather([place]).systems}
    point = pareto._point(by_name[LONG], 26.45)
    values = by_name[LONG].values
    assert point is not None and point.kind == pareto.PARTIAL and point.name.endswith(" (8 of 11)")
    assert point.overall == scores.partial_mean(values, values)
    whole = pareto._point(by_name["armhubert, seed 1"], 26.45)
    assert whole is not None and whole.kind == pareto.OURS
    assert pareto._point(by_name["fbank [demo]"], 26.45) is None, "one metric says little"
    assert pareto._look(4)["markerfacecolor"] == "white" and "markerfacecolor" not in pareto._look(3)
