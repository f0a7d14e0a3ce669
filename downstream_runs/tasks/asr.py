"""Automatic speech recognition on LibriSpeech: characters by CTC, WER on test-clean, no language model."""

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
    Recipe,
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.tasks import _blocks

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.scoring.wer import Unit


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: int,
    head: tuple[int, tuple[int, ...], float],
    workers: int,
    specaug: bool = True,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log, evaluation and checkpoint steps, `head` projection, BiLSTMs, dropout.

    s3prl halves every training batch whose longest utterance has more than 2000 samples, which is all of
    them: `batch` 32 trains on 16 and 16. That is kept, since published numbers come from it.
    """
    expert = {
        "datarc": {
            "train": ["train-clean-100"],
            "dev-clean": ["dev-clean"],
            "test-clean": ["test-clean"],
            "num_workers": workers,
            "batch_size": batch,
            # One utterance at a time: s3prl would drop a last batch of one.
            "eval_batch_size": 1,
            "zero_infinity": True,
            "decoder_args": {"decoder_type": "None"},
        },
        "modelrc": _blocks.bilstm(*head),
    }
    config = _blocks.config(
        steps=steps, every=every, lr=lr, expert=expert, evaluated=("dev-clean",), warmup=warmup
    )
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
        note="s3prl's defaults; the batch of 32 is 16 and 16 in effect",
        source="s3prl 0.4.18, downstream/asr/config.yaml",
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
            steps=240,
            every=(10, 80, 40),
            lr=3e-3,
            batch=8,
            head=(128, (128,), 0.1),
            workers=0,
            specaug=False,
        ),
        "a small head and few steps: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(
            steps=300,
            every=(10, 100, 50),
            lr=2e-3,
            batch=8,
            head=(128, (128,), 0.0),
            workers=0,
            specaug=False,
        ),
        "a small head that learns a handful of real utterances by heart",
    ),
}


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold LibriSpeech under `data` against its counts and transcripts."""
    from downstream_runs.corpora import librispeech

    _, every = _parts(config)
    root = librispeech.find_root(data).resolve()
    report = librispeech.check(root, every, decode=0, partial=partial)
    return librispeech.require_good(report, partial)


def _parts(config: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The corpus's folders of each split, and all of them."""
    datarc = config["downstream_expert"]["datarc"]
    parts = {split: tuple(datarc[split]) for split in ("train", "dev-clean", "test-clean")}
    return parts, tuple(dict.fromkeys(part for names in parts.values() for part in names))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find LibriSpeech under `data` and write the length tables and character dictionary that s3prl reads."""
    from downstream_runs.corpora import librispeech, vocabulary

    standing = look(data, cache, config, partial)
    parts, every = _parts(config)
    root = librispeech.find_root(data).resolve()
    tables = librispeech.write_lengths(root, every, cache).resolve()
    dictionary = vocabulary.write_char_dict(cache / "char.dict").resolve()
    listed = {part: _rows(tables / f"{part}.csv") for part in every}
    return PreparedData(
        root=root,
        settings={
            "datarc.libri_root": str(root),
            "datarc.bucket_file": str(tables),
            "datarc.dict_path": str(dictionary),
        },
        utterances={split: sum(len(listed[part]) for part in names) for split, names in parts.items()},
        audio=tuple(
            root / path for part in every for path in sorted(row["file_path"] for row in listed[part])
        ),
        sha256=_content_hash(root, listed, dictionary),
        **standing.facts,
    )


def _rows(table: Path) -> list[dict[str, str]]:
    import csv

    with table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _content_hash(root: Path, listed: Mapping[str, list[dict[str, str]]], dictionary: Path) -> str:
    """Over utterances, lengths, transcripts and characters: all that decides a run but the samples."""
    digest = hashlib.sha256(dictionary.read_bytes())
    for part in sorted(listed):
        rows = sorted((row["file_path"], row["length"]) for row in listed[part])
        for path, length in rows:
            digest.update(f"{path}\t{length}\n".encode())
        for chapter in sorted({Path(path).parent for path, _ in rows}):
            transcript = root / chapter / f"{chapter.parent.name}-{chapter.name}.trans.txt"
            digest.update(transcript.read_bytes())
    return digest.hexdigest()


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """WER and CER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    from downstream_runs.scoring import wer

    reference = wer.read_ark(folder / f"{split}-noLM-ref.ark")
    hypothesis = wer.read_ark(folder / f"{split}-noLM-hyp.ark")
    return (
        _score("wer", reference, hypothesis, "word"),
        _score("cer", reference, hypothesis, "char"),
    )


def _score(metric: str, reference: Mapping[str, str], hypothesis: Mapping[str, str], unit: Unit) -> Score:
    from downstream_runs.scoring import wer

    counts = wer.score(reference, hypothesis, unit)
    single = {name: wer.score({name: reference[name]}, {name: hypothesis[name]}, unit) for name in reference}
    # LibriSpeech's utterances are named SPEAKER-CHAPTER-NUMBER.
    items = tuple(
        Item(name, name.split("-")[0], one.errors, one.length) for name, one in sorted(single.items())
    )
    return Score(metric, 100.0 * counts.rate, counts.as_dict(), items)


def used(dataset: Any) -> int:
    """Utterances in s3prl's training set; it drops a last batch that has one utterance only."""
    return sum(len(bucket) for bucket in dataset.X)


def demo(folder: Path) -> Path:
    """The synthetic corpus in LibriSpeech's layout, made in `folder`."""
    from downstream_runs.corpora.demo import librispeech

    return librispeech.make(folder)


TASK = TaskSpec(
    name="asr",
    title="Automatic speech recognition",
    s3prl_name="asr",
    aliases=("speech-recognition", "librispeech-asr"),
    corpus=Corpus(
        name="LibriSpeech train-clean-100, dev-clean, test-clean",
        licence="CC BY 4.0",
        size="6.3 GB + 337 MB + 346 MB",
        url="https://www.openslr.org/12",
    ),
    train_split="train",
    dev_splits=("dev-clean",),
    test_splits=("test-clean",),
    metrics=(
        MetricSpec("wer", "word error rate", "percent", "lower", "asr/{split}-wer"),
        # s3prl's own unit error rate counts the word separators too, so it is another number.
        MetricSpec("cer", "character error rate", "percent", "lower", None, official=False),
    ),
    selection=Selection(split="dev-clean", metric="wer", artefact="dev-clean-best.ckpt", s3prl_bound=100.0),
    artefacts=(
        "dev-clean-best.ckpt",
        "test-clean-noLM-hyp.ark",
        "test-clean-noLM-ref.ark",
    ),
    recipes=RECIPES,
    prepare=prepare,
    look=look,
    split_keys={split: f"downstream_expert.datarc.{split}" for split in ("train", "dev-clean", "test-clean")},
    fixed_keys=("downstream_expert.datarc.decoder_args.decoder_type",),
    score=score,
    used=used,
    demo=demo,
    split_batches=True,
)
