"""A few real coffee orders in the layout of Fluent Speech Commands.

The source has `utterances.tsv` (columns utt, file, split, intent, coffeeDrink, size, ...) and flac files.
Each order has one intent, to order a drink, so the slots are not those of Fluent Speech Commands: `action` is
the intent, the same for all; `object` is the drink; `location` is whether the order gives a size. The audio
is written again as wav, sample for sample.
"""

from __future__ import annotations

from pathlib import Path

from downstream_runs.corpora.audio import AudioFile, problems
from downstream_runs.corpora.checks import require_none
from downstream_runs.corpora.fluent_commands import FOLDER, SLOTS, SPEAKER, TABLES
from downstream_runs.corpora.samples import laid
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import csv_text

TABLE = "utterances.tsv"
COLUMNS = ("utt", "file", "split", "intent", "coffeeDrink", "size")

INSTEAD = "coffee orders of other slots, a drink and whether a size is given; speakers are not known"


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the orders of `source` out in `dest`/fluent_speech_commands_dataset, see `laid.lay_out`.

    UsageError for a source that cannot be used, before anything is written.
    """
    audio: dict[str, Path] = {}
    lines: dict[str, list[list[str]]] = {split: [] for split in TABLES}
    for place, row, file in laid.read(source / TABLE, COLUMNS):
        if row["split"] not in TABLES or Path(row["utt"]).name != row["utt"]:
            raise UsageError(
                f"{place} has the utterance {row['utt']!r} and the split {row['split']!r}, expected a name "
                f"and one of {', '.join(TABLES)}"
            )
        path = f"wavs/speakers/unknown/{row['utt']}.wav"  # the speaker is not known
        audio[path] = file
        slots = [row["intent"], row["coffeeDrink"], "sized" if row["size"] else "unsized"]
        lines[row["split"]].append([str(len(lines[row["split"]])), path, "unknown", "", *slots])
    files = [AudioFile.at(file, source) for file in audio.values()]
    require_none(problems(files, None, "orders"), "restore these files of the sample")
    facts = laid.facts(
        "real speech, a tiny sample of coffee orders, not Fluent Speech Commands",
        source / TABLE,
        dict.fromkeys(TABLES, INSTEAD),
    )
    header = ["", "path", SPEAKER, "transcription", *SLOTS]
    lists = {TABLES[split]: csv_text([header, *rows]) for split, rows in lines.items()}
    return laid.lay_out(dest / FOLDER, facts, INSTEAD, audio, lists)
