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
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.scoring.wer import Unit


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
    recipes=Recipes("asr"),
    prepare=prepare,
    look=look,
    split_keys={split: f"downstream_expert.datarc.{split}" for split in ("train", "dev-clean", "test-clean")},
    fixed_keys=("downstream_expert.datarc.decoder_args.decoder_type",),
    score=score,
    used=used,
    demo=demo,
    split_batches=True,
)
