"""Keeps s3prl's two VoxCeleb1 tasks from caching file lists in its own package folder.

Speaker identification keeps `.cache/train.pkl` there and speaker verification `.wav_lengths/...`, both
without a word about the corpus: a second corpus was then trained on the list of the first.
Here each data set is built with a fresh, empty place for them, and nothing is left behind.
"""

from __future__ import annotations

import functools
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from downstream_runs.bridge.import_hooks import after_import
from upstream_arm.common.processes import cores

LENGTHS_SUFFIX = ".lengths.pt"
"""How a table of trimmed lengths that this project wrote is called; it may stand for `train_meta_data`."""


def install() -> None:
    """Correct the two data sets as soon as they are imported."""
    after_import("s3prl.downstream.voxceleb1.dataset", correct_identification)
    after_import("s3prl.downstream.sv_voxceleb1.dataset", correct_verification)


def correct_identification(module: ModuleType) -> None:
    """List the files of each data set anew."""
    build = module.SpeakerClassifiDataset.__init__

    @functools.wraps(build)
    def build_afresh(self: Any, *arguments: Any, **options: Any) -> None:
        before = vars(module)["CACHE_PATH"]
        with tempfile.TemporaryDirectory() as folder:
            vars(module)["CACHE_PATH"] = os.path.join(folder, "")
            try:
                build(self, *arguments, **options)
            finally:
                vars(module)["CACHE_PATH"] = before

    module.SpeakerClassifiDataset.__init__ = build_afresh


def correct_verification(module: ModuleType) -> None:
    """Trim anew for each training set, or take the lengths from the table that `meta_data` names.

    s3prl opens no file by that argument, so it may carry our table (`*.lengths.pt`). Where it trims itself
    it starts one process a core at most instead of always twelve.
    """
    build = module.SpeakerVerifi_train.__init__

    @functools.wraps(build)
    def build_afresh(
        self: Any,
        vad_config: Any,
        key_list: Sequence[str],
        file_path: Any,
        meta_data: str,
        max_timestep: int | None = None,
        n_jobs: int = 12,
    ) -> None:
        before = module.__file__
        with tempfile.TemporaryDirectory() as folder:
            _place_table(str(meta_data), key_list, Path(folder))
            # s3prl derives the place of its cache from this variable, and nothing else uses it.
            module.__file__ = os.path.join(folder, "dataset.py")
            jobs = min(n_jobs, cores())
            try:
                build(self, vad_config, key_list, file_path, meta_data, max_timestep, jobs)
            finally:
                module.__file__ = before

    module.SpeakerVerifi_train.__init__ = build_afresh


def _place_table(table: str, keys: Sequence[str], folder: Path) -> None:
    if table.endswith(LENGTHS_SUFFIX):
        lengths = folder / ".wav_lengths"
        lengths.mkdir()
        for key in keys:
            shutil.copyfile(table, lengths / f"{key}_length.pt")
