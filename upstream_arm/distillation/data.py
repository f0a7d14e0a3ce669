"""Speech to distil on: folders of flac or wav files, and batches of them that are the same by their number.

Order, masks and dropout of a batch follow from the run's seed and the batch's number alone. So a run that
goes on after a kill, and one on more devices, work through the very same batches.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

from upstream_arm import folders
from upstream_arm.common import devices, stages
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import atomic_write_text, read_json
from upstream_arm.common.program import PROGRAM
from upstream_arm.config import ConvLayer
from upstream_arm.convolutions import frames
from upstream_arm.distillation.masking import sample_mask
from upstream_arm.distillation.settings import MaskRatio
from upstream_arm.frontend import valid_frames

SAMPLE_RATE = 16_000
#: The first frame of the paper's students needs so many samples.
SHORTEST = 400
SUFFIXES = (".flac", ".wav")
#: A made corpus carries one of these files, and everything made from it the label.
MARKS = {"DEMO.txt": "demo", "SAMPLE.txt": "sample"}
# What a random generator is for, beside the seed.
_ORDER, _MASK, _DROPOUT, _VALIDATION = range(4)


@dataclasses.dataclass(frozen=True)
class Utterance:
    """A recording and its length in samples at 16 kHz."""

    path: Path
    samples: int


@dataclasses.dataclass(frozen=True)
class Batch:
    """Utterances that go through the models together."""

    number: int
    wavs: Tensor  # [batch, sample] of float32, zero-padded
    lengths: list[int]  # samples of each utterance
    valid: Tensor  # [batch, frame] of bool, False for padding
    mask: Tensor | None  # [batch, frame] of bool, True for masked frames; None without masking

    @property
    def masked_fraction(self) -> float:
        """Masked frames among all that are not padding."""
        return 0.0 if self.mask is None else float(self.mask.sum() / self.valid.sum())

    def pin_memory(self) -> Batch:
        """For the loader: page-locked, to be copied to a GPU in the background."""
        return self._changed(Tensor.pin_memory)

    def to(self, device: torch.device) -> Batch:
        """The same on a device."""
        return self._changed(lambda tensor: devices.to_device(tensor, device))

    def _changed(self, change: Callable[[Tensor], Tensor]) -> Batch:
        mask = None if self.mask is None else change(self.mask)
        return dataclasses.replace(self, wavs=change(self.wavs), valid=change(self.valid), mask=mask)


class DistillationDataset(Dataset[Batch]):
    """Numbered batches, epoch after epoch of shuffled buckets (the utterances of each batch of an epoch).

    The student's convolutions give the numbers of frames; `ratio` is that of masked frames, None for no
    masking, and `epochs` those of the whole run, for the ratio's schedule. Not `shuffled`, for validation, it
    is one epoch in order, with masks that no training batch has.
    """

    def __init__(
        self,
        buckets: Sequence[Sequence[Utterance]],
        conv_layers: tuple[ConvLayer, ...],
        ratio: MaskRatio | None,
        epochs: int,
        seed: int,
        shuffled: bool = True,
    ) -> None:
        self.buckets, self.conv_layers, self.ratio = buckets, conv_layers, ratio
        self.epochs, self.seed, self.shuffled = epochs, seed, shuffled

    def __len__(self) -> int:
        return len(self.buckets) * (self.epochs if self.shuffled else 1)

    def __getitem__(self, number: int) -> Batch:
        epoch, place = divmod(number, len(self.buckets))
        if self.shuffled:
            order = np.random.default_rng([self.seed, _ORDER, epoch]).permutation(len(self.buckets))
            place = int(order[place])
        wavs = [read(utterance) for utterance in self.buckets[place]]
        lengths = [len(wav) for wav in wavs]
        counts = [frames(length, self.conv_layers) for length in lengths]
        mask = None
        if self.ratio is not None:
            kind = _MASK if self.shuffled else _VALIDATION
            generator = np.random.default_rng([self.seed, kind, number])
            # Validation keeps the last ratio, so that its numbers can be compared over a schedule.
            ratio = self.ratio.at(epoch, self.epochs) if self.shuffled else self.ratio.end
            mask = torch.from_numpy(sample_mask(counts, ratio, generator))
        valid = valid_frames(counts, max(counts), torch.device("cpu"))
        return Batch(number, pad_sequence(wavs, batch_first=True), lengths, valid, mask)


def seed_dropout(seed: int, number: int) -> None:
    """Start torch's generators for batch `number`."""
    torch.manual_seed(int(np.random.SeedSequence([seed, _DROPOUT, number]).generate_state(1)[0]))


