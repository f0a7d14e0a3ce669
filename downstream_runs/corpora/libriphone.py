"""LibriSpeech with a pronunciation lexicon, as phoneme recognition reads it."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import lexicon, librispeech, texts, transcripts
from downstream_runs.corpora.checks import Listing, Request
from downstream_runs.corpora.lexicon import Lexicon
from downstream_runs.corpora.librispeech import Parts
from upstream_arm.common.files import sha256_file

_Content = tuple[Parts, Lexicon | None]
"""The parts of each split, and the lexicon; None where it would have to be downloaded."""


def _listed(request: Request) -> Listing[_Content]:
    corpus = request.config["downstream_expert"]["corpus"]
    parts = {split: corpus[split] for split in ("train", "dev", "test")}
    listing = librispeech.list_parts(request, parts)
    found = None
    if request.cache is not None and not listing.problems:
        found = lexicon.find(request.data.expanduser(), request.root, request.cache)
    return Listing(
        listing.root,
        listing.counts,
        listing.audio,
        (parts, found),
        listing.problems,
        labels=found.labels if found else (),
        deviations=found.deviations if found else (),
    )


def _written(listing: Listing[_Content], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Hold the transcripts against the lexicon, and write the list of phones that s3prl reads."""
    # Opens each file once and keeps what it found in the cache; s3prl would meet a bad file in mid-training.
    librispeech.measure(listing, cache)
    parts, found = listing.content
    assert found is not None
    spoken = {
        part: transcripts.read({file.path.parent for file in files}) for part, files in listing.audio.items()
    }
    words = lexicon.read(found.files, found.phones)
    for part in listing.audio:
        lexicon.require_words(spoken[part].items(), words, found.files)
    phones = "".join(f"{phone}\n" for phone in found.phones)
    vocabulary = texts.write(cache / f"phonemes-{_hash(found.phones)[:12]}.txt", phones)
    return PreparedData(
        root=listing.root,
        settings={
            "corpus.path": str(listing.root),
            "corpus.lexicon": [str(file) for file in found.files],
            "text.vocab_file": str(vocabulary),
        },
        utterances={split: sum(listing.counts[part] for part in names) for split, names in parts.items()},
        sha256=_content_hash(listing, spoken, found),
    )


def _hash(lines: Iterable[str]) -> str:
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


def _content_hash(listing: Listing[_Content], spoken: Mapping[str, Mapping[str, str]], found: Lexicon) -> str:
    """Over utterances, sizes, transcripts, lexicon and phones: all that decides a run but the samples."""
    parts = sorted(listing.audio)
    audio = [f"{file.name}\t{file.size}" for part in parts for file in listing.audio[part]]
    words = [f"{name}\t{line}" for part in parts for name, line in sorted(spoken[part].items())]
    return _hash([*audio, *words, *(sha256_file(file) for file in found.files), *found.phones])


CORPUS = dataclasses.replace(
    librispeech.CORPUS,
    demo="downstream_runs.corpora.demo.libriphone",
    listed=_listed,
    written=_written,
)
