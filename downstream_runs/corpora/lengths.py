"""The length tables that s3prl's ASR dataset sorts and batches by (its setting `bucket_file`).

s3prl makes them with a script outside its PyPI package that no longer runs. The format, one
`<split>.csv` each: a nameless counter, `file_path` relative to the LibriSpeech root, `length` in samples,
and an empty `label`; longest first. Files of one length are in the order of their paths here, so that
the table depends on nothing but the corpus.
"""

from __future__ import annotations

import csv
import hashlib
import io
import json
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path

from downstream_runs.corpora.audio import RESTORE, AudioProblem, length
from downstream_runs.corpora.layout import AudioFile, audio_files
from downstream_runs.corpora.outputs import writing
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text, sha256_file

_FORMAT = 1
_SAVE_EVERY = 500


def write_lengths(root: Path, splits: Sequence[str], out_dir: Path) -> Path:
    """Write `<split>.csv` for each split into `out_dir` and return `out_dir`.

    Only headers are read. A table is kept as it is while the names, sizes and times of the split's files
    stay the same; a run that was killed goes on where it stopped. Raises UsageError if a split has no files,
    names the first file that is empty, unreadable, not 16 kHz or not mono with the number of others, and if
    `out_dir` cannot be written to. A table with bad files is not written.
    """
    for split in splits:
        files = audio_files(root, split)
        if not files:
            raise UsageError(
                f"no flac files in {root / split}, expected <speaker>/<chapter>/*.flac; "
                f"unpack {split} of openslr.org/12 there, or try --demo"
            )
        listing = _listing_hash(files)
        with writing(out_dir / f"{split}.csv"):
            if not _is_current(out_dir, split, listing):
                _write_table(files, split, listing, out_dir)
    return out_dir


def _write_table(files: list[AudioFile], split: str, listing: str, out_dir: Path) -> None:
    known = _read_partial(_partial(out_dir, split, listing))
    lengths: dict[str, int] = {}
    problems: list[str] = []
    for file, result in _measure(files, known, split, _partial(out_dir, split, listing)):
        if isinstance(result, int):
            lengths[file.relative] = result
        else:
            problems.append(result)
    if problems:
        others = f" (and {len(problems) - 1:,} more such files)" if len(problems) > 1 else ""
        raise UsageError(
            f"{problems[0]}{others}; {RESTORE}, or unpack {split} of openslr.org/12 again, then start this "
            "again"
        )
    table = out_dir / f"{split}.csv"
    atomic_write_text(table, _format_table(lengths))
    record = {"format": _FORMAT, "listing": listing, "table": sha256_file(table), "utterances": len(lengths)}
    atomic_write_text(_record(out_dir, split), json.dumps(record) + "\n")
    for partial in out_dir.glob(f".{split}.*.partial"):
        partial.unlink(missing_ok=True)


def _measure(
    files: list[AudioFile], known: dict[str, int], split: str, partial: Path
) -> Iterator[tuple[AudioFile, int | str]]:
    """Each file with its length or its problem, saving lengths to `partial` as they come."""
    from tqdm import tqdm

    partial.parent.mkdir(parents=True, exist_ok=True)
    fresh: list[str] = []
    with partial.open("ab", buffering=0) as save:
        for file in tqdm(files, desc=f"lengths {split}", unit="file", disable=None):
            if file.relative in known:
                yield file, known[file.relative]
                continue
            try:
                samples = length(file.path)
            except AudioProblem as problem:
                yield file, str(problem)
                continue
            fresh.append(f"{samples} {file.relative}\n")
            if len(fresh) == _SAVE_EVERY:
                _save(save, fresh)
            yield file, samples
        _save(save, fresh)


def _save(partial: FileIO, lines: list[str]) -> None:
    """Write all lines at once, unbuffered, so that two runs that share the folder cannot mix their lines."""
    # The leading newline ends a line that a killed run left unfinished.
    partial.write(("\n" + "".join(lines)).encode("utf-8", "surrogateescape"))
    lines.clear()


def _format_table(lengths: dict[str, int]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["", "file_path", "length", "label"])
    ordered = sorted(lengths.items(), key=lambda item: (-item[1], item[0]))
    writer.writerows([index, path, samples, ""] for index, (path, samples) in enumerate(ordered))
    return text.getvalue()


def _listing_hash(files: list[AudioFile]) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(f"{file.relative}\0{file.size}\0{file.changed_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


def _is_current(out_dir: Path, split: str, listing: str) -> bool:
    try:
        record = json.loads(_record(out_dir, split).read_text(encoding="utf-8"))
        expected = (_FORMAT, listing, sha256_file(out_dir / f"{split}.csv"))
        return (record["format"], record["listing"], record["table"]) == expected
    except (OSError, ValueError, KeyError, TypeError):
        return False


def _read_partial(partial: Path) -> dict[str, int]:
    """What an earlier run saved; a line that its end cut off is left out."""
    if not partial.is_file():
        return {}
    known: dict[str, int] = {}
    *lines, _ = partial.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    for line in lines:
        samples, _, path = line.partition(" ")
        if path and samples.isascii() and samples.isdigit():
            known[path] = int(samples)
    return known


def _record(out_dir: Path, split: str) -> Path:
    return out_dir / f"{split}.lengths.json"


def _partial(out_dir: Path, split: str, listing: str) -> Path:
    # The listing is part of the name: lengths of files that have changed since are never taken over.
    return out_dir / f".{split}.{listing[:16]}.partial"
