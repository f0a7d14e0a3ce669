"""Speaker diarisation on Libri2Mix: who of two speakers speaks when, DER of dscore on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Corpus, MetricSpec, PreparedData, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.corpora import markers
    from downstream_runs.engine.bench import Bench


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Find Libri2Mix or Kaldi-style folders under `data` and hold their tables against the counts."""
    from downstream_runs.corpora import librimix

    return librimix.look(data, _speakers(config), partial)[2]


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find Libri2Mix or Kaldi-style folders under `data`, check them, and write what s3prl reads."""
    from downstream_runs.corpora import librimix

    prepared = librimix.prepare(data, cache / "librimix", _speakers(config), partial)
    return PreparedData(
        root=prepared.root,
        settings={f"loaderrc.{split}_dir": str(folder) for split, folder in prepared.folders.items()},
        utterances=prepared.recordings,
        audio=prepared.audio,
        sha256=prepared.sha256,
        **prepared.standing.facts,
    )


def _speakers(config: Mapping[str, Any]) -> int:
    """How many speakers a recording may have; UsageError for settings that s3prl's scoring does not know."""
    from upstream_arm.common.errors import UsageError

    datarc = config["downstream_expert"]["datarc"]
    for key, expected in (("rate", 16000), ("subsampling", 1)):
        # s3prl's scoring takes both for granted, whatever the head was trained with.
        if datarc[key] != expected:
            raise UsageError(
                f"downstream_expert.datarc.{key} is {datarc[key]!r}, {expected} was expected: s3prl's "
                "scoring knows no other; leave that setting out"
            )
    return int(datarc["num_speakers"])


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """s3prl's frame accuracy and frame DER, means over chunks, which nothing but its log holds."""
    return (
        Score("frame_acc", 100.0 * scalars[f"diarization/{split}-acc"], {}),
        Score("frame_der", 100.0 * scalars[f"diarization/{split}-der"], {}),
    )


def used(dataset: Any) -> int:
    """Recordings in s3prl's training set, of which each may give several chunks."""
    return len({recording for recording, _, _ in dataset.chunk_indices})


def demo(folder: Path) -> Path:
    """The synthetic Libri2Mix, made in `folder`."""
    from downstream_runs.corpora.demo import librimix

    return librimix.make(folder)


def test(bench: Bench) -> tuple[Metric, ...]:
    """DER, the lowest of ten ways from probabilities to turns on test and, beside it, on dev."""
    from downstream_runs.protocols import sd

    return sd.test(bench)


TASK = TaskSpec(
    name="sd",
    title="Speaker diarization",
    s3prl_name="diarization",
    aliases=("diarization", "speaker-diarization", "diarisation"),
    corpus=Corpus(
        name="Libri2Mix train-100, dev, test (16 kHz, max, mix_both)",
        licence="LibriSpeech CC BY 4.0, WHAM! noise CC BY-NC 4.0",
        size="7.7 GB of mixtures, 31 GB with their sources and noise",
        url="https://github.com/s3prl/LibriMix",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(
        MetricSpec("der", "diarization error rate", "percent", "lower", None),
        MetricSpec(
            "frame_acc",
            "frame accuracy",
            "percent",
            "higher",
            "diarization/{split}-acc",
            100.0,
            official=False,
        ),
        # Not the official number: over 10 or 20 ms frames, a mean over chunks, at threshold 0.5.
        MetricSpec(
            "frame_der",
            "frame-level DER",
            "percent",
            "lower",
            "diarization/{split}-der",
            100.0,
            official=False,
        ),
    ),
    selection=Selection(split="dev", metric="frame_acc", artefact="best-states-dev.ckpt", s3prl_bound=0.0),
    artefacts=("best-states-dev.ckpt", "frame_shift"),
    recipes=Recipes("sd"),
    prepare=prepare,
    look=look,
    data_keys=tuple(
        f"downstream_expert.datarc.{key}"
        for key in ("chunk_size", "label_delay", "num_speakers", "frame_shift")
    ),
    score=score,
    used=used,
    demo=demo,
    test=test,
)
