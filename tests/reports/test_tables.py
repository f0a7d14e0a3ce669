"""Tables: the paper's from published rows alone, ours apart from them, in four formats."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
import shutil
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import synthetic

from downstream_runs.core.results import Metric, Result, write
from reports import ours, published, render
from reports.figures.style import Picture
from reports.ours import gather
from reports.systems import System
from reports.table import Block, Cell, Head, Table, made, of_cells
from reports.tables import blocks, overview, paper

Make = Callable[..., Result]
MakeMetric = Callable[..., Metric]
PAPER = (paper.table1, paper.table2, paper.table3, paper.table4)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> tuple[System, ...]:
    root = tmp_path_factory.mktemp("runs")
    synthetic.make(root, "armhubert", deviations=("optimizer.lr is 1e-3, the recipe has 1e-4.",))
    synthetic.make(root, "table2_2by6", skill=0.9, tasks=("asr", "asv", "sf"))
    # Better than everything that was ever published.
    synthetic.make(root, "fbank", skill=9.0, labels=("demo", "shortened"))
    return gather([root]).systems


def cells(table: Table, block: str, name: str) -> dict[str, Cell]:
    [found] = [block_ for block_ in table.blocks if block_.title == block]
    [row] = [row for row in found.rows if row[0].text == name]
    return {head.text: cell for head, cell in zip(table.heads, row, strict=True)}


def test_table_1_is_the_papers_with_its_groups_and_marks() -> None:
    table = paper.table1(())
    assert [len(block.rows) for block in table.blocks] == [4, 5, 4, 4]
    assert [head.group for head in table.heads[3:-1]] == [
        *["Content"] * 4,
        *["Speaker"] * 3,
        *["Semantics"] * 3,
        "Paralinguistics",
    ]
    arm = cells(table, "960h distillation, 26.4M to 31.6M parameters", "ARMHuBERT")
    assert (arm["Overall ↑"].text, arm["Overall ↑"].emphasis) == ("78.1", "best")
    assert (arm["PR PER ↓"].text, arm["PR PER ↓"].emphasis) == ("7.72", "second")
    assert arm["SD DER ↓"].emphasis == "" and arm["Params (M) ↓"].emphasis == ""
    # Equal values share the mark.
    mtwv = [cells(table, "100h distillation", name)["QbE MTWV ↑"] for name in ("FitHuBERT", "ARMwavLM-S")]
    assert [cell.emphasis for cell in mtwv] == ["best", "best"]
    assert all(row[-1].text.startswith("published: arXiv") for block in table.blocks for row in block.rows)


def test_features_are_told_where_ours_or_the_published_row_has_others(make: Make, tmp_path: Path) -> None:
    rows = [
        make(upstream="distilhubert"),
        make(upstream="distilhubert", states="paper"),
        make(upstream="hubert_base"),
        make(upstream="hubert_base", layer=6),
    ]
    ours_ = ours.systems([(tmp_path / f"{number}.json", row) for number, row in enumerate(rows)])
    assert [system.name.partition("], ")[2] for system in ours_] == [
        "features hidden_states",
        "features paper",
        "features hidden_states",
        "features layer 6 of hidden_states",
    ]
    notes = [note for note in paper.table1(ours_).notes if "features are" in note]
    for said in (
        "features hidden_states: features are hidden_states; its published row was made from paper",
        "features paper: features are paper, as for its published row",
        "features layer 6 of hidden_states: features are layer 6 of hidden_states; published rows sum all",
    ):
        assert sum(said in note for note in notes) == 1
    assert len(notes) == 3


def test_tables_2_to_4_are_the_papers() -> None:
    two = cells(paper.table2(()), "Published: width 432, feed-forward 816, no masking", "2by6")
    assert [cell.text for cell in two.values()][:2] == ["2by6", "1 3 5 7 9 11"]
    line = next(row for row in paper.table2(()).blocks[0].rows if row[0].text == "2by6")
    assert [cell.text for cell in line[2:6]] == ["22.39", "450", "22.39", "449.9"]
    assert two["SF F1 ↑"].emphasis == "best"
    three = paper.table3(())
    assert [row[1].text for row in three.blocks[0].rows] == ["11.56", "13.23", "11.65"]
    four = paper.table4(())
    assert [block.title for block in four.blocks] == [
        "Published: MaskHuBERT-960h",
        "Published: MaskHuBERT-100h",
    ]
    assert [len(block.rows) for block in four.blocks] == [2, 4]


@pytest.mark.parametrize("make_table", PAPER)
def test_ours_stand_apart_and_labelled_ones_under_a_warning(
    make_table: Callable[[Sequence[System]], Table], rows: tuple[System, ...]
) -> None:
    table = make_table(rows)
    titles = [block.title for block in table.blocks]
    assert titles[-2:] == [blocks.TITLE, blocks.LABELLED] and blocks.TITLE not in titles[:-2]
    labelled = table.blocks[-1]
    assert "demo, shortened are not comparable to the published rows" in labelled.warning
    assert [row[0].text for row in labelled.rows] == ["fbank [demo, shortened]"]
    assert not any(cell.emphasis for row in labelled.rows for cell in row)
    for block in table.blocks[:-2]:
        assert not {"armhubert", "fbank [demo, shortened]"} & {row[0].text for row in block.rows}
    # Our rows change nothing about the published ones: not even the best of all.
    assert make_table(()).blocks == table.blocks[:-2]
    assert "armhubert (" in " ".join(table.notes) and "optimizer.lr is 1e-3" in " ".join(table.notes)


def test_an_incomplete_row_has_no_overall_and_says_what_is_missing(rows: tuple[System, ...]) -> None:
    table = paper.table1(rows)
    partial = cells(table, blocks.TITLE, "table2_2by6")
    assert partial["Overall ↑"].text == "–" and partial["ASR WER ↓"].value is not None
    assert "table2_2by6: no overall score, because pr, ks, qbe, sid, sd, ic, er are missing." in table.notes
    assert re.fullmatch(r"[0-9]{2}\.[0-9]", cells(table, blocks.TITLE, "armhubert")["Overall ↑"].text)
    known = overview.systems(rows, {})
    assert [row[0].text for row in known.blocks[1].rows] == ["armhubert"]
    assert "1 of our rows lack a task and are not here." in known.notes
    two = cells(paper.table2(rows), blocks.TITLE, "table2_2by6")
    assert two["MACs (G)"].text == "449.9"


def test_a_checkpoint_of_another_shape_has_not_the_presets_macs(rows: tuple[System, ...]) -> None:
    """A distilled student runs as armhubert_local, whatever its shape."""
    row = next(row for row in rows if row.name == "armhubert")
    assert row.profile is not None and row.profile.params == 26_448_448
    assert ours._profile("armhubert_local", "26.45") == row.profile
    assert ours._profile("armhubert_local", "0.15") is None


def test_official_and_dev_selected_numbers_are_told_apart(rows: tuple[System, ...]) -> None:
    table = paper.table1(rows)
    assert cells(table, blocks.TITLE, "armhubert")["ASV EER ↓"].marks == ours.DEV
    assert any(note.startswith(ours.DEV) for note in table.notes)
    both = overview.selection(rows)
    assert both is not None
    lines = [row for block in both.blocks for row in block.rows]
    # armhubert and fbank have ASV and SD, table2_2by6 ASV.
    assert len(lines) == 5
    assert all(float(row[4].text) > float(row[2].text) for row in lines)
    assert {row[3].text for row in lines} == {
        "lowest EER of ten checkpoints, on test",
        "lowest DER of ten settings, on test",
    }
    assert overview.selection(()) is None and overview.runs((), {}) is None


def test_an_unofficial_number_is_marked_and_competes_with_nothing(
    tmp_path: Path, make: Make, metric: MakeMetric
) -> None:
    plain = {"labels": (), "deviations": ()}
    write(tmp_path / "1" / "result.json", make(**plain, upstream="a", metrics=(metric(official=False),)))
    for name, errors in (("b", 8), ("c", 9)):
        counts = {"errors": errors, "length": 9}
        value = metric(value=100 * errors / 9, counts=counts)
        write(tmp_path / name / "result.json", make(**plain, upstream=name, metrics=(value,)))
    table = paper.table1(gather([tmp_path]).systems)
    a, b, c = (cells(table, blocks.TITLE, name)["ASR WER ↓"] for name in "abc")
    assert (a.marks, a.emphasis) == ("†", "")
    assert (b.emphasis, c.emphasis) == ("best", "second")


def test_official_numbers_that_were_chosen_on_test_compete(tmp_path: Path) -> None:
    for name, skill in (("a", 1.0), ("b", 0.7), ("c", 0.4)):
        synthetic.make(tmp_path, name, skill=skill)
    table = paper.table1(gather([tmp_path]).systems)
    for header in ("SD DER ↓", "ASV EER ↓", "ASR WER ↓"):
        a, b, c = (cells(table, blocks.TITLE, name)[header] for name in "abc")
        assert (a.emphasis, b.emphasis, c.emphasis) == ("best", "second", ""), header
        assert a.marks == ("" if header == "ASR WER ↓" else "‡")
    text = render.to_markdown(table)
    shown = cells(table, blocks.TITLE, "a")["SD DER ↓"].text
    assert f"**{shown}** ‡" in text


def test_table_1_says_what_limits_published_numbers_of_sd_and_qbe() -> None:
    notes = " ".join(paper.table1(()).notes)
    assert "frame_shift is 160" in notes and "320 for HuBERT" in notes
    assert "official MTWV counts queries in other languages" in notes


def test_runs_of_one_kind_with_different_numbers_are_a_conflict(
    tmp_path: Path, make: Make, metric: MakeMetric
) -> None:
    plain = {"labels": (), "deviations": ()}
    write(tmp_path / "1" / "result.json", make(**plain))
    other = metric(value=100 * 8 / 9, counts={"errors": 8, "length": 9})
    write(
        tmp_path / "2" / "result.json", make(**plain, metrics=(other,), created="2025-02-02T00:00:00+00:00")
    )
    notes = paper.table1(gather([tmp_path]).systems).notes
    assert "Conflict: arm_hubert_random has several runs with different asr_wer: 77.7778, 88.8889." in notes
    # The same second and the same everything: still two rows with names of their own.
    write(tmp_path / "3" / "result.json", make(**plain))
    names = [row.name for row in gather([tmp_path]).systems]
    assert len(set(names)) == 3


def test_published_conflicts_and_both_rows_of_fbank_are_said() -> None:
    [conflict] = published.conflicts()
    assert "ASR WER of LightHuBERT Small (960h) is 8.33 in arXiv 2305.11685 Table 1 and 8.34" in conflict
    names = [one.name for one in published.known()]
    assert {"FBANK (leaderboard)", "FBANK (original SUPERB paper)"} <= set(names)
    assert len(set(names)) == len(names)
    table = overview.systems((), {})
    by_name = {row[0].text: row for row in table.blocks[0].rows}
    assert by_name["FBANK (leaderboard)"][3].text == "46.5"
    assert by_name["FBANK (original SUPERB paper)"][3].text == "40.5"
    assert by_name["FBANK (leaderboard)"][2].text == "0.4791"
    macs = by_name["ARMHuBERT (960h)"][2]
    assert (macs.text, macs.marks) == ("501.6", "*")
    assert conflict in table.notes


def test_the_leaderboard_shows_its_scores_and_ranks_beside_ours() -> None:
    [block] = overview.leaderboard().blocks
    assert len(block.rows) == 20
    for row in block.rows:
        assert row[2].text == row[3].text and float(row[4].text) == float(row[5].text)


def test_ranking_needs_two_different_values() -> None:
    heads = (Head("Model"), Head("x", better="lower"))
    rows = tuple((Cell(name), Cell("1.0", 1.0)) for name in "ab")
    table = made("t", "T", of_cells(heads), [Block("B", rows, ranked=True)])
    assert not any(cell.emphasis for row in table.blocks[0].rows for cell in row)


# Formats

NASTY = Table(
    "nasty",
    "50 % of $x_1$ & {more} \\ ~^#",
    (Head("Model|s"), Head("a_b ↓", "Group_1", "lower"), Head("hidden", detail=True)),
    (
        Block(
            "One & two",
            ((Cell("[a]|b <script>alert(1)</script>\n## c"), Cell("1.5", 1.5, "†", "best"), Cell("d")),),
        ),
        Block(
            "Ours",
            ((Cell("모델 é"), Cell("2.5", 2.5, "", "second"), Cell("e")),),
            warning="Warning: 5 % & more_",
        ),
    ),
    ("A note with 100 % & an <b> and a_b.",),
)


def test_text_cannot_break_any_format() -> None:
    page = render.to_page([NASTY], [], [], [], ["<i>bad</i>"])
    assert "<script>alert" not in page and "&lt;script&gt;" in page and "<i>" not in page
    text = render.to_markdown(NASTY)
    assert "\n## c" not in text and "\\|b \\<script" in text
    assert "| **1.5** † |" in text and "<u>2.5</u>" in text and "> Warning" in text
    lines = list(csv.reader(io.StringIO(render.to_csv(NASTY))))
    assert lines[0] == ["Block", "Model|s", "Group_1: a_b ↓", "hidden", "Warning"]
    assert lines[2][-1] == "Warning: 5 % & more_"
    assert "1.5†" in lines[1]
    source = render.to_latex(NASTY)
    assert r"\textbf{1.5}$^\dagger$" in source and r"\underline{2.5}" in source and "hidden" not in source
    assert source.isascii()


def test_a_long_table_is_cut_in_latex_and_says_so() -> None:
    rows = tuple((Cell(f"row {number}"), Cell("1", 1.0)) for number in range(120))
    table = Table("long", "Long", (Head("a"), Head("b")), (Block("A", rows[:40]), Block("B", rows[40:])))
    source = render.to_latex(table)
    assert "row 49 " in source and "row 50 " not in source
    assert "The first 50 of 120 rows; long.csv has all." in source


def noted(rows: int) -> Table:
    """A table of so many rows with a long warning, and more notes than a page has room for."""
    block = Block(
        "A", tuple((Cell(f"row {number}"), Cell("1", 1.0)) for number in range(rows)), "word " * 190
    )
    notes = tuple(f"note {number}: weights of /{'folder/' * 12}, SHA-256 {'0a' * 32}" for number in range(60))
    return Table("noted", "Notes", (Head("a"), Head("b")), (block,), notes)


def test_notes_that_do_not_fit_are_cut_in_latex_and_said_to_be() -> None:
    full, short = render.to_latex(noted(60)), render.to_latex(noted(3))
    # A warning of ten lines leaves forty of fifty; notes have two lines each.
    assert "row 39 " in full and "row 40 " not in full
    assert "note 2:" in full and "note 3:" not in full
    assert "The first 3 of 60 notes; the Markdown table has all." in full
    # 37 lines are free: 8 + 55 of small print.
    assert "note 30:" in short and "note 31:" not in short
    assert "The first 31 of 60 notes; the Markdown table has all." in short


@pytest.mark.skipif(shutil.which("pdflatex") is None, reason="needs a LaTeX: no pdflatex on the path")
def test_the_latex_compiles(tmp_path: Path, rows: tuple[System, ...]) -> None:
    tables = [
        *(make_table(rows) for make_table in PAPER),
        overview.systems(rows, {}),
        overview.leaderboard(),
        NASTY,
    ]
    tables += [table for table in (overview.selection(rows), overview.runs(rows, {})) if table is not None]
    names = tuple((Cell(f"a_student_of_{'wav2vec2_' * 6}{number}"), Cell("1", 1.0)) for number in range(60))
    tables.append(Table("names", "Long names", (Head("Model"), Head("b")), (Block("A", names),)))
    tables += [noted(60), dataclasses.replace(noted(3), key="few")]
    for table in tables:
        (tmp_path / f"{table.key}.tex").write_text(render.to_latex(table))
    (tmp_path / "all.tex").write_text(render.to_latex_document([table.key for table in tables]))
    done = subprocess.run(
        ["pdflatex", "-interaction=nonstopmode", "-halt-on-error", "all.tex"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        errors="replace",
    )
    assert done.returncode == 0, done.stdout[-2000:]
    assert (tmp_path / "all.pdf").stat().st_size > 10_000
    # Nothing runs into the next column or off the page.
    assert "Overfull" not in done.stdout and "Float too large" not in done.stdout


def test_the_page_needs_nothing_else_and_sorts_by_unrounded_values(rows: tuple[System, ...]) -> None:
    page = render.to_page([], [], [paper.table1(rows)], [Picture("x", "A caption", b"<svg/>", b"")])
    assert (
        not re.search(r'(src|href)="(?!data:|#)', page) and "http://" not in page and "https://" not in page
    )
    assert "default-src 'none'" in page and "How to read this" in page
    assert 'alt="A caption"' in page and 'name="viewport"' in page
    assert page.count("<tbody>") == len(paper.table1(rows).blocks)
    assert 'data-v="7.72"' in page and "<b>78.1</b>" in page and "<u>7.72</u>" in page
    assert page.count("<tr") == page.count("</tr>") and page.count("<td") == page.count("</td>")


def test_every_published_cell_is_what_was_printed() -> None:
    table = paper.table1(())
    printed = [row for block in table.blocks for row in block.rows]
    for row, source in zip(printed, published.table(1), strict=True):
        assert [cell.text for cell in row[:3]] == [
            source.printed["model"],
            source.params_m,
            source.printed["overall"],
        ]
        assert [cell.text for cell in row[3:-1]] == [source.printed[key] for key in source.values]
