"""Tasks of others' code: the example's file, and a package that offers it by an entry point."""

from __future__ import annotations

import importlib
import json
import pickle
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import own_corpus
import pytest

from downstream_runs import tasks
from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.tasks import plugins
from upstream_arm.common.errors import UsageError

EXAMPLES = Path(__file__).parents[3] / "examples"
BANDS = f"py:{EXAMPLES / 'my_upstream.py'}:make"
SHORT = ("--device", "cpu", "-o", "runner.total_steps=10", "-o", "runner.eval_step=5")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tones in folders, as the example takes them."""
    pytest.importorskip("s3prl")
    return own_corpus.in_folders(tmp_path_factory.mktemp("folders"))


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An installed package with the example's task."""
    about = tmp_path / "site" / "tasks_of_mine-1.0.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text("Metadata-Version: 2.1\nName: tasks-of-mine\nVersion: 1.0\n")
    (about / "entry_points.txt").write_text("[superb.tasks]\nrecall = tasks_of_mine:TASK\n")
    shutil.copy(EXAMPLES / "my_task.py", tmp_path / "site" / "tasks_of_mine.py")
    monkeypatch.syspath_prepend(tmp_path / "site")
    importlib.invalidate_caches()
    yield tmp_path / "site"
    sys.modules.pop("tasks_of_mine", None)


def test_the_example_is_short() -> None:
    assert len((EXAMPLES / "my_task.py").read_text(encoding="utf-8").splitlines()) < 80


def test_a_task_of_a_file(data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = Path(shutil.copy(EXAMPLES / "my_task.py", tmp_path / "my_task.py"))
    words = ["--task-file", str(file), "--data", str(data), "--out", str(tmp_path / "runs"), *SHORT]
    assert main([BANDS, "recall", *words]) == 0
    assert "recall of make [own-corpus, untrained, shortened]: uar " in capsys.readouterr().out
    (path,) = (tmp_path / "runs").glob("*/recall/*/result.json")
    found = results.read(path)
    own = found.config["own_task"]
    assert own == {"file": str(file), "code_sha256": own["code_sha256"]}
    assert json.loads((path.parent / "plan.json").read_text())["own_task"] == {
        "code_sha256": own["code_sha256"]
    }
    assert "own-corpus" in found.labels and not any(metric.official for metric in found.metrics)
    assert found.corpus.counts == {"dev": 6, "test": 12, "train": 12}
    assert main(["verify", str(path), "--task-file", str(file)]) == 0
    task = tasks.of_result(found, file=file)
    pickled = pickle.dumps(task)
    sys.modules.pop("superb_upstream_my_task")  # another process does not have it
    again = pickle.loads(pickled)  # noqa: S301
    assert (again.name, again.own, again.recipes) == (task.name, task.own, task.recipes)
    file.write_text(file.read_text() + "\n# another\n")
    marked = tmp_path / "run"
    file.write_text(file.read_text() + f"\nopen({str(marked)!r}, 'w')\n")
    assert main(["verify", str(path), "--task-file", str(file)]) == 2
    assert "the code of the task recall has changed" in capsys.readouterr().err
    assert main(["verify", str(path)]) == 2
    assert f"the task recall is code, in '{file}', which no result has run" in capsys.readouterr().err
    assert not marked.exists()


def test_a_task_of_a_package(
    package: Path, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["list"]) == 0
    assert "recall             tasks_of_mine:TASK" in capsys.readouterr().out
    assert main(["plan", BANDS, "recal", "--data", str(data)]) == 2
    assert "did you mean 'recall'" in capsys.readouterr().err
    assert main([BANDS, "recall", "--data", str(data), "--out", str(tmp_path / "runs"), *SHORT]) == 0
    (path,) = (tmp_path / "runs").glob("*/recall/*/result.json")
    own = results.read(path).config["own_task"]
    assert (own["plugin"], own["release"]) == ("recall", "tasks-of-mine 1.0")
    assert "recall" not in tasks.names()  # `all` are SUPERB's
    found = results.read(path)
    shutil.rmtree(package / "tasks_of_mine-1.0.dist-info")
    importlib.invalidate_caches()
    with pytest.raises(UsageError, match="no installed package offers the task recall"):
        tasks.of_result(found)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("TASK = TaskSpec(", "OTHER = TaskSpec("), r"no function or class 'TASK'"),
        (("TASK = TaskSpec(", "TASK = dict("), r"gives 'dict', a TaskSpec was expected"),
        (('"name": "recall"', '"name": "ASR"'), r"calls its task 'ASR'"),
        (('"name": "recall"', '"name": "asr"'), r"no name of SUPERB's tasks"),
        (('recipes={"superb"', 'recipes={"mine"'), r"has no recipe `superb`"),
        (("import csv", "import csv_of_nobody"), r"cannot be used: ModuleNotFoundError"),
    ],
)
def test_a_file_that_is_no_task(change: tuple[str, str], message: str, tmp_path: Path) -> None:
    file = tmp_path / "bad.py"
    file.write_text((EXAMPLES / "my_task.py").read_text(encoding="utf-8").replace(*change))
    with pytest.raises(UsageError, match=message):
        plugins.of_file(file)


def test_the_task_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["--task-file", str(EXAMPLES / "my_task.py"), "--data", str(tmp_path)]
    assert main([BANDS, "asr", *words]) == 2
    assert "has the task recall, and not asr" in capsys.readouterr().err
    assert main([BANDS, "recall", *words, "--table", "x.csv"]) == 2
    assert "both name a task" in capsys.readouterr().err