def read(utterance: Utterance) -> Tensor:
    """The samples of a recording, [sample] of float32.

    UpstreamError if the file is not what its length was read from, or a sample is no finite number.
    """
    path = utterance.path
    try:
        samples, _ = soundfile.read(str(path), dtype="float32")
    except (soundfile.LibsndfileError, OSError) as error:
        raise UpstreamError(f"{path} cannot be read ({error}); replace or remove it") from None
    if samples.shape != (utterance.samples,) or not np.isfinite(samples).all():
        raise UpstreamError(
            f"{path} has samples of shape {samples.shape}, {int(np.isfinite(samples).sum())} of them finite "
            f"numbers, expected {utterance.samples} finite ones; it is damaged or has changed: replace it "
            "and run the same command again"
        )
    return torch.from_numpy(samples)


def find_root(data: Path) -> Path:
    """The folder with the splits: DATA/LibriSpeech where it exists, else DATA itself, which must be there."""
    if not data.is_dir():
        raise UpstreamError(
            f"{data} is no folder, expected speech to distil on; get LibriSpeech from openslr.org/12, or "
            f"make the demo corpus with '{PROGRAM} armhubert asr --demo' and give runs/demo-data"
        )
    return data / "LibriSpeech" if (data / "LibriSpeech").is_dir() else data


def labels(root: Path) -> tuple[str, ...]:
    """What has to be said of everything that is learnt from this corpus."""
    return tuple(label for mark, label in MARKS.items() if (root / mark).is_file())


def buckets(utterances: Sequence[Utterance], size: int) -> list[list[Utterance]]:
    """Batches of neighbours in length, the longest first, as the authors' training forms them."""
    ordered = sorted(utterances, key=lambda utterance: (-utterance.samples, str(utterance.path)))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def find_utterances(root: Path, splits: Sequence[str], cache: Path) -> list[Utterance]:
    """Every recording in some folders of `root`, in the order of the names.

    Lengths are kept in the json file `cache`, by name, size and time of change: the second call is quick.
    UpstreamError for a split without recordings, a recording that cannot be used, and as `folders.walk`.
    """
    paths = [path for split in splits for path in _recordings(root, split)]
    known: dict[str, Any] = read_json(cache) or {}
    current: dict[str, Any] = {}
    for path in stages.bar(paths, "reading lengths", len(paths), unit="file", delay=stages.SECONDS):
        status = path.stat()
        entry, version = known.get(str(path)), [status.st_size, status.st_mtime_ns]
        usable = isinstance(entry, list) and len(entry) == 3 and entry[:2] == version
        current[str(path)] = entry if usable else [*version, samples(path)]
    if known != {**known, **current}:
        atomic_write_text(cache, json.dumps({**known, **current}))
    return [Utterance(path, current[str(path)][2]) for path in paths]


def _recordings(root: Path, split: str) -> list[Path]:
    folder = root / split
    files = sorted(folders.walk(folder, SUFFIXES)) if folder.is_dir() else []
    if not files:
        what = "has no flac or wav files" if folder.is_dir() else "does not exist"
        raise UpstreamError(
            f"{folder} {what}, expected the recordings of {split}; give the folder that holds it (--data), "
            "or other splits (--train, --dev)"
        )
    return files


def samples(path: Path) -> int:
    """The length of a recording, from its header; UpstreamError if it cannot be used."""
    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise UpstreamError(f"{path} cannot be read as audio ({error}); replace or remove it") from None
    if (info.samplerate, info.channels) != (SAMPLE_RATE, 1) or info.frames < SHORTEST:
        raise UpstreamError(
            f"{path} has {info.frames} samples at {info.samplerate} Hz in {info.channels} channels, expected "
            f"at least {SHORTEST} (one frame) at {SAMPLE_RATE} Hz in one; resample it, for example with "
            "soxr, or remove it"
        )
    return int(info.frames)
