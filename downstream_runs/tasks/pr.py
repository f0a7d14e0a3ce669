"""Phoneme recognition on LibriSpeech: phones by CTC through a lexicon, PER on test-clean."""

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
from downstream_runs.tasks import _blocks, _ctc

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.lexicon import Lexicon


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: int,
    accumulate: int,
    workers: int,
    hidden: int | None = None,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks. The head is a projection to 256 and a linear layer, `hidden` puts one more between.

    SUPERB's head is linear. A few dozen utterances teach it little within a demo's time.
    """
    model: dict[str, Any] = {"project_dim": 256, "zero_infinity": True, "select": "FrameLevel"}
    if hidden is not None:
        model["FrameLevel"] = {"hiddens": [hidden], "activation": "ReLU"}
    expert = {
        "corpus": {
            "name": "libriphone",
            "train": ["train-clean-100"],
            "dev": ["dev-clean"],
            "test": ["test-clean"],
            "bucketing": True,
            "batch_size": batch,
            "num_workers": workers,
        },
        "text": {"mode": "word"},
        "model": model,
        "metric_higher_better": False,
        "metric": ["per"],
        "save_best_on": ["dev"],
    }
    return _blocks.config(
        steps=steps, every=every, accumulate=accumulate, lr=lr, expert=expert, warmup=warmup
    )


_SUPERB: dict[str, Any] = {
    "steps": 100_000,
    "every": (100, 1000, 100),
    "lr": 1e-2,
    "batch": 16,
    "accumulate": 2,
    "workers": 24,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB),
        note="s3prl's defaults; a batch whose first waveform exceeds 18.75 s is halved, and an epoch has a "
        "bucket for each utterance, so about 16 passes",
        source="s3prl 0.4.18, downstream/ctc/libriphone.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, warmup=1400),
        note="as superb, with the learning-rate schedule switched on: linear to the peak at 1400, then to 0",
        source=_blocks.PAPER_SOURCE,
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=100, every=(10, 50, 50), lr=3e-3, batch=8, accumulate=1, workers=0, hidden=256),
        "a hidden layer in the head and few steps: shows that everything works, says nothing about the "
        "upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=300, every=(10, 100, 50), lr=2e-3, batch=8, accumulate=1, workers=0, hidden=256),
        "a head with a hidden layer and few steps on a handful of real utterances",
    ),
}


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold LibriSpeech under `data` against its counts and transcripts, and find the lexicon."""
    from downstream_runs.corpora import lexicon, librispeech

    root = librispeech.find_root(data).resolve()
    _, every = _parts(config)
    report = librispeech.check(root, every, decode=0, partial=partial)
    standing = librispeech.require_good(report, partial)
    if cache is None:
        return standing
    found = lexicon.find(data.expanduser(), root, cache)
    return standing.and_also(found.deviations, found.labels)


def _parts(config: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The corpus's folders of each split, and all of them; UsageError for a setting that is fixed."""
    expert = config["downstream_expert"]
    _ctc.require_fixed(expert, RECIPES["superb"].config["downstream_expert"])
    parts = _ctc.parts(expert)
    return parts, tuple(dict.fromkeys(part for names in parts.values() for part in names))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find LibriSpeech and the lexicon, and write the list of phones that s3prl reads."""
    from downstream_runs.corpora import layout, lexicon, librispeech, transcripts

    standing = look(data, cache, config, partial)
    parts, every = _parts(config)
    root = librispeech.find_root(data).resolve()
    # Opens each file once and keeps what it found in the cache; s3prl would meet a bad file in mid-training.
    librispeech.write_lengths(root, every, cache)
    found = lexicon.find(data.expanduser(), root, cache)
    files = {part: layout.audio_files(root, part) for part in every}
    said = {part: transcripts.read({file.path.parent for file in audio}) for part, audio in files.items()}
    words = lexicon.read(found.files, found.phones)
    for part in every:
        lexicon.require_words(said[part].items(), words, found.files)
    vocabulary = lexicon.write_vocabulary(cache / f"phonemes-{_hash(found.phones)[:12]}.txt", found.phones)
    return PreparedData(
        root=root,
        settings={
            "corpus.path": str(root),
            "corpus.lexicon": [str(file) for file in found.files],
            "text.vocab_file": str(vocabulary.resolve()),
        },
        utterances={split: sum(len(files[part]) for part in names) for split, names in parts.items()},
        audio=tuple(file.path for audio in files.values() for file in audio),
        sha256=_content_hash(files, said, found),
        **standing.facts,
    )


def _hash(lines: Any) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(f"{line}\n".encode())
    return digest.hexdigest()


def _content_hash(files: Mapping[str, Any], said: Mapping[str, Any], found: Lexicon) -> str:
    """Over utterances, sizes, transcripts, lexicon and phones: all that decides a run but the samples."""
    from upstream_arm.common.files import sha256_file

    audio = [f"{file.relative}\t{file.size}" for part in sorted(files) for file in files[part]]
    words = [f"{name}\t{line}" for part in sorted(files) for name, line in sorted(said[part].items())]
    return _hash([*audio, *words, *(sha256_file(file) for file in found.files), *found.phones])


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """PER of `split` from the hypotheses and references that s3prl wrote to `folder`."""
    from downstream_runs.scoring import per

    reference, hypothesis = _ctc.read_arks(folder, split)
    counts = per.score(reference, hypothesis)
    single = {name: per.score({name: reference[name]}, {name: hypothesis[name]}) for name in reference}
    # LibriSpeech's utterances are named SPEAKER-CHAPTER-NUMBER.
    items = tuple(
        Item(name, name.split("-")[0], one.errors, one.length) for name, one in sorted(single.items())
    )
    return (Score("per", 100.0 * counts.rate, counts.as_dict(), items),)


def demo(folder: Path) -> Path:
    """The synthetic corpus in LibriSpeech's layout and its lexicon, made in `folder`."""
    from downstream_runs.corpora.demo import libriphone

    return libriphone.make(folder)


TASK = TaskSpec(
    name="pr",
    title="Phoneme recognition",
    s3prl_name="ctc",
    aliases=("ctc", "phoneme", "phone", "phoneme-recognition", "libriphone"),
    corpus=Corpus(
        name="LibriSpeech train-clean-100, dev-clean, test-clean",
        licence="CC BY 4.0",
        size="6.3 GB + 337 MB + 346 MB",
        url="https://www.openslr.org/12",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(MetricSpec("per", "phone error rate", "percent", "lower", "ctc-libriphone/{split}-per", 100.0),),
    # s3prl starts from 2 ** 31, so it always keeps a checkpoint.
    selection=Selection(split="dev", metric="per", artefact="dev-best.ckpt", s3prl_bound=100.0 * 2**31),
    artefacts=("dev-best.ckpt", "test-hyp.ark", "test-ref.ark"),
    recipes=RECIPES,
    prepare=prepare,
    look=look,
    split_keys={split: f"downstream_expert.corpus.{split}" for split in ("train", "dev", "test")},
    score=score,
    used=_ctc.used,
    demo=demo,
    split_batches=True,
)
