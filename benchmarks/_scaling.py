"""The scaling table of `pipeline.py`: extraction and pooled training when utterances get longer, or more."""

from __future__ import annotations

import csv
from dataclasses import dataclass, replace
from pathlib import Path

from _cases import Setting, fill, ours
from _sides import Side

from downstream_runs import tasks
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import fluent_commands, markers

STEPS = 50
QUIETER = 0.9


@dataclass(frozen=True)
class Point:
    """One corpus: what it is, audio seconds and seconds of its extraction, seconds of a training step."""

    name: str
    audio: float
    extraction: float
    step: float


def points() -> list[tuple[str, int, int]]:
    """The corpora: a name, how many times longer, how many times more utterances."""
    return [
        ("x 1", 1, 1),
        ("x 2, longer", 2, 1),
        ("x 4, longer", 4, 1),
        ("x 2, more", 1, 2),
        ("x 4, more", 1, 4),
    ]


def measure(setting: Setting, name: str, longer: int, more: int) -> Point:
    """Extraction and training of IC on a demo corpus made so many times longer or larger."""
    task = tasks.get("ic")
    here = replace(setting, place=setting.place / f"scaling-{longer}-{more}")
    here = replace(here, data=scaled(task, setting.place / "scaling-demo", here.place / "data", longer, more))
    batch = task.batch_size(task.recipes["superb"].config)
    seconds, audio = fill(here, task, batch)
    log = here.place / "stored.log"
    with Side("ours", setting.upstream, ours(here, task, "disk"), log, setting.threads) as side:
        side.do(STEPS)
        step = side.do(STEPS).seconds
    return Point(name, audio, seconds, step)


def scaled(task: TaskSpec, source: Path, data: Path, longer: int, more: int) -> Path:
    """A copy of IC's demo corpus with each recording repeated in itself, and each listed again and quieter.

    Quieter copies are other audio, so that a store holds each. It is marked as synthetic speech too.
    """
    import numpy as np
    import soundfile

    task.corpus.make_demo(source)
    root, target = fluent_commands.CORPUS.find(source), data / fluent_commands.FOLDER
    markers.begin(target, markers.DEMO, "longer and more speech of a synthesiser, for a benchmark\n")
    for table in fluent_commands.TABLES.values():
        with (root / table).open(newline="", encoding="utf-8") as file:
            rows = list(csv.DictReader(file))
        listed = []
        for copy in range(more):
            for row in rows:
                path = Path(row["path"])
                named = path.with_name(f"{path.stem}-{copy}{path.suffix}") if copy else path
                wave, rate = soundfile.read(root / path)
                (target / named).parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(target / named, np.tile(wave * QUIETER**copy, longer), rate)
                listed.append({**row, "path": str(named)})
        (target / table).parent.mkdir(parents=True, exist_ok=True)
        with (target / table).open("w", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(listed)
    files = [
        path.relative_to(target).as_posix() for path in target.rglob("*") if path.suffix in (".wav", ".csv")
    ]
    markers.finish(target, markers.DEMO, {}, files)
    return data
