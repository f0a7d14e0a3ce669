"""A few real utterances as LibriSpeech, and the lexicon of their words, for phoneme recognition.

The source is that of `librispeech.py` here, with `lexicon_cmudict.txt` beside: lines `WORD PHONE PHONE ...`,
with the phones of the CMU Pronouncing Dictionary without stress. Utterances with a word that it lacks are
left out.
"""

from __future__ import annotations

from pathlib import Path

from downstream_runs.corpora import lexicon
from downstream_runs.corpora.markers import SAMPLE, begin, finish, is_whole
from downstream_runs.corpora.samples import librispeech
from downstream_runs.corpora.texts import writing
from upstream_arm.common.files import atomic_write_text, sha256_file

LEXICON = "lexicon_cmudict.txt"
TRAIN, HELD_OUT = 40, 40
"""Utterances to train on, and held-out ones at most."""

NOTICE = """This lexicon holds the words of a tiny sample of real speech only, without stress marks.

It has the form and the file names of the lexicon that s3prl's phoneme recognition reads, not its content, and
phonemes.txt lists its phones. Numbers measured with it carry the label "sample".
"""


def lay_out(source: Path, dest: Path) -> Path:
    """Lay the sample out in `dest`/LibriSpeech and `dest`/lexicon, and return the former.

    What is whole is left as it is. Raises UsageError for a source that cannot be used, before anything is
    written, and for a `dest` that holds something else or cannot be written to.
    """
    words = lexicon.read([source / LEXICON], lexicon.BARE_PHONES)
    target = dest.expanduser().absolute() / lexicon.FOLDER
    facts = {"source": source.resolve().name, "source_lexicon_sha256": sha256_file(source / LEXICON)}

    def covered(utterance: librispeech.Utterance) -> bool:
        return all(word in words for word in utterance.transcript.split())

    root = librispeech.lay_out(source, dest, TRAIN, HELD_OUT, covered)
    if not is_whole(target, SAMPLE, facts):
        with writing(target):
            begin(target, SAMPLE, NOTICE)
            names = lexicon.write(target, words)
            atomic_write_text(target / lexicon.VOCABULARY, "".join(f"{p}\n" for p in lexicon.BARE_PHONES))
            finish(target, SAMPLE, facts, [*names, lexicon.VOCABULARY])
    return root
