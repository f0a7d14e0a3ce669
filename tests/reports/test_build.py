"""The whole report: what it writes, that it writes the same again, and how it compares systems."""

from __future__ import annotations

import csv
import gc
import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import synthetic

from reports import build, compare, scores
from reports.__main__ import main
from reports.figures.style import Picture
from reports.ours import gather
from upstream_arm.common.errors import ReportError

CHECKOUT = Path(__file__).parents[2]
FIGURES = {"overall_params", "overall_macs", "tasks", "reuse", "mask_ratio"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def hashes(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def say(capsys: pytest.CaptureFixture[str], *argv: object, code: int = 0) -> tuple[str, str]:
    assert main([str(argument) for argument in argv]) == code
    out, err = capsys.readouterr()
    return out, err


def test_paper_writes_four_tables_from_published_rows_alone(capsys: pytest.CaptureFixture[str]) -> None:
    out, err = say(capsys, "paper")
    assert err == "" and "no results of ours" in out and "reports/out/" in out
    names = hashes(Path("reports/out"))
    tables = {f"tables/table{number}.{kind}" for number in (1, 2, 3, 4) for kind in ("md", "tex", "csv")}
    assert set(names) == tables | {"tables/paper.tex"}
    assert "| ARMHuBERT | 26.45 | **78.1** |" in Path("reports/out/tables/table1.md").read_text()
    # Nothing of ours: no block and no claim.
    assert "Ours" not in Path("reports/out/tables/table1.md").read_text()


def test_paper_adds_a_block_for_the_runs(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    out, _ = say(capsys, "paper", runs, "--to", "o")
    assert "40 results of ours in 4 rows" in out
    rows = list(csv.DictReader(io.StringIO(Path("o/tables/table1.csv").read_text())))
    blocks = {row["Model"]: row["Block"] for row in rows}
    assert blocks["armhubert"] == "Ours"
    assert blocks["fbank [demo, shortened]"] == "Ours, not comparable to published rows"
    assert len(rows) == 17 + 4


def test_the_garbage_collector_is_left_as_it_was(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    usual, during, write = gc.get_threshold(), [], build.write

    def watched(*arguments: Any, **options: Any) -> Any:
        during.append(gc.get_threshold())
        return write(*arguments, **options)

    monkeypatch.setattr(build, "write", watched)
    say(capsys, "paper")
    assert gc.get_threshold() == usual
    Path("taken").write_text("a file where a folder is asked for")
    say(capsys, "paper", "--to", "taken", code=2)
    assert gc.get_threshold() == usual
    assert len(during) == 2 and usual not in during


def test_build_writes_everything_and_the_same_again(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    out, err = say(capsys, "build", runs, "--to", "a")
    assert err == "" and "open a/index.html in a browser" in out
    first = hashes(Path("a"))
    wanted = FIGURES | {"intervals", "intervals_labelled", "layer_weights", "curves_dev", "curves_loss"}
    assert {Path(name).stem for name in first if name.startswith("figures/")} == wanted
    assert {f"figures/{name}.{kind}" for name in wanted for kind in ("svg", "png")} < set(first)
    kinds = {
        "mine",
        "deltas",
        "table1",
        "table2",
        "table3",
        "table4",
        "systems",
        "leaderboard",
        "selection",
        "runs",
        "tests",
    }
    assert {Path(name).stem for name in first if name.startswith("tables/")} == kinds | {"all"}
    assert {"index.html", "report.md"} < set(first)
    # Once more over it, in another process with other hash seeds and another zone of time.
    environment = {**os.environ, "PYTHONHASHSEED": "5", "PYTHONPATH": str(CHECKOUT), "TZ": "Asia/Seoul"}
    code = f"import sys, reports.__main__ as m; m.main(['build', {str(runs)!r}, '--to', 'a'])\n"
    # Of the runs' package the scorers' constants, of the students' the rule of folders: nothing with torch.
    code += "heavy = ['torch', 's3prl', 'upstream_arm.config', 'downstream_runs.engine']\n"
    code += "sys.exit(any(map(sys.modules.get, heavy)))"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, timeout=300
    )
    assert hashes(Path("a")) == first


def drawn(monkeypatch: pytest.MonkeyPatch, *keys: str) -> None:
    """Have only these figures, drawn by nobody: drawing takes most of a report's time."""
    pictures = [Picture(key, "A caption", b"<svg/>", b"png") for key in keys]
    monkeypatch.setattr("reports.figures.draw", lambda *_: pictures)


def test_figures_and_tables_of_before_that_are_gone_are_removed(
    capsys: pytest.CaptureFixture[str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(monkeypatch, "tasks", "layer_weights")
    say(capsys, "build", runs / "armhubert" / "asr", "--to", "o")
    assert Path("o/figures/layer_weights.svg").exists() and Path("o/tables/runs.csv").exists()
    Path("o/mine.txt").write_text("a file of the user's")
    Path("o/figures/mine.svg").write_text("another")
    drawn(monkeypatch, "tasks")
    say(capsys, "build", "--to", "o")
    assert not Path("o/figures/layer_weights.svg").exists() and not Path("o/tables/runs.csv").exists()
    assert Path("o/mine.txt").exists() and Path("o/figures/mine.svg").exists()
    assert Path("o/figures/tasks.png").read_bytes() == b"png"


def test_a_list_of_old_files_that_points_elsewhere_removes_nothing_there(tmp_path: Path) -> None:
    (tmp_path / "precious.txt").write_text("x")
    (tmp_path / "o").mkdir()
    (tmp_path / "o" / build.MANIFEST).write_text(json.dumps(["../precious.txt", 3]))
    build.write_all(tmp_path / "o", {"a.txt": b"a"}, prune=True)
    assert (tmp_path / "precious.txt").exists() and (tmp_path / "o" / "a.txt").read_bytes() == b"a"


def test_the_runs_folder_is_named_as_in_every_command(
    capsys: pytest.CaptureFixture[str], runs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(monkeypatch)
    out, _ = say(capsys, "build", "--out", runs)
    assert "40 results of ours" in out and Path("reports/out/index.html").exists()
    assert not (runs / "index.html").exists()
    _, err = say(capsys, "build", "--out", "mypage", code=2)
    assert "mypage does not exist" in err and "--to" in err and err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    Path("o").write_text("a file where the folder should be")
    out, err = say(capsys, "paper", "--to", "o", code=2)
    assert out == "" and "cannot be written" in err and "--to" in err and err.count("\n") == 1


def test_an_unusable_result_is_said_and_the_rest_is_reported(
    capsys: pytest.CaptureFixture[str], runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drawn(monkeypatch)
    bad = tmp_path / "runs" / "bad" / "result.json"
    bad.parent.mkdir(parents=True)
    bad.write_text("{")
    out, err = say(capsys, "build", runs / "armhubert" / "ks", tmp_path / "runs", "--to", "o", code=2)
    assert "1 result of ours in 1 row\n" in out and err.startswith(f"error: {bad} is not JSON")
    assert f"Not used: {bad}" in Path("o/index.html").read_text()


def test_the_command_line_imports_nothing_heavy() -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    light = "import sys, reports.__main__ as m\ntry: m.main(['--help'])\nexcept SystemExit: pass\n"
    light += "sys.exit(any(map(sys.modules.get, ['torch', 'numpy', 'matplotlib', 'scipy', 'pandas'])))"
    subprocess.run([sys.executable, "-c", light], check=True, env=environment, capture_output=True)


@pytest.mark.slow
def test_a_thousand_runs_are_reported_in_seconds(tmp_path: Path) -> None:
    for number in range(100):
        kind = ("demo", "shortened") if number % 2 else ()
        skill = 0.8 + number / 200
        name = f"upstream_{number:03d}"
        synthetic.make(tmp_path / "runs", name, skill=skill, labels=kind, speakers=8, journals=number < 6)
    # In time of the processor, and against a loop of ten million additions in the same process: other
    # programs on the machine slow both alike. The loop takes about half a second: the limit is about 9.
    code = (
        "import resource, sys, time, reports.__main__ as m\n"
        f"m.main(['build', {str(tmp_path / 'runs')!r}, '--to', 'o'])\n"
        "spent = sum(resource.getrusage(resource.RUSAGE_SELF)[:2])\n"
        "start, total = time.process_time(), 0\n"
        "for number in range(10**7): total += number\n"
        "print(spent / (time.process_time() - start))"
    )
    # No limit on threads from outside: numpy's own, on matrices this small, took more than the rest.
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT)}
    environment.pop("OMP_NUM_THREADS", None)
    done = subprocess.run(
        [sys.executable, "-c", code], check=True, env=environment, capture_output=True, text=True, timeout=300
    )
    *_, ratio = done.stdout.split()
    assert "1000 results of ours in 100 rows" in done.stdout
    assert float(ratio) < 18


# Comparisons


def test_two_runs_are_compared_with_differences_and_tests(
    capsys: pytest.CaptureFixture[str], runs: Path
) -> None:
    out, err = say(capsys, "compare", "armhubert", "armhubert_s_960h", "--runs", runs)
    assert err == ""
    values, _, tests = out.partition("## Paired tests")
    collection = gather([runs])
    first, second = compare_rows(collection, "armhubert", "armhubert_s_960h")
    difference = second["asr_wer"] - first["asr_wer"]
    line = next(line for line in values.splitlines() if line.startswith("| ASR WER"))
    assert float(line.split("|")[4]) == pytest.approx(difference, abs=0.005)
    overall = [scores.overall(side) or 0 for side in (first, second)]
    line = next(line for line in values.splitlines() if line.startswith("| Overall"))
    assert float(line.split("|")[4]) == pytest.approx(overall[1] - overall[0], abs=0.005)
    lines = [line for line in tests.splitlines() if line.startswith("| armhubert_s_960h – armhubert")]
    assert len(lines) == 12
    # Nobody is better without a p-value, here or anywhere.
    claims = [part for part in out.replace("\\", "").split("|") if "better" in part]
    assert claims and all("(p = 0." in claim or "(p < 0.001)" in claim for claim in claims)
    assert any("armhubert is better" in claim for claim in claims)


def compare_rows(collection: object, *names: str) -> list[dict[str, float]]:
    rows = {row.name: row.values for row in collection.systems}  # type: ignore[attr-defined]
    return [rows[name] for name in names]


def test_published_systems_have_differences_and_no_tests(capsys: pytest.CaptureFixture[str]) -> None:
    out, _ = say(capsys, "compare", "ARMHuBERT", "HuBERT BASE", "dphubert (100h)")
    assert "| PR PER ↓ | 7.72 | 5.41 | -2.31 | 10.02 | +2.30 |" in out
    assert "| Overall ↑ | 78.11 | 80.80 | +2.69 | 77.67 | -0.44 |" in out
    assert "Paired tests" not in out and "is better" not in out
    table = say(capsys, "compare", "ARMHuBERT", "HuBERT BASE", "--format", "csv")[0]
    assert next(csv.reader(io.StringIO(table)))[3] == "published: HuBERT BASE"
    assert "\\toprule" in say(capsys, "compare", "ARMHuBERT", "HuBERT BASE", "--format", "latex")[0]


def test_a_demo_run_is_subtracted_from_nothing_real(capsys: pytest.CaptureFixture[str], runs: Path) -> None:
    out, _ = say(capsys, "compare", "fbank", "armhubert", "HuBERT BASE", "arm_hubert_random", "--runs", runs)
    line = next(line for line in out.splitlines() if line.startswith("| ASR WER"))
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[3] == "–" and cells[5] == "–" and cells[7] not in ("–", "")
    assert "demo, untrained, shortened are not comparable" in out
    assert "armhubert against fbank [demo, shortened] is not tested: one has labels" in out
    # Both demo: one may be tested against the other, under the warning.
    assert "| arm_hubert_random [demo, untrained, shortened] – fbank [demo, shortened] | PR" in out


def test_missing_tasks_leave_a_partial_mean_of_its_own_name(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    synthetic.make(tmp_path / "runs", "short", tasks=("asr", "ks"))
    out, _ = say(capsys, "compare", "short", "HuBERT BASE")
    assert "| Partial mean over 2 of 11 ↑ |" in out and "| Overall" not in out
    assert "short has no overall score: pr, qbe, sid, asv, sd, ic, sf, er missing." in out


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (["armhubert"], "1 system was named"),
        (["armhubert", "armhubertt"], "there is no system 'armhubertt'"),
        (["STaRHuBERT", "HuBERT BASE"], "'STaRHuBERT' is the name of 2 systems"),
    ],
)
def test_names_that_say_nothing_or_too_much(
    capsys: pytest.CaptureFixture[str], runs: Path, names: list[str], message: str
) -> None:
    out, err = say(capsys, "compare", *names, "--runs", runs, code=2)
    assert out == "" and message in err and err.count("\n") == 1


def test_a_row_is_named_by_its_runs(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    runs, names = tmp_path / "elsewhere", ("superb-1a2b3c4d", "superb-1a2b9999", "superb-5e6f0000-sweep")
    (runs / "x/asr").mkdir(parents=True)
    for folder, upstream in zip(names, ("one", "two", "three"), strict=True):
        synthetic.make(tmp_path / folder, upstream, tasks=("asr",), journals=False)
        [path] = (tmp_path / folder).rglob("result.json")
        path.parent.rename(runs / "x/asr" / folder)
    first, third, second = gather([runs]).systems
    path, result = third.runs[0]
    for name in ("superb-5", "5e6f", "5E6F00", result.content_sha256[:9], str(path), str(path.parent)):
        assert compare.find([name], gather([runs])) == [third], name
    assert compare.find(["superb-1a2b3", "1a2b9"], gather([runs])) == [first, second]
    folders = [runs / "x/asr" / folder for folder in names]
    out, err = say(capsys, "compare", *folders[:2])
    assert "| Metric | one | two | Δ two |" in out and err == "", "no --runs: the folders say where"
    for name in ("1a2b", "superb-1a2b", "superb-", runs):
        _, err = say(capsys, "compare", name, "FBANK", "--runs", runs, code=2)
        several = 3 if name in ("superb-", runs) else 2
        assert f"stands for runs of {several} rows: {folders[0]} of 'one'; " in err and err.count("\n") == 1
    for name in ("5e6", "superb", "asr"):
        _, err = say(capsys, "compare", name, "FBANK", "--runs", runs, code=2)
        assert f"there is no system '{name}'" in err


def test_a_name_as_it_is_written_comes_first(tmp_path: Path) -> None:
    kinds: list[tuple[str, tuple[str, ...]]] = [
        ("fbank", ()),
        ("fbank", ("demo",)),
        ("FBank", ()),
        ("hubert base", ()),
    ]
    for number, (name, kind) in enumerate(kinds):
        synthetic.make(tmp_path / str(number), name, tasks=("ks",), labels=kind, journals=False)
    collection = gather([tmp_path])
    # A whole name before an upstream's (that of two rows), both before other cases (of three and of two).
    asked = ["fbank", "FBank", "fbank [demo]", "HuBERT BASE", "hubert base"]
    assert [(one.name, one.source == "ours") for one in compare.find(asked, collection)] == [
        ("fbank", True),
        ("FBank", True),
        ("fbank [demo]", True),
        ("HuBERT BASE", False),
        ("hubert base", True),
    ]
    with pytest.raises(ReportError, match="'FBANK' is the name of"):
        compare.find(["FBANK"], collection)
    with pytest.raises(ReportError, match="'fBANK' is the name of"):
        compare.find(["fBANK"], collection)
    # An upstream's name as written before one of another case.
    seeds = tmp_path / "seeds"
    synthetic.make(seeds, "Mine", tasks=("ks",), labels=("demo",), journals=False)
    synthetic.make(seeds, "mine", tasks=("ks",), labels=("sample",), journals=False)
    assert compare.find(["mine"], gather([seeds]))[0].name == "mine [sample]"
    assert compare.find(["MINE [demo]"], gather([seeds]))[0].name == "Mine [demo]"


def test_an_unfinished_set_of_folds_is_no_row_and_said(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    synthetic.make(tmp_path / "runs", "a", tasks=("er",))
    [mean] = [path for path in (tmp_path / "runs").rglob("result.json") if "fold" not in path.parent.name]
    [row] = gather([tmp_path / "runs"]).systems
    assert [path for path, _ in row.runs] == [mean]
    mean.unlink()
    found = gather([tmp_path / "runs"])
    assert found.systems == () and "5 of its folds are done" in found.notes[0]
    _, err = say(capsys, "table")
    assert "note: runs" in err and "folds" in err
