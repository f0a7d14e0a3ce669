"""Speaker diarisation on Libri2Mix: who of two speakers speaks when, DER of dscore on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Score
from downstream_runs.corpora import librimix
from downstream_runs.protocols import sd
from downstream_runs.tasks import task


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """s3prl's frame accuracy and frame DER, means over chunks, which nothing but its log holds."""
    return (
        Score("frame_acc", 100.0 * scalars[f"diarization/{split}-acc"], {}),
        Score("frame_der", 100.0 * scalars[f"diarization/{split}-der"], {}),
    )


def used(dataset: Any) -> int:
    """Recordings in s3prl's training set, of which each may give several chunks."""
    return len({recording for recording, _, _ in dataset.chunk_indices})


TASK = task("sd", librimix.CORPUS, score, test=sd.test, used=used)
