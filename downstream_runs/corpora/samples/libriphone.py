"""A few real utterances as LibriSpeech, and the lexicon of their words, for phoneme recognition.

The source is that of `librispeech.py` here, with `lexicon_cmudict.txt` beside: lines `WORD PHONE PHONE ...`,
with the phones of the CMU Pronouncing Dictionary without stress. Utterances with a word that it lacks are
left out.
"""

from __future__ import annotations

from pathlib import Path

from downstream_runs.corpora import libriphone as lexicon
from downstream_runs.corpora.samples import laid, librispeech
from upstream_arm.common.files import sha256_file

LEXICON = "lexicon_cmudict.txt"
TRAIN, HELD_OUT = 40, 40
"""Utterances to train on, and held-out ones at most."""


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the sample out in `dest`/LibriSpeech and `dest`/lexicon, and return the former."""
    words = lexicon.read_lexicon([source / LEXICON], lexicon.BARE_PHONES)
    facts = {"source": source.resolve().name, "source_lexicon_sha256": sha256_file(source / LEXICON)}

    def covered(utterance: librispeech.Utterance) -> bool:
        return all(word in words for word in utterance.transcript.split())

    root = librispeech.lay_out(source, dest, TRAIN, HELD_OUT, covered)
    lists = {
        **lexicon.lexicon_texts(words),
        lexicon.VOCABULARY: "".join(f"{p}\n" for p in lexicon.BARE_PHONES),
    }
    laid.lay_out(dest / lexicon.FOLDER, facts, "words of the sample only, without stress marks", {}, lists)
    return root
