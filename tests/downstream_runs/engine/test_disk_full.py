"""A disk that is full at any write: said in one sentence, and the run then goes on to the same numbers."""

from __future__ import annotations

import builtins
import errno
from pathlib import Path
from typing import Any

import noise
import pytest

from downstream_runs.engine import run, run_dir
from upstream_arm.common.errors import RunFailed, UsageError

ATTEMPTS = 60
RUNNER = {"total_steps": 2, "eval_step": 2, "save_step": 1}


class Disk:
    """Takes half of the first write to any file below `folder` that has not failed before, by its name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.failed: list[str] = []
        self.full = False

    def open(self, real: Any, path: Any, mode: str, *args: Any, **kwargs: Any) -> Any:
        file = real(path, mode, *args, **kwargs)
        if (
            isinstance(path, (str, Path))
            and set(mode) & set("wax+")
            and str(path).startswith(str(self.folder))
        ):
            name = Path(path).name
            # `.result.json.0123.tmp` is to become `result.json`.
            name = name[1:].rsplit(".", 2)[0] if name.startswith(".") else name
            if name not in self.failed and not self.full:
                self._fail_at_write(file, name)
        return file

    def _fail_at_write(self, file: Any, name: str) -> None:
        write = file.write

        def fails(data: Any) -> Any:
            file.write = write
            if self.full:
                return write(data)
            write(data[: len(data) // 2])
            self.full = True
            self.failed.append(name)
            raise OSError(errno.ENOSPC, "No space left on device", name)

        file.write = fails


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
    disk = Disk(tmp_path / "out")
    for _ in range(ATTEMPTS):
        disk.full = False
        with monkeypatch.context() as patch:
            fill(patch, disk)
            try:
                found = run(plan)
                break
            except (RunFailed, UsageError) as error:
                # The second are the words of a corpus that is prepared.
                said = ("is full; the last checkpoint is whole", "no space left on device")
                assert any(words in str(error) for words in said), disk.failed
                assert not (run_dir(plan) / "result.json").exists()
    assert found.metrics == wanted.metrics
    kinds = {"lock", "plan.json", "events.jsonl", "metrics.jsonl", "items.csv", "result.json", "s3prl.log"}
    kinds |= {"dev-clean-best.ckpt", "dev-clean-best.ckpt.sha256", "char.dict", "test-clean-noLM-hyp.ark"}
    assert kinds <= set(disk.failed)
    assert any(name.startswith("step-") for name in disk.failed)
    names = ("metrics.jsonl", "test-clean-noLM-hyp.ark")
    for name in names:
        assert (run_dir(plan) / name).read_bytes() == (run_dir(calm) / name).read_bytes()
    assert not list((tmp_path / "out").rglob("*.tmp"))
