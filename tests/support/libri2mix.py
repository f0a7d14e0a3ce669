"""A tiny generated Libri2Mix of noise: one mixture a split, with two real lines of LibriMix's metadata."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile

# Mixtures of the official dev set, and the speech of their sources as dev_clean.rttm has it.
FIRST, SECOND = "3536-8226-0026_1673-143397-0009", "2412-153948-0008_777-126732-0053"
SAMPLES = {FIRST: 155200, SECOND: 93040}
SPEECH = """\
SPEAKER 8226-0026 1   0.300   9.100 <NA> <NA> 3536 <NA> <NA>
SPEAKER 143397-0009 1   0.260   3.110 <NA> <NA> 1673 <NA> <NA>
SPEAKER 153948-0008 1   0.460   5.160 <NA> <NA> 2412 <NA> <NA>
SPEAKER 126732-0053 1   0.380   2.400 <NA> <NA> 777 <NA> <NA>
"""
PARTS = {"train-100": "train_clean_100", "dev": "dev_clean", "test": "test_clean"}
OFFICIAL = {"train": 2, "dev": 2, "test": 2}


def make(root: Path) -> Path:
    """Write it under `root`/Libri2Mix, as if it had been generated in another folder."""
    base = root / "Libri2Mix" / "wav16k" / "max"
    random = np.random.default_rng(3)
    for part, speech in PARTS.items():
        (base / part / "mix_both").mkdir(parents=True)
        rows = ["mixture_ID,mixture_path,source_1_path,source_2_path,noise_path,length"]
        for name, samples in SAMPLES.items():
            path = base / part / "mix_both" / f"{name}.wav"
            soundfile.write(path, random.normal(0, 0.01, samples), 16000)
            old = f"/elsewhere/Libri2Mix/wav16k/max/{part}"
            rows.append(f"{name},{old}/mix_both/{name}.wav,{old}/s1,{old}/s2,{old}/noise,{samples}")
        (base / "metadata").mkdir(exist_ok=True)
        table = base / "metadata" / f"mixture_{part}_mix_both.csv"
        table.write_text("\n".join(rows) + "\n")
        rttm = root / "LibriMix" / "metadata" / "LibriSpeech" / f"{speech}.rttm"
        rttm.parent.mkdir(parents=True, exist_ok=True)
        rttm.write_text(SPEECH)
    return root / "Libri2Mix"
