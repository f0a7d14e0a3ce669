"""How long VoxCeleb1's utterances are once s3prl has cut the silence out of them.

s3prl's speaker verification trims every training file before its first step, to drop those that are too
short, with twelve processes and no way to go on after a kill. Here it is done once a file, and kept.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.voxceleb1 import Recording
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path
from upstream_arm.common.processes import cores

EFFECTS: tuple[tuple[str, ...], ...] = (
    ("channels", "1"),
    ("rate", "16000"),
    ("gain", "-3.0"),
    ("silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"),
)
"""s3prl's own (0.4.18, downstream/sv_voxceleb1/dataset.py)."""

LENGTHS_SUFFIX = ".lengths.pt"
"""How a table of trimmed lengths is called; it may stand for s3prl's `train_meta_data` (see the bridge)."""

_TABLE = "trimmed-lengths.txt"
_SAVE_EVERY = 100


def trimmed_lengths(files: Sequence[Recording], cache: Path) -> dict[str, int]:
    """Samples of each file after s3prl's trim, by its name.

    `cache` keeps what was found by name, size and time of change; a run that was killed goes on. UsageError
    for a file that cannot be decoded.
    """
    table = cache / _TABLE
    with writing(table):
        known = _read(table)
        found = {file.name: known.get(_key(file)) for file in files}
        missing = [file for file in files if found[file.name] is None]
        if missing:
            cache.mkdir(parents=True, exist_ok=True)
            for file, samples in _trim_all(missing, table):
                found[file.name] = samples
    return {name: samples for name, samples in found.items() if samples is not None}


def write_s3prl_table(lengths: Mapping[str, int], cache: Path) -> Path:
    """Write `lengths` as s3prl keeps them: `[[(speaker, video, file), ...], [samples, ...]]`."""
    import torch

    names = sorted(lengths)
    text = "".join(f"{lengths[name]} {name}\n" for name in names)
    path = cache / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}{LENGTHS_SUFFIX}"
    with writing(path):
        if path.is_file():
            return path
        with atomic_path(path) as temporary:
            torch.save(
                [[tuple(name.split("/")) for name in names], [lengths[name] for name in names]], temporary
            )
    return path


def require_two_speakers(root: Path, kept: Sequence[str], listed: int, least: int) -> None:
    """UsageError unless the utterances that are long enough are of two speakers at least."""
    speakers = {name[:7] for name in kept}
    if len(speakers) < 2:
        raise UsageError(
            f"{len(kept):,} of {listed:,} training utterances in {root} have more than {least:,} samples "
            f"({least / 16_000:g} s) after s3prl's cut of silence, of {len(speakers)} speakers; two speakers "
            "at least were expected: use longer recordings, or the real VoxCeleb1"
        )


def _trim_all(files: Sequence[Recording], table: Path) -> Iterator[tuple[Recording, int]]:
    """Each file with its trimmed length, saving as they come."""

    from tqdm import tqdm

    # Threads suffice: decoding and numpy's sums run outside the interpreter's lock.
    pool = ThreadPoolExecutor(max_workers=cores())
    fresh: list[str] = []
    try:
        with table.open("ab", buffering=0) as save:
            lengths = pool.map(_trim, (file.path for file in files))
            shown = tqdm(lengths, total=len(files), desc="trim VoxCeleb1", unit="file", disable=None)
            try:
                for file, samples in zip(files, shown, strict=True):
                    fresh.append(f"{samples} {_key(file)}\n")
                    if len(fresh) == _SAVE_EVERY:
                        _save(save.write, fresh)
                    yield file, samples
            finally:
                _save(save.write, fresh)
    finally:
        pool.shutdown(cancel_futures=True)


def _trim(path: Path) -> int:
    from downstream_runs.audio.effects import apply_effects_file

    return int(apply_effects_file(path, EFFECTS)[0].shape[1])


def _save(write: object, lines: list[str]) -> None:
    # All at once, so that two runs cannot mix their lines; the newline ends one that a kill left unfinished.
    write(("\n" + "".join(lines)).encode("utf-8", "surrogateescape"))  # type: ignore[operator]
    lines.clear()


def _key(file: Recording) -> str:
    return f"{file.size} {file.changed_ns} {file.name}"


def _read(table: Path) -> dict[str, int]:
    """What earlier runs saved; a line that a kill cut off is no whole one and is left out."""
    if not table.is_file():
        return {}
    known: dict[str, int] = {}
    for line in table.read_text(encoding="utf-8", errors="surrogateescape").split("\n"):
        samples, _, key = line.partition(" ")
        if samples.isascii() and samples.isdigit() and key.count(" ") == 2 and key.endswith(".wav"):
            known[key] = int(samples)
    return known


def too_short(lengths: Mapping[str, int], names: Sequence[str], least: int) -> None:
    """UsageError naming the first of `names` that has fewer than `least` samples left."""
    short = [name for name in names if lengths[name] < least]
    if short:
        others = f" (and {len(short) - 1:,} more)" if len(short) > 1 else ""
        raise UsageError(
            f"{short[0]}{others} has {lengths[short[0]]:,} samples left after s3prl's cut of silence, "
            f"{least:,} at least were expected: the head needs 15 frames and their spread; "
            "restore the file from the corpus, or take it out of the trials"
        )
