"""Slot filling on Audio SNIPS: characters and slot marks by CTC, slot-type F1 and slot-value CER on test."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import (
    Corpus,
    Item,
    MetricSpec,
    PreparedData,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _ctc

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.snips import Snips

_METRICS = (
    "slot_type_f1",
    "slot_value_cer",
    "slot_value_wer",
    "slot_edit_f1_full",
    "slot_edit_f1_part",
    "wer",
    "cer",
)

RECIPES = Recipes("sf")


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold Audio SNIPS under `data` against its transcripts and counts."""
    return _load(data, config, partial).standing


def _load(data: Path, config: Mapping[str, Any], partial: bool) -> Snips:
    from downstream_runs.corpora import snips

    _ctc.require_fixed(config["downstream_expert"], RECIPES["superb"].config["downstream_expert"])
    return snips.load(snips.find_root(data).resolve(), partial=partial)


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find and check Audio SNIPS, and write the characters and slots that s3prl reads."""
    from downstream_runs.corpora import snips
    from downstream_runs.corpora.outputs import writing

    corpus = _load(data, config, partial)
    parts = _ctc.parts(config["downstream_expert"])
    digest = _content_hash(corpus)
    with writing(cache):
        characters = snips.write_characters(cache / "snips-characters.txt").resolve()
        slots = snips.write_slots(cache / f"snips-slots-{digest[:12]}.txt", corpus.slots).resolve()
    return PreparedData(
        root=corpus.root,
        settings={
            "corpus.path": str(corpus.root),
            "text.vocab_file": str(characters),
            "text.slots_file": str(slots),
        },
        utterances={split: sum(len(corpus.splits[part]) for part in names) for split, names in parts.items()},
        audio=tuple(utterance.path for part in corpus.splits.values() for utterance in part),
        sha256=digest,
        **corpus.standing.facts,
    )


def _content_hash(corpus: Snips) -> str:
    """Over slots, utterances, sizes and lines: all that decides a run but the samples."""
    digest = hashlib.sha256("\n".join(corpus.slots).encode())
    for part in sorted(corpus.splits):
        for utterance in corpus.splits[part]:
            digest.update(f"{utterance.relative}\t{utterance.size}\t{utterance.line}\n".encode())
    return digest.hexdigest()


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Slot-type F1 and slot-value CER of `split` from what s3prl wrote to `folder`."""
    from downstream_runs.corpora.snips import speaker
    from downstream_runs.scoring import slots

    reference, hypothesis = _ctc.read_arks(folder, split)
    counts = slots.score(reference, hypothesis)
    single = {
        name: slots.score({name: reference[name]}, {name: hypothesis[name]}) for name in sorted(reference)
    }
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


def demo(folder: Path) -> Path:
    """The synthetic corpus in Audio SNIPS' layout, made in `folder`."""
    from downstream_runs.corpora.demo import snips

    return snips.make(folder)


TASK = TaskSpec(
    name="sf",
    title="Slot filling",
    s3prl_name="ctc",
    aliases=("slot-filling", "snips", "audio-snips"),
    corpus=Corpus(
        name="Audio SNIPS as prepared for SUPERB",
        licence="the corpus's own, see aws-samples/aws-lex-noisy-spoken-language-understanding",
        size="231,744 wav files",
        url="https://github.com/s3prl/s3prl/blob/main/s3prl/downstream/docs/superb.md",
    ),
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
    prepare=prepare,
    look=look,
    fixed_keys=tuple(
        f"downstream_expert.corpus.{key}"
        for key in ("train", "dev", "test", "train_speakers", "valid_speakers", "test_speakers")
    ),
    score=score,
    used=_ctc.used,
    demo=demo,
    split_batches=True,
)
