"""A corpus of one's own in seconds: tones of three pitches by speakers of other loudness, and its table."""

from __future__ import annotations

import csv
import hashlib
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import soundfile

PITCHES = {"low": 220.0, "middle": 660.0, "high": 1980.0}
TEXTS = {
    "low": {"transcript": "LOW NOTE", "units": "l ow n"},
    "middle": {"transcript": "MID", "units": "m ih d"},
    "high": {"transcript": "HIGH", "units": "hh ay"},
}
SPLITS = {"anna": "train", "bert": "train", "cleo": "valid", "dora": "test", "emil": "test"}


def rows(pieces: int = 2) -> list[dict[str, str]]:
    """The rows of the table: each speaker has so many pieces of each pitch."""
    return [
        {
            "path": f"audio/{speaker}/{label} {piece}.wav",
            "label": label,
            "split": split,
            "speaker": speaker,
            **TEXTS[label],
        }
        for speaker, split in SPLITS.items()
        for label in PITCHES
        for piece in range(pieces)
    ]


def make(folder: Path, table: Sequence[Mapping[str, str]] | None = None, name: str = "tones.csv") -> Path:
    """The audio of `rows`, and the table of it, or another one."""
    random = np.random.default_rng(0)
    for number, row in enumerate(rows()):
        path = folder / row["path"]
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            time = np.arange(4800 + 160 * (number % 7)) / 16_000
            wave = (0.1 + 0.02 * (number % 5)) * np.sin(2 * np.pi * PITCHES[row["label"]] * time)
            soundfile.write(path, wave + random.normal(0, 0.01, len(time)), 16_000)
    return write(folder / name, rows() if table is None else table)


def write(path: Path, table: Sequence[Mapping[str, str]]) -> Path:
    """A table of these rows."""
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(table[0]))
        writer.writeheader()
        writer.writerows(table)
    return path


def sha256(path: Path) -> str:
    """Of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def in_folders(folder: Path) -> Path:
    """The audio of `rows` as `data/SPLIT/LABEL/*.wav`; returns `data`."""
    make(folder / "flat")
    for row in rows():
        place = folder / "data" / row["split"].replace("valid", "dev") / row["label"]
        place.mkdir(parents=True, exist_ok=True)
        shutil.copy(folder / "flat" / row["path"], place / f"{row['speaker']}-{row['path'][-5:]}")
    return folder / "data"


def voices(folder: Path, parts: Mapping[str, str]) -> list[dict[str, str]]:
    """Three files of each speaker, noise with a pitch of its own, a second long; their rows."""
    random = np.random.default_rng(1)
    found = []
    for number, (speaker, split) in enumerate(parts.items()):
        for piece in range(3):
            path = folder / "voices" / f"{speaker}-{piece}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            tone = 0.2 * np.sin(2 * np.pi * (200 + 300 * number) * np.arange(16_000) / 16_000)
            soundfile.write(path, tone + random.normal(0, 0.05, 16_000), 16_000)
            found.append({"path": f"voices/{path.name}", "speaker": speaker, "split": split})
    return found


def turns(folder: Path) -> list[dict[str, str]]:
    """Rows of recordings of two voices, 3 s long, with their RTTM file; one turn in each has 1.7 s."""
    random = np.random.default_rng(2)
    found, lines = [], []
    for number, split in enumerate(("train",) * 4 + ("dev",) * 2 + ("test",) * 2):
        name, wave = f"talk{number}", random.normal(0, 0.01, 48_000)
        for voice, start, length in ((0, 0.25, 0.75), (1, 0.8, 1.7), (0, 2.1 + 0.05 * number, 0.5)):
            first, last = round(start * 16_000), round((start + length) * 16_000)
            wave[first:last] += 0.2 * np.sin(2 * np.pi * (300, 900)[voice] * np.arange(last - first) / 16_000)
            speaker = f"{split}{voice}"
            lines.append(f"SPEAKER {name} 1 {start:.3f} {length:.3f} <NA> <NA> {speaker} <NA> <NA>\n")
        (folder / "talks").mkdir(parents=True, exist_ok=True)
        soundfile.write(folder / "talks" / f"{name}.flac", wave, 16_000)
        found.append({"path": f"talks/{name}.flac", "rttm": "all.rttm", "split": split})
    (folder / "all.rttm").write_text("".join(lines))
    return found
