"""A disk that is full at any write: said in one sentence, and the run then goes on to the same numbers."""

from __future__ import annotations

import builtins
import errno
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs.engine import run, run_dir
from downstream_runs.errors import RunFailed, UsageError

WRITES = 80
RUNNER = {"total_steps": 4, "eval_step": 2, "save_step": 1}


class Disk:
    """Every file that is opened for writing below `folder` counts; the `left`-th takes half of a write."""

    def __init__(self, folder: Path, left: int) -> None:
        self.folder = folder
        self.left = left
        self.failed = ""

    def open(self, real: Any, path: Any, mode: str, *args: Any, **kwargs: Any) -> Any:
        file = real(path, mode, *args, **kwargs)
        if (
            isinstance(path, (str, Path))
            and set(mode) & set("wax+")
            and str(path).startswith(str(self.folder))
        ):
            self.left -= 1
            if self.left == 0:
                write = file.write

                def full(data: Any) -> None:
                    write(data[: len(data) // 2])
                    self.failed = Path(path).name
                    raise OSError(errno.ENOSPC, "No space left on device", str(path))

                file.write = full
        return file


def fill(patch: pytest.MonkeyPatch, disk: Disk) -> None:
    real, path_open = builtins.open, Path.open

    def opened(path: Any, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return disk.open(real, path, mode, *args, **kwargs)

    def path_opened(self: Path, mode: str = "r", *args: Any, **kwargs: Any) -> Any:
        return disk.open(path_open, self, mode, *args, **kwargs)

    patch.setattr(builtins, "open", opened)
    patch.setattr(Path, "open", path_opened)


@pytest.mark.slow
def test_a_disk_that_is_full_at_any_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise.make_corpus(tmp_path / "data")
    calm = noise.tiny_plan(tmp_path / "data", tmp_path / "calm", runner=RUNNER)
    wanted = run(calm)
    plan = noise.tiny_plan(tmp_path / "data", tmp_path / "out", runner=RUNNER)
    failed = set()
    for number in range(1, WRITES):
        disk = Disk(tmp_path / "out", number)
        with monkeypatch.context() as patch:
            fill(patch, disk)
            try:
                found = run(plan)
            except (RunFailed, UsageError) as error:
                # The second are the words of a corpus that is prepared.
                said = ("is full; the last checkpoint is whole", "no space left on device")
                assert any(words in str(error) for words in said), disk.failed
                assert not (run_dir(plan) / "result.json").exists()
                failed.add(disk.failed.split(".")[1] if disk.failed.startswith(".") else disk.failed)
                continue
        break
    assert found.metrics == wanted.metrics
    assert {"lock", "plan", "s3prl.log", "events", "metrics", "result", "dev-clean-best", "items"} <= {
        name.removesuffix(".jsonl") for name in failed
    }
    assert any(name.startswith("step-") for name in failed)
    names = ("metrics.jsonl", "test-clean-noLM-hyp.ark")
    for name in names:
        assert (run_dir(plan) / name).read_bytes() == (run_dir(calm) / name).read_bytes()
    assert not list((tmp_path / "out").rglob("*.tmp"))
