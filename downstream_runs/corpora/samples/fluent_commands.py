"""A few real coffee orders in the layout of Fluent Speech Commands.

The source has `utterances.tsv` (columns utt, file, split, intent, coffeeDrink, size, ...) and flac files.
Each order has one intent, to order a drink, so the slots are not those of Fluent Speech Commands: `action` is
the intent, the same for all; `object` is the drink; `location` is whether the order gives a size. The audio
is written again as wav, sample for sample.
"""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.audio import problems as audio_problems
from downstream_runs.corpora.checks import require_none
from downstream_runs.corpora.fluent_commands import FOLDER, SLOTS, SPEAKER, TABLES
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples import tables
from downstream_runs.corpora.texts import writing
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path, atomic_write_text, sha256_file

TABLE = "utterances.tsv"
COLUMNS = ("utt", "file", "split", "intent", "coffeeDrink", "size")

NOTICE = """This is a tiny sample of real speech, coffee orders, in the layout of Fluent Speech Commands.

It is another corpus with other slots: action is the intent (one for all), object the drink, location "sized"
or "unsized". Speakers are not known, so those of training may be in the test. Numbers measured on it say
whether the path learns and nothing else; they carry the label "sample". SAMPLE.json lists its files; where it
is absent only half of the sample was laid out.
"""

INSTEAD = "coffee orders of other slots, a drink and whether a size is given; speakers are not known"


@dataclass(frozen=True)
class _Order:
    name: str
    audio: Path
    split: str
    slots: tuple[str, str, str]

    @property
    def path(self) -> str:
        """Its place in the layout; the speaker is not known."""
        return f"wavs/speakers/unknown/{self.name}.wav"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the orders of `source` out in `dest`/fluent_speech_commands_dataset and return that folder.

    A sample that is whole is left as it is. UsageError for a source that cannot be used, before anything is
    written, and for a `dest` that holds something else or cannot be written to.
    """
    orders = _read(source)
    target = dest.expanduser().absolute() / FOLDER
    facts: dict[str, Any] = {
        "what": "real speech, a tiny sample of coffee orders, not Fluent Speech Commands",
        "source": source.resolve().name,
        "source_table_sha256": sha256_file(source / TABLE),
        "instead": dict.fromkeys(TABLES, INSTEAD),
    }
    if is_whole(target, SAMPLE, facts):
        return target
    with writing(target):
        begin(target, SAMPLE, NOTICE)
        for order in orders:
            _write(order.audio, target / order.path)
        for split, table in TABLES.items():
            atomic_write_text(target / table, _table([order for order in orders if order.split == split]))
        finish(target, SAMPLE, facts, [*(order.path for order in orders), *TABLES.values()])
    return target


def _read(source: Path) -> list[_Order]:
    orders = []
    for place, row in tables.read(source / TABLE, COLUMNS, f"{TABLE} and its files"):
        if row["split"] not in TABLES:
            raise UsageError(f"{place} has the split {row['split']!r}, expected one of {', '.join(TABLES)}")
        audio = source / row["file"]
        if Path(row["utt"]).name != row["utt"] or not audio.resolve().is_relative_to(source.resolve()):
            raise UsageError(f"{place} names {row['utt']} and {row['file']}, a file in {source} was expected")
        slots = (row["intent"], row["coffeeDrink"], "sized" if row["size"] else "unsized")
        orders.append(_Order(row["utt"], audio, row["split"], slots))
    problems = audio_problems([AudioFile.at(one.audio, source) for one in orders], None, "orders")
    require_none(problems, "restore these files of the sample")
    return orders


def _write(audio: Path, path: Path) -> None:
    import soundfile

    samples, rate = soundfile.read(str(audio), dtype="int16")
    with atomic_path(path) as temporary:
        soundfile.write(str(temporary), samples, rate, format="WAV", subtype="PCM_16")


def _table(orders: list[_Order]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "path", SPEAKER, "transcription", *SLOTS])
    for index, order in enumerate(orders):
        writer.writerow([index, order.path, "unknown", "", *order.slots])
    return text.getvalue()
