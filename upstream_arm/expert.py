"""The students behind s3prl's upstream interface."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

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
from upstream_arm.waveforms import prepare


class UpstreamExpert(nn.Module):
    """What s3prl calls an upstream: waveforms in, a dict of hidden states out.

    Attributes:
        student: the model.
        untrained: True if its weights are random.
        checkpoint_path: the file of its weights, None if they are random.
        checkpoint_sha256: that file's hash.
        labels: what the checkpoint says that every result with it must say, such as "untrained-teacher".
    """

    def __init__(
        self,
        student: Student,
        checkpoint_path: Path | None = None,
        checkpoint_sha256: str | None = None,
        labels: tuple[str, ...] = (),
    ) -> None:
        super().__init__()
        self.student = student
        self.checkpoint_path = checkpoint_path
        self.checkpoint_sha256 = checkpoint_sha256
        self.untrained = checkpoint_path is None
        self.labels = labels

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

        Args:
            wavs: unpadded 16 kHz waveforms, each [sample]; or one tensor [batch, sample] of equally long
                ones, which torch's DataParallel can divide.

        Returns:
            `hidden_states`: a list of [batch, frame, feature], one a layer; `last_hidden_state`: the last.

        Raises:
            UpstreamError: for an empty batch or a waveform that cannot be used.
        """
        checked = [prepare(wav, f"waveform {index} of the batch") for index, wav in enumerate(wavs)]
        if not checked:
            raise UpstreamError("the batch is empty, expected at least one waveform")
        weights = self.student.mask_emb.dtype
        padded = pad_sequence([wav.to(weights) for wav in checked], batch_first=True)
        output = self.student(padded, [len(wav) for wav in checked])
        return {"hidden_states": output.hidden_states, "last_hidden_state": output.hidden_states[-1]}


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
