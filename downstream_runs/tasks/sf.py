"""Slot filling on Audio SNIPS: characters and slot marks by CTC, slot-type F1 and slot-value CER on test."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from downstream_runs.core.task import Item, Score
from downstream_runs.corpora import snips
from downstream_runs.scoring import slots
from downstream_runs.tasks import _ctc, task


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


TASK = task("sf", snips.CORPUS, score, check=_ctc.check, used=_ctc.used)
