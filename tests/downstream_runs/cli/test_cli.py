"""The command line: exit codes, one sentence per error, what is planned, and that it starts at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from downstream_runs import engine
from downstream_runs.cli import main as cli
from downstream_runs.cli import run
from downstream_runs.cli.plans import rows_of
from downstream_runs.cli.run import run_parser
from downstream_runs.core.run import RunPlan
from downstream_runs.corpora import data_root as settings
from upstream_arm import download
from upstream_arm.common.errors import RunFailed, UsageError

CHECKOUT = Path(__file__).resolve().parents[3]
HEAVY = ("torch", "s3prl", "numpy", "pandas", "matplotlib", "tqdm", "huggingface_hub")


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No data named, no checkpoint fetched, and a current folder of the test's own."""
    monkeypatch.delenv("SUPERB_DATA", raising=False)
    monkeypatch.setattr(settings, "CHECKOUT", tmp_path)
    monkeypatch.setattr(download, "cached", lambda name: None)
    monkeypatch.chdir(tmp_path)


def plan(*arguments: str) -> RunPlan:
    return rows_of(run_parser().parse(arguments))[0].plan


def error(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one sentence that a wrong command prints."""
    assert cli.main(arguments) == 2
    captured = capsys.readouterr()
    assert captured.out == "" and "Traceback" not in captured.err
    lines = [line for line in captured.err.splitlines() if not line.startswith("note: ")]
    assert len(lines) == 1 and lines[0].startswith("error: ")
    return lines[0]


def test_nothing_heavy_is_imported_for_help_and_checks_of_names(tmp_path: Path) -> None:
    code = (
        "import sys; from downstream_runs.cli import main as cli\n"
        "from downstream_runs.cli.run import run_parser\n"
        "run_parser().format_help()\n"
        "for wrong in (['armhubrt', 'asr'], ['fbank', 'avs'], ['fbank', 'asr', '--recipe', 'x'], ['list']):\n"
        "    cli.main(wrong)\n"
        "cli.main(['fbank', 'asr', '-o', 'x'])\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_and_no_argument(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        cli.main(["--help"])
    assert caught.value.code == 0
    out = capsys.readouterr().out
    for part in ("list", "doctor", "score", "table", "--demo", "exit codes"):
        assert part in out
    assert cli.main([]) == 2
    assert "UPSTREAM TASK" in capsys.readouterr().err


def test_wrong_names_are_named_with_near_ones(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert "did you mean 'armhubert'" in error(capsys, "armhubrt", "asr", "--demo")
    assert "did you mean 'asr'" in error(capsys, "armhubert", "sar", "--demo")
    assert "did you mean 'paper'" in error(capsys, "fbank", "asr", "--recipe", "papr", "--demo")
    assert "did you mean 'runner.total_steps'" in error(
        capsys, "fbank", "asr", "--demo", "-o", "runner.total_stps=1"
    )
    assert "-o lr is not KEY=VALUE" in error(capsys, "fbank", "asr", "--demo", "-o", "lr")
    assert "auto, cpu, cuda" in error(capsys, "fbank", "asr", "--demo", "--device", "gpu")
    assert "--ckpt nowhere.ckpt is no file" in error(
        capsys, "armhubert", "asr", "--demo", "--ckpt", "nowhere.ckpt"
    )
    assert list(tmp_path.iterdir()) == [], "a wrong command made something"


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        (["fbank"], "the following arguments are required: TASK"),
        (["fbank", "asr", "--seed", "x"], "'x' is no whole number"),
        (["fbank", "asr", "--seed", "-1"], "expected 0 to 4,294,967,295"),
        (["fbank", "asr", "--seed", str(10**20)], "is no whole number of at most 18 digits"),
        (["fbank", "asr", "--dat", "x"], "unrecognized arguments: --dat x"),
        (["list", "x"], "unrecognized arguments: x"),
        (["lst"], "lst is no command, and a run is UPSTREAM TASK, did you mean 'list'?"),
        (["statsu", "--html", "x"], "did you mean 'status'?"),
        (["fbank", "asr", "--jobs", "0"], "--jobs: 0 was given, expected at least 1"),
        (["fbank", "asr", "--devices", "0"], "--devices: 0 was given, expected at least 1"),
        (["fbank", "asr", "--features-gb", "nan"], "'nan' is no finite number"),
        (["fbank", "asr", "--features-gb", "-1"], "--features-gb is -1, expected more than 0"),
        (["fbank", "asr", "--data", ""], "--data is empty: is a variable not set?"),
        (["fbank", "asr", "--data="], "--data is empty: is a variable not set?"),
        (["table", ""], "an argument is empty"),
        (["fbank", "asr", "--out", "\udcff"], "which is not UTF-8"),
        (["fbank", "asr", "--out", "/dev/null"], "/dev/null is no folder, so --out /dev/null cannot be one"),
        (["fbank", "asr", "--out", "/dev/null/x"], "/dev/null is no folder"),
        (["lgos", "RUN"], "lgos is no command, and a run is UPSTREAM TASK, did you mean 'logs'?"),
        (["help", "statsu"], "there is no command statsu, did you mean 'status'?"),
        (["--verson"], "did you mean '--version'?"),
        (["compare"], "(./run_superb.sh compare --help shows what there is)"),
        (["asr", "fbank"], "asr is a task, and the upstream comes first"),
        (["fbank", "asr", "--stps", "3"], "unrecognized arguments: --stps 3, did you mean '--steps'?"),
        (["fbank", "asr", "-o", "steps=3"], "did you mean 'runner.total_steps'?"),
        (["fbank", "asr", "-o", "batchsize=3"], "did you mean 'downstream_expert.datarc.batch_size'?"),
        (["fbank", "asr", "--steps", "3", "-o", "runner.total_steps=4"], "are the same setting"),
        (["fbank", "qbe", "--batch-size", "3"], "--batch-size: qbe trains nothing"),
        (["fbank", "asr", "-o", "lr=1e-3"], "no setting 'lr', did you mean 'optimizer.lr'?"),
        (
            ["fbank", "asr", "-o", "optimizer.lr=1e-3x"],
            "optimizer.lr is '1e-3x', expected a value like 0.003",
        ),
        (["fbank", "qbe", "-o", "optimizer.lr=1e-3"], "no setting 'optimizer.lr'"),
        (["fbank", "asr", "--launcher", "slurm", "--slurm-partition", "a b"], "expected one word"),
    ],
)
def test_what_cannot_be_parsed_is_one_sentence(
    wrong: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if wrong[0] == "fbank" and len(wrong) > 2 and "--data" not in " ".join(wrong):
        wrong = [*wrong, "--demo"]
    assert says in error(capsys, *wrong)


def test_the_ways_of_asking_for_help_and_the_version(capsys: pytest.CaptureFixture[str]) -> None:
    for asked, part in ((["help"], "other commands"), (["help", "status"], "run_superb.sh status")):
        with pytest.raises(SystemExit) as caught:
            cli.main(asked)
        assert caught.value.code == 0
        assert part in capsys.readouterr().out
    for asked in (["--version"], ["-V"]):
        assert cli.main(asked) == 0
        out = capsys.readouterr().out
        assert out.count("\n") == 1
        assert "superb-arm 0" in out and "s3prl 0.4.18" in out and "Python 3" in out


def test_no_data(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    message = error(capsys, "fbank", "asr")
    for part in ("asr", "LibriSpeech", "openslr.org/12", "SUPERB_DATA", str(tmp_path), "--demo"):
        assert part in message
    assert "--data" in error(capsys, "fbank", "asr", "--data", "nowhere")
    assert "one of the two" in error(capsys, "fbank", "asr", "--data", ".", "--demo")


def test_no_checkpoint(capsys: pytest.CaptureFixture[str]) -> None:
    assert "./run_superb.sh fetch armhubert" in error(capsys, "armhubert", "asr", "--data", ".")


def test_the_plan_of_a_run(tmp_path: Path) -> None:
    (tmp_path / "superb.toml").write_text('data = "."\n')
    (tmp_path / "a.ckpt").touch()
    arguments = [
        "armhubert",
        "asr",
        "--recipe",
        "paper",
        "--ckpt",
        "a.ckpt",
        "--seed",
        "7",
        "--device",
        "cpu",
    ]
    found = plan(*arguments, "-o", "optimizer.lr=5e-4", "-o", "runner.total_steps=10")
    assert (found.task.name, found.recipe, found.upstream, found.ckpt) == (
        "asr",
        "paper",
        "armhubert_local",
        "a.ckpt",
    )
    assert (found.data, found.out) == (tmp_path, tmp_path / "runs")
    assert (found.seed, found.device, found.precision) == (7, "cpu", "fp32")
    assert found.overrides == {"optimizer.lr": 5e-4, "runner.total_steps": 10}
    assert found.command[1:3] == ("armhubert", "asr")
    assert plan("fbank", "asr").recipe == "superb"


def test_the_plan_of_a_demo_is_untrained_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = plan("armhubert", "asr", "--demo", "--out", "there")
    assert (found.upstream, found.ckpt, found.recipe) == ("armhubert_random", None, "demo")
    assert found.data == tmp_path / "there" / "demo-data"
    assert "labels its result untrained" in capsys.readouterr().err
    assert not found.out.exists()


def test_switches_reach_the_upstreams_that_have_them(capsys: pytest.CaptureFixture[str]) -> None:
    from downstream_runs.core.run import run_dir

    plain = plan("armhubert", "asr", "--demo")
    switched = plan("armhubert", "asr", "--demo", "--batching", "released", "--reuse-softmax", "single")
    assert (plain.switches, switched.switches) == ({}, {"batching": "released", "reuse_softmax": "single"})
    assert run_dir(plain) != run_dir(switched)
    foreign, exact = (plan("fbank", "asr", "--demo", *given) for given in ((), ("--batching", "exact")))
    assert (foreign.switches, exact.switches) == ({}, {"batching": "exact"})
    assert run_dir(foreign) != run_dir(exact)
    for name, option, value, said in (
        ("fbank", "--reuse-softmax", "single", "fbank is none"),
        ("fbank", "--batching", "released", "--batching is released, and fbank has exact or stock"),
        (
            "armhubert",
            "--batching",
            "stock",
            "and armhubert_random has exact or released",
        ),
    ):
        assert said in error(capsys, name, "asr", "--demo", option, value)


@pytest.mark.parametrize(
    ("raised", "code", "said"),
    [
        (RunFailed("the disk is full"), 1, "failed: the disk is full\n"),
        (UsageError("no such file"), 2, "error: no such file\n"),
        (KeyboardInterrupt(), 130, "interrupted; the same command continues from the last checkpoint\n"),
    ],
)
def test_how_a_run_ends_badly(
    raised: BaseException,
    code: int,
    said: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fail(plan: RunPlan, *, rerun: str, with_demo: bool) -> Any:
        raise raised

    monkeypatch.setattr(engine, "run", fail)
    assert cli.main(["fbank", "asr", "--data", str(tmp_path)]) == code
    captured = capsys.readouterr()
    assert captured.err.endswith(said) and "Traceback" not in captured.err


def test_a_run_shows_its_row_and_says_what_was_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    called: list[tuple[RunPlan, str]] = []
    shown: list[Path] = []
    monkeypatch.setattr(engine, "run", lambda plan, *, rerun, with_demo: called.append((plan, rerun)))
    monkeypatch.setattr(run, "_show", lambda options, *results: shown.extend(results))
    assert cli.main(["fbank", "asr", "--data", str(tmp_path), "--rerun", "always"]) == 0
    [(found, rerun)] = called
    result = engine.run_dir(found) / "result.json"
    assert rerun == "always"
    assert shown == [result]
    captured = capsys.readouterr()
    assert f"result: {result}\n" in captured.out
    assert "next:   ./run_superb.sh report --out runs " in captured.out
    assert "recipe superb" in captured.err


def test_a_reader_that_wants_no_more_gets_no_traceback(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "downstream_runs", "list"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(CHECKOUT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait(timeout=60) == 0
    process.stderr.close()


def test_a_current_folder_whose_name_is_not_utf_8(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "r\udcff"
    folder.mkdir()
    monkeypatch.chdir(folder)
    assert "named by --out, is not UTF-8" in error(capsys, "fbank", "asr", "--demo")
    assert "named by --data, is not UTF-8" in error(capsys, "fbank", "asr", "--data", ".", "--out", "/tmp")


@pytest.mark.parametrize(
    ("value", "says"), [("~nobody77/x", "write the whole path"), ("/dev/null", "is not a folder")]
)
def test_a_variable_that_names_no_folder(
    value: str, says: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SUPERB_DATA", value)
    message = error(capsys, "fbank", "asr")
    assert "the variable SUPERB_DATA" in message and says in message
    monkeypatch.setenv("SUPERB_DATA", "")
    assert "no data folder is given" in error(capsys, "fbank", "asr")
