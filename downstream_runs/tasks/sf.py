"""Slot filling on Audio SNIPS: characters and slot marks by CTC, slot-type F1 and slot-value CER on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Recipe,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import snips
from downstream_runs.tasks import _blocks, _ctc

_METRICS = (
    "slot_type_f1",
    "slot_value_cer",
    "slot_value_wer",
    "slot_edit_f1_full",
    "slot_edit_f1_part",
    "wer",
    "cer",
)


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: int,
    head: tuple[int, tuple[int, ...], float],
    workers: int,
    specaug: bool = True,
    metrics: tuple[str, ...] = _METRICS,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `head` is projection, BiLSTMs, dropout."""
    expert = {
        "corpus": {
            "name": "snips",
            "train": ["train"],
            "dev": ["valid"],
            "test": ["test"],
            "bucketing": True,
            "batch_size": batch,
            **{f"{part}_speakers": list(names) for part, names in snips.SPEAKERS.items()},
            "num_workers": workers,
        },
        "text": {"mode": "character-slot"},
        "model": {"zero_infinity": True, **_blocks.bilstm(*head)},
        "metric_higher_better": True,
        "metric": list(metrics),
        "save_best_on": ["dev"],
    }
    config = _blocks.config(steps=steps, every=every, lr=lr, expert=expert, warmup=warmup)
    if specaug:
        config["specaug"] = _blocks.specaug()
    return config


_SUPERB: dict[str, Any] = {
    "steps": 200_000,
    "every": (100, 2000, 500),
    "lr": 1e-4,
    "batch": 32,
    "head": (1024, (1024, 1024), 0.2),
    "workers": 12,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults; an epoch has a bucket for each utterance, so about 32 passes",
        source="s3prl 0.4.18, downstream/ctc/snips.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, warmup=1400),
        note="as superb, with the learning-rate schedule switched on: linear to the peak at 1400, then to 0",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(
            steps=120,
            every=(10, 60, 60),
            lr=5e-3,
            batch=8,
            head=(128, (128,), 0.1),
            workers=0,
            specaug=False,
            metrics=_METRICS[:2],
        ),
        "a small head and few steps: shows that everything works, says nothing about the upstream",
    ),
}
RECIPES["sample"] = _blocks.own(
    "sample",
    RECIPES["demo"].copy_config(),
    "as demo; this project lays out no real sample of Audio SNIPS",
)


def check(config: Mapping[str, Any]) -> None:
    """UsageError for other s3prl classes or metrics than the task's."""
    _ctc.require_fixed(config["downstream_expert"], RECIPES["superb"].config["downstream_expert"])


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Slot-type F1 and slot-value CER of `split` from what s3prl wrote to `folder`."""
    from downstream_runs.scoring import slots

    reference, hypothesis = _ctc.read_arks(folder, split)
    counts = slots.score(reference, hypothesis)
    single = {
        name: slots.score({name: reference[name]}, {name: hypothesis[name]}) for name in sorted(reference)
    }
    speaker = snips.speaker
    f1 = tuple(Item(name, speaker(name), one.f1_sum, one.utterances) for name, one in single.items())
    cer = tuple(Item(name, speaker(name), one.cer_errors, one.cer_length) for name, one in single.items())
    return (
        Score("slot_type_f1", 100.0 * counts.type_f1, {"utterances": counts.utterances}, f1),
        Score(
            "slot_value_cer",
            100.0 * counts.value_cer,
            {"errors": counts.cer_errors, "length": counts.cer_length, "utterances": counts.utterances},
            cer,
        ),
    )


TASK = TaskSpec(
    name="sf",
    title="Slot filling",
    s3prl_name="ctc",
    aliases=("slot-filling", "snips", "audio-snips"),
    corpus=snips.CORPUS,
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(
        MetricSpec(
            "slot_type_f1", "slot-type F1", "percent", "higher", "ctc-snips/{split}-slot_type_f1", 100.0
        ),
        MetricSpec(
            "slot_value_cer", "slot-value CER", "percent", "lower", "ctc-snips/{split}-slot_value_cer", 100.0
        ),
    ),
    selection=Selection(split="dev", metric="slot_type_f1", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test-hyp.ark", "test-ref.ark"),
    recipes=RECIPES,
    fixed_keys=tuple(
        f"downstream_expert.corpus.{key}"
        for key in ("train", "dev", "test", "train_speakers", "valid_speakers", "test_speakers")
    ),
    check=check,
    score=score,
    used=_ctc.used,
    split_batches=True,
)
