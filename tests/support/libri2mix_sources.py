"""Sources of a hundred official mixtures, which a table in tests/data lists, and what LibriMix made of them.

`python libri2mix_sources.py FOLDER [SPEECH]` writes the sources, and the table of each split as LibriMix has
it, for its own script. SPEECH holds folders of real recordings, of which each source is then a piece; else
the sources are noise. All noise is bytes of Python's generator, which are the same in every version.
"""

from __future__ import annotations

import csv
import random
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray

from downstream_runs.corpora.librimix import SPLITS

TABLE = Path(__file__).resolve().parents[1] / "data" / "libri2mix" / "hundred.csv"

COLUMNS = (
    "mixture_ID",
    "source_1_path",
    "source_1_gain",
    "source_2_path",
    "source_2_gain",
    "noise_path",
    "noise_gain",
)
"""Of LibriMix's own tables."""

RECORDINGS = ("librispeech_test_other", "librispeech_train_clean_100")
"""The folders of SPEECH, with flac files."""

Row = dict[str, str]


def rows(split: str = "") -> list[Row]:
    """The rows of a split, or all."""
    with TABLE.open(newline="") as file:
        return [row for row in csv.DictReader(file) if split in ("", row["split"])]


def lay(root: Path, chosen: Sequence[Row], speech: Path | None = None) -> Path:
    """`root`/LibriSpeech, `root`/wham_noise and a clone `root`/LibriMix with the rows; returns the clone."""
    real = None
    if speech is not None:
        files = [path for name in RECORDINGS for path in sorted((speech / name).rglob("*.flac"))]
        real = np.concatenate([soundfile.read(path, dtype="int16")[0] for path in files])
    for row in chosen:
        for number in (1, 2):
            name, count = row[f"source_{number}_path"], int(row[f"source_{number}_samples"])
            wave = _noise(name, count) // 4
            if real is not None:
                first = random.Random(name).randrange(len(real) - count)
                wave = real[first : first + count]
            _write(root / "LibriSpeech" / name, wave)
        _write_noise(root / "wham_noise" / row["noise_path"], int(row["noise_samples"]), row["noise_form"])
    for split in SPLITS:
        _write_tables(root / "LibriMix", split, [row for row in chosen if row["split"] == split])
    return root / "LibriMix"


def _write_tables(clone: Path, split: str, chosen: Sequence[Row]) -> None:
    """The rows, and one stretch of speech for each source, 0.1 s after its start to 0.1 s before its end."""
    turns = {}
    for row in chosen:
        for number in (1, 2):
            speaker, reading = Path(row[f"source_{number}_path"]).stem.split("-", 1)
            seconds = int(row[f"source_{number}_samples"]) / 16_000 - 0.2
            turns[reading] = f"SPEAKER {reading} 1 0.100 {seconds:.3f} <NA> <NA> {speaker} <NA> <NA>\n"
    lines = [COLUMNS, *([row[name] for name in COLUMNS] for row in chosen)]
    texts = ("".join(turns.values()), "".join(",".join(line) + "\n" for line in lines))
    for file, text in zip(SPLITS[split].tables, texts, strict=True):
        (clone / file.path).parent.mkdir(parents=True, exist_ok=True)
        (clone / file.path).write_text(text)


def _noise(seed: str, count: int) -> NDArray[np.int16]:
    return np.frombuffer(random.Random(seed).randbytes(2 * count), "<i2").astype(np.int16)


def _write_noise(path: Path, count: int, form: str) -> None:
    """Two channels as WHAM! has them, or one; loud enough that the mixture is cut off; or float samples."""
    channels = 1 if form == "mono" else 2
    wave = _noise(path.name, count * channels).reshape(count, channels)
    if form == "float":
        _write(path, (wave / 1e5).astype(np.float32))
    else:
        _write(path, wave if form == "loud" else wave // 16)


def _write(path: Path, wave: NDArray[np.int16] | NDArray[np.float32]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    subtype = "FLOAT" if wave.dtype == np.float32 else "PCM_16"
    soundfile.write(path, wave, 16_000, subtype=subtype)


if __name__ == "__main__":
    lay(Path(sys.argv[1]), rows(), Path(sys.argv[2]) if len(sys.argv) > 2 else None)
