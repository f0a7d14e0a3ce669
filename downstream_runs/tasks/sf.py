"""Slot filling on Audio SNIPS: characters and slot marks by CTC, slot-type F1 and slot-value CER on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.task import (
    Item,
    MetricSpec,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.corpora import snips
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _ctc

RECIPES = Recipes("sf")


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
