"""Slot filling on Audio SNIPS: characters and slot marks by CTC, slot-type F1 and slot-value CER on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Cost, Item, MetricSpec, Score, Selection, TaskSpec
from downstream_runs.corpora import snips
from downstream_runs.recipes import Recipes
from downstream_runs.scoring import slots
from downstream_runs.tasks import _ctc


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Slot-type F1 and slot-value CER of `split` from what s3prl wrote to `folder`."""
    reference, hypothesis = _ctc.read(folder, split)
    counts = slots.score(reference, hypothesis)
    f1, cer = [], []
    for name in sorted(reference):
        one, speaker = slots.score({name: reference[name]}, {name: hypothesis[name]}), snips.speaker(name)
        f1.append(Item(name, speaker, one.f1_sum, one.utterances))
        cer.append(Item(name, speaker, one.cer_errors, one.cer_length))
    return (
        Score("slot_type_f1", 100.0 * counts.type_f1, {"utterances": counts.utterances}, tuple(f1)),
        Score(
            "slot_value_cer",
            100.0 * counts.value_cer,
            {"errors": counts.cer_errors, "length": counts.cer_length, "utterances": counts.utterances},
            tuple(cer),
        ),
    )


TASK = TaskSpec(
    name="sf",
    title="Slot filling",
    s3prl_name="ctc",
    aliases=("slot-filling", "snips", "audio-snips"),
    corpus=snips.CORPUS,
    recipes=Recipes("sf"),
    cost=Cost(run_gb=1.7),
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
    submitted={"test-hyp.ark": "sf_public/predict.ark"},
    fixed_keys=(
        "downstream_expert.text.mode",
        *(
            f"downstream_expert.corpus.{key}"
            for key in ("name", "train", "dev", "test", "train_speakers", "valid_speakers", "test_speakers")
        ),
    ),
    score=score,
    check=_ctc.check,
    used=_ctc.used,
    split_batches=True,
)
