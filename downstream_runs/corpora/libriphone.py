"""LibriSpeech with a pronunciation lexicon, as phoneme recognition reads it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import checks, lexicon, librispeech, texts, transcripts
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.lexicon import Lexicon
from downstream_runs.corpora.librispeech import Parts
from upstream_arm.common.files import sha256_file

_Content = tuple[Parts, Lexicon | None]
"""The parts of each split, and the lexicon; None where it would have to be downloaded."""


def _listed(request: Request) -> Listing[_Content]:
    corpus = request.config["downstream_expert"]["corpus"]
    listing: Listing[Any] = librispeech.list_parts(
        request, {split: corpus[split] for split in ("train", "dev", "test")}
    )
    if request.cache is None or listing.problems:
        return dataclasses.replace(listing, content=(listing.content, None))
    found = lexicon.find(request.data.expanduser(), request.root, request.cache)
    content = listing.content, found
    return dataclasses.replace(listing, content=content, labels=found.labels, deviations=found.deviations)


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
    # All that decides a run but the samples.
    names = sorted(listing.audio)
    files = [file.line for part in names for file in listing.audio[part]]
    said = [f"{name}\t{line}\n" for part in names for name, line in sorted(spoken[part].items())]
    lexicons = [f"{sha256_file(file)}\n" for file in found.files]
    return listing.prepared(
        texts.digest([*files, *said, *lexicons, phones]),
        {
            "corpus.path": listing.root,
            "corpus.lexicon": [str(file) for file in found.files],
            "text.vocab_file": texts.write(cache / f"phonemes-{texts.digest([phones])[:12]}.txt", phones),
        },
        utterances=librispeech.utterances(listing, parts),
    )


CORPUS = CheckedCorpus(**checks.facts("libriphone"), listed=_listed, written=_written)
