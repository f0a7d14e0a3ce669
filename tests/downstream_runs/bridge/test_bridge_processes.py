"""Processes that are started from a bridged one have the bridge before they import anything of s3prl."""

from __future__ import annotations

import multiprocessing
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from torch.utils.data import DataLoader


@pytest.fixture
def wav(tmp_path: Path) -> Path:
    path = tmp_path / "speech.wav"
    soundfile.write(path, np.full(1600, 0.25, dtype=np.float32), 16000)
    return path


@pytest.mark.parametrize("method", ["spawn", "forkserver"])
def test_a_loader_of_s3prl_reads_in_processes_that_inherit_nothing(
    method: str, wav: Path, bridged: None
) -> None:
    from s3prl.downstream.speech_commands.dataset import SpeechCommandsDataset

    # Its module imports torchaudio.sox_effects, and its items are read by torchaudio.
    dataset = SpeechCommandsDataset([("yes", str(wav))], speech_commands_root=str(wav.parent))
    loader: Any = DataLoader(
        dataset,
        batch_size=1,
        num_workers=1,
        collate_fn=dataset.collate_fn,
        multiprocessing_context=method,
    )
    ((waves, labels, _),) = [tuple(batch) for batch in loader]
    assert torch.as_tensor(waves[0]).shape == (1600,)
    assert list(labels) == [dataset.class2index["yes"]]


def test_processes_of_joblib(wav: Path, tmp_path: Path, bridged: None) -> None:
    from s3prl.util.audio_info import get_audio_info

    # Found by its name in the process, which imports the module of s3prl and with it torchaudio.
    (info,) = get_audio_info([str(wav)], ["speech"], str(tmp_path), num_workers=2)
    assert info["num_frames"] == 1600


def where(queue: Any) -> None:
    import torchaudio

    queue.put(hasattr(torchaudio, "info"))


def test_a_forked_process_has_it_anyway(bridged: None) -> None:
    context = multiprocessing.get_context("fork")
    queue = context.SimpleQueue()
    process = context.Process(target=where, args=(queue,))
    process.start()
    assert queue.get()
    process.join()
