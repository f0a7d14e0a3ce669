"""What the samples do alike: they read a table of recordings, and lay these out in the layout of a corpus."""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.corpora import texts
from downstream_runs.corpora.audio import write_audio
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path, sha256_file

NOTICE = """This is a tiny sample of real speech in the layout of {layout}, and not that corpus: {what}.

Numbers measured on it say whether the path learns and nothing else; they carry the label "sample".
SAMPLE.json lists its files; where it is absent only half of the sample was laid out.
"""


def read(table: Path, columns: Sequence[str]) -> list[tuple[str, dict[str, str], Path]]:
    """Of each row of a tab-separated table its place, its cells of `columns`, and the file that it names.

    That file is in the cell `file`, which every such table has. A cell that a row does not have is empty.
    UsageError if the table cannot be read or lacks a column, and for a file outside the table's folder.
    """
    source = table.parent
    again = f"name a folder with {table.name} and the files that it lists"
    rows = csv.DictReader(texts.read(table, again).splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)
    missing = [column for column in columns if column not in (rows.fieldnames or ())]
    if missing:
        raise UsageError(
            f"{table} has no column {missing[0]}, expected {', '.join(columns)} in its first line"
        )
    found = []
    for row in rows:
        place, audio = f"{table} line {rows.line_num}", source / (row["file"] or "")
        if not audio.resolve().is_relative_to(source.resolve()):
            raise UsageError(f"{place} names the file {row['file']}, expected one inside {source}")
        found.append((place, {column: row[column] or "" for column in columns}, audio))
    return found


def facts(what: str, table: Path, instead: Mapping[str, str], **others: Any) -> dict[str, Any]:
    """What SAMPLE.json says beside the hashes; `instead` of a split is what it holds for the official one."""
    return {
        "what": what,
        "source": table.resolve().parent.name,
        "source_table_sha256": sha256_file(table),
        "instead": dict(instead),
        **others,
    }


def lay_out(
    target: Path, facts: Mapping[str, Any], what: str, audio: Mapping[str, Any], lists: Mapping[str, str]
) -> Path:
    """Write `audio` (of each file its source, or samples) and `lists` to `target`, and return that folder.

    A source of the same ending becomes a hard link, or a copy where the file system has none; another is
    written again, sample for sample. A sample that is whole is left as it is. UsageError for a `target` that
    holds something else or cannot be written to.
    """
    target = target.expanduser().absolute()
    if is_whole(target, SAMPLE, facts):
        return target
    with texts.writing(target):
        begin(target, SAMPLE, NOTICE.format(layout=target.name, what=what))
        for name, source in audio.items():
            _write(target / name, source)
        for name, text in lists.items():
            texts.write(target / name, text)
        finish(target, SAMPLE, facts, [*audio, *lists])
    return target


def _write(path: Path, source: Any) -> None:
    import soundfile

    if not isinstance(source, Path):
        write_audio(path, source)
    elif source.suffix == path.suffix:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        # Refused across file systems and for files of others; a copy serves as well.
        with contextlib.suppress(OSError):
            os.link(source.resolve(), path)
            return
        with atomic_path(path) as temporary:
            shutil.copyfile(source, temporary)
    else:
        samples, rate = soundfile.read(str(source), dtype="int16")
        with atomic_path(path) as temporary:
            soundfile.write(str(temporary), samples, rate, format="WAV", subtype="PCM_16")
