"""s3prl's lists, which lie beside a corpus: the lexicons of PR, the splits of SID, the trials of ASV."""

from __future__ import annotations

import os
import shutil
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from downstream_runs.corpora import libriphone, texts, voxceleb1
from downstream_runs.corpora import voxceleb1_verification as verification
from downstream_runs.corpora.pinned import obtain
from upstream_arm.common.files import atomic_write_bytes


def missing(tasks: Collection[str], data: Path) -> list[Path]:
    """What the tasks need and `data` lacks: the folder of the lexicons, and lists."""
    lexicon, own = data / libriphone.FOLDER, data / "LibriSpeech" / libriphone.FOLDER
    found = [lexicon] if "pr" in tasks and not lexicon.is_dir() and not own.is_dir() else []
    for task, file, names in (
        ("sid", voxceleb1.PINNED, voxceleb1.SPLIT_LIST),
        ("asv", verification.PINNED, verification.TRIAL_LIST),
    ):
        there = [folder / name for folder in (data, data / "VoxCeleb1") for name in names]
        if task in tasks and not any(path.is_file() for path in there):
            found.append(data / file.name)
    return found


def bring(places: Sequence[Path], work: Path) -> Iterator[Path]:
    """Obtain what is missing, and put it there; UsageError where one cannot be had."""
    for place in places:
        with texts.writing(place):
            if place.name != libriphone.FOLDER:
                file = next(one for one in (voxceleb1.PINNED, verification.PINNED) if one.name == place.name)
                atomic_write_bytes(place, obtain(file, work).read_bytes())
            else:
                whole = work / libriphone.FOLDER
                shutil.rmtree(whole, ignore_errors=True)
                for file in libriphone.FILES:
                    atomic_write_bytes(whole / file.name, obtain(file, work).read_bytes())
                os.replace(whole, place)
        yield place
