"""s3prl's ER data set with its audio read when it is needed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile


def test_items_are_those_of_stock_s3prl_and_no_audio_is_held(
    bridged: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3prl.downstream.emotion import dataset

    generator = np.random.default_rng(0)
    rows = []
    for number, label in enumerate(("neu", "hap", "ang")):
        soundfile.write(tmp_path / f"{number}.wav", generator.uniform(-0.5, 0.5, 9000 + number), 16000)
        rows.append({"path": f"{number}.wav", "label": label, "speaker": "1"})
    table = tmp_path / "table.json"
    table.write_text(json.dumps({"labels": {"neu": 0, "hap": 1, "ang": 2}, "meta_data": rows}))
    read: list[Any] = []
    load = dataset.IEMOCAPDataset._load_wav
    monkeypatch.setattr(
        dataset.IEMOCAPDataset, "_load_wav", lambda self, path: read.append(path) or load(self, path)
    )
    ours = dataset.IEMOCAPDataset(str(tmp_path), str(table), pre_load=True)
    assert read == []
    assert len(ours.wavs) == len(rows)
    items = [ours[number] for number in (2, 0, 1, 2)]
    assert read == ["2.wav", "0.wav", "1.wav", "2.wav"]
    stock = dataset.IEMOCAPDataset(str(tmp_path), str(table), pre_load=False)
    for item, number in zip(items, (2, 0, 1, 2), strict=True):
        wave, *others = stock[number]
        assert np.array_equal(item[0], wave)
        assert list(item[1:]) == others
