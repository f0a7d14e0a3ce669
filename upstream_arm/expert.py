"""The students behind s3prl's upstream interface."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pad_sequence

from upstream_arm.checkpoint import load_student, read
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import sha256_file
from upstream_arm.config import StudentConfig
from upstream_arm.config_yaml import load_yaml
from upstream_arm.convolutions import receptive_field
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student

INT16_SCALE = 32_768


class UpstreamExpert(nn.Module):
    """What s3prl calls an upstream: waveforms in, a dict of hidden states out.

    It is `untrained` without a checkpoint. `labels` are what every result with it must say, such as
    "untrained-teacher". `published_states` are the key, and the layer of it (None for the weighted sum over
    all), from which the published SUPERB rows of its family were made.
    """

    def __init__(
        self,
        student: nn.Module,
        checkpoint_path: Path | None = None,
        checkpoint_sha256: str | None = None,
        labels: tuple[str, ...] = (),
        published_states: tuple[str, int | None] = ("hidden_states", None),
    ) -> None:
        super().__init__()
        self.student: Any = student  # a Student, or a model of peers: waveforms and lengths, a StudentOutput
        self.checkpoint_path = checkpoint_path
        self.checkpoint_sha256 = checkpoint_sha256
        self.untrained = checkpoint_path is None
        self.labels = labels
        self.published_states = published_states

    @property
    def switches(self) -> dict[str, str]:
        """The settings that change the arithmetic, for result files; see `StudentConfig.switches`."""
        return self.student.config.switches

    def get_downsample_rates(self, key: str) -> int:
        """Samples from one frame to the next, 320 for the paper's students, whatever the key."""
        _, step = receptive_field(self.student.config.conv_layers)
        return step

    def forward(self, wavs: Sequence[Tensor] | Tensor) -> dict[str, Any]:
        """Compute the features of a batch, in the type of the student's weights.

        The unpadded 16 kHz waveforms are each [sample]; or one tensor [batch, sample] of equally long ones,
        which torch's DataParallel can divide. `hidden_states` is a list of [batch, frame, feature], one a
        layer, `last_hidden_state` the last, and `paper` the one layer that the published rows of its family
        were made from, where it was one. UpstreamError for an empty batch or an unusable waveform.
        """
        checked = prepare_all(wavs)
        if not checked:
            raise UpstreamError("the batch is empty, expected at least one waveform")
        weights = next(self.student.parameters()).dtype
        padded = pad_sequence([wav.to(weights) for wav in checked], batch_first=True)
        output = self.student(padded, [len(wav) for wav in checked])
        states = output.hidden_states
        _, layer = self.published_states
        paper = {} if layer is None else {"paper": states[layer]}
        return {"hidden_states": states, "last_hidden_state": states[-1], **paper}


def from_checkpoint(
    ckpt: Path | str, model_config: Path | str | StudentConfig | None = None, **switches: str | int | None
) -> UpstreamExpert:
    """An upstream with a checkpoint's weights; the arguments and errors are those of `load_student`."""
    checkpoint = read(ckpt)
    student = load_student(checkpoint, model_config=model_config, **switches)
    return UpstreamExpert(student, checkpoint.path, sha256_file(checkpoint.path), checkpoint.labels)


def from_seed(
    config: Path | str | StudentConfig, seed: int = 0, **switches: str | int | None
) -> UpstreamExpert:
    """An untrained upstream with seeded random weights, for smoke tests; it says so on stderr.

    The configuration may be a preset's name or a yaml file. The state of torch's random generator is left as
    it was.
    """
    if not isinstance(config, StudentConfig):
        config = PRESETS[str(config)] if str(config) in PRESETS else load_yaml(config)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        student = Student(config.with_switches(**switches))
    print(
        f"WARNING: this upstream is UNTRAINED (random weights, seed {seed}); "
        "its numbers say nothing about ARMHuBERT.",
        file=sys.stderr,
    )
    return UpstreamExpert(student)


def prepare(wav: Tensor | np.ndarray[Any, Any], name: str = "the waveform") -> Tensor:
    """Check one 16 kHz waveform of torch or numpy, and convert what has one meaning only.

    Accepted are floating point waveforms [sample] or [1, sample], and int16, which is divided by 32768.
    Silence is accepted. They are not normalised: the students were trained on raw waveforms. Returned is
    [sample] of float32, or of the given floating point type. UpstreamError, which calls it `name`, for
    several channels, other integer types, NaN or infinity, or something that is no waveform.
    """
    converted = _converted(wav, name)
    _check_samples([converted], [name])
    return converted


def prepare_all(wavs: Sequence[Tensor] | Tensor) -> list[Tensor]:
    """As `prepare`, for the waveforms of a batch; a GPU is waited for once for all of them."""
    names = [f"waveform {index} of the batch" for index in range(len(wavs))]
    converted = [_converted(wav, name) for wav, name in zip(wavs, names, strict=True)]
    _check_samples(converted, names)
    return converted


def _converted(wav: Tensor | np.ndarray[Any, Any], name: str) -> Tensor:
    """As `prepare`, without a look at the samples."""
    wav = _as_tensor(wav, name)
    if wav.dim() == 2 and wav.shape[0] == 1:
        wav = wav[0]
    if wav.dim() != 1:
        raise UpstreamError(
            f"{name} has shape {list(wav.shape)}, expected [sample]; give one channel, for example their mean"
        )
    if wav.dtype == torch.int16:
        wav = wav.float() / INT16_SCALE
    if not wav.is_floating_point():
        raise UpstreamError(
            f"{name} has type {wav.dtype}, expected floating point samples from -1 to 1 or int16; convert it"
        )
    return wav


def _check_samples(wavs: Sequence[Tensor], names: Sequence[str]) -> None:
    """UpstreamError for a waveform with NaN or infinite samples."""
    filled = [(wav, name) for wav, name in zip(wavs, names, strict=True) if len(wav)]
    if not filled:
        return
    largest = torch.stack(torch._foreach_norm([wav for wav, _ in filled], math.inf))
    for size, (_, name) in zip(largest.tolist(), filled, strict=True):
        if not math.isfinite(size):
            raise UpstreamError(
                f"{name} has NaN or infinite samples, expected finite ones; repair the recording"
            )


def _as_tensor(wav: Any, name: str) -> Tensor:
    if isinstance(wav, Tensor):
        return wav
    if not isinstance(wav, np.ndarray) or wav.dtype.kind not in "fiub" or wav.dtype.itemsize > 8:
        kind = f"a numpy array of {wav.dtype}" if isinstance(wav, np.ndarray) else f"a {type(wav).__name__}"
        raise UpstreamError(f"{name} is {kind}, expected a tensor of samples; give torch.as_tensor(samples)")
    # Other byte orders, and views that run backwards, have no counterpart in torch.
    return torch.from_numpy(np.ascontiguousarray(wav, dtype=wav.dtype.newbyteorder("=")))
