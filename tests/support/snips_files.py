"""A tiny Audio SNIPS of noise."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

from downstream_runs.corpora import markers, snips

LINES = (
    "BOS PLAY BLUE MOON EOS\tO O song song PlayMusic",
    "BOS WEATHER IN ROME PLEASE . EOS\tO O O city O O GetWeather",
    "BOS BOB & ANN EOS\tO artist artist artist PlayMusic",
)


def make(root: Path, lines: tuple[str, ...] = LINES, speakers: int = 2, mark: bool = True) -> Path:
    """Write noise for the first speakers of each split, `lines` for each; returns the root."""
    root = root / "SNIPS"
    if mark:
        markers.begin(root, markers.DEMO, "noise for tests\n")
    text, files = "", []
    for part, names in snips.SPEAKERS.items():
        (root / part).mkdir(parents=True)
        for voice, speaker in enumerate(names[:speakers]):
            for number, line in enumerate(lines):
                name = f"{speaker}-snips-{part}-{number}"
                noise = np.random.default_rng(number).normal(0, 0.1, 8000 + 800 * number + 160 * voice)
                soundfile.write(root / part / f"{name}.wav", noise, 16000)
                text += f"{name} {line}\n"
                files.append(f"{part}/{name}.wav")
    (root / snips.TRANSCRIPTS).write_text(text)
    (root / snips.SLOTS).write_text("O\nsong\ncity\nartist")
    if mark:
        markers.finish(root, markers.DEMO, {}, [*files, snips.TRANSCRIPTS, snips.SLOTS])
    return root
