"""The characters that the ASR head spells with, and s3prl's `char.dict` that lists them.

The PyPI package of s3prl leaves `downstream/asr/char.dict` out. A symbol's place in the file is its output in
the head, so the order has to be that of s3prl's git tree: most frequent first in LibriSpeech's 960 hours of
training transcripts, `|` standing for the space between words.
"""

from __future__ import annotations

from pathlib import Path

WORD_BOUNDARY = "|"

SYMBOLS: tuple[str, ...] = (WORD_BOUNDARY, *"ETAONIHSRDLUMCWFGYPBVK'XJQZ")
"""The 28 symbols in s3prl's order; fairseq's dictionary puts `<s> <pad> </s> <unk>` before them."""

LETTERS: frozenset[str] = frozenset(SYMBOLS) - {WORD_BOUNDARY}
"""What a transcript may hold beside spaces."""


def char_dict() -> str:
    """The text of char.dict, one `symbol count` a line, as s3prl's fairseq-style Dictionary.load reads it.

    s3prl keeps the counts but computes nothing from them. Here they fall by one a line rather than
    repeat the corpus counts, so that sorting by them keeps the order.
    """
    return "".join(f"{symbol} {len(SYMBOLS) - index}\n" for index, symbol in enumerate(SYMBOLS))


def write_char_dict(path: Path) -> Path:
    """Write char.dict to `path` and return it.

    Raises UsageError if the folder cannot be written to.
    """
    from downstream_runs.corpora.outputs import writing
    from upstream_arm.common.files import atomic_write_text

    with writing(path):
        atomic_write_text(path, char_dict())
    return path
