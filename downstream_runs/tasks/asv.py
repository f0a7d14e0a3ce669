"""Automatic speaker verification on VoxCeleb1: whether one speaker says two utterances."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Score
from downstream_runs.corpora import voxceleb1_verification
from downstream_runs.protocols import asv
from downstream_runs.tasks import task


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER of `split` from the trials' labels and scores that s3prl wrote to `folder`."""
    return (asv.equal_error_rate(asv.read_scored(folder, split)),)


TASK = task("asv", voxceleb1_verification.CORPUS, score, test=asv.test)
