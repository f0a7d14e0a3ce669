"""s3prl's lists, which lie beside a corpus: the lexicons of PR, the splits of SID, the trials of ASV."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator
from pathlib import Path

from downstream_runs.corpora import libriphone, texts, voxceleb1
from downstream_runs.corpora import voxceleb1_verification as verification
from downstream_runs.corpora.pinned import obtain
from upstream_arm.common.files import atomic_write_bytes


def bring(tasks: Collection[str], data: Path, work: Path) -> Iterator[Path]:
    """Obtain those of the tasks that `data` lacks, and put them there; UsageError where one cannot be had."""
    lexicon = data / libriphone.FOLDER
    if "pr" in tasks and not lexicon.is_dir():
        whole = work / libriphone.FOLDER
        shutil.rmtree(whole, ignore_errors=True)
        for file in libriphone.FILES:
            with texts.writing(whole):
                atomic_write_bytes(whole / file.name, obtain(file, work).read_bytes())
        os.replace(whole, lexicon)
        yield lexicon
    for task, file, names in (
        ("sid", voxceleb1.PINNED, voxceleb1.SPLIT_LIST),
        ("asv", verification.PINNED, verification.TRIAL_LIST),
    ):
        there = [folder / name for folder in (data, data / "VoxCeleb1") for name in names]
        if task in tasks and not any(path.is_file() for path in there):
            with texts.writing(data):
                atomic_write_bytes(data / file.name, obtain(file, work).read_bytes())
            yield data / file.name
