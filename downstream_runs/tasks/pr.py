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
    Score,
    Selection,
    TaskSpec,
)
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _ctc

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.lexicon import Lexicon

RECIPES = Recipes("pr")


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
