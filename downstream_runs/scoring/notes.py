"""What stands out in files that are scored as they stand: headers, letters written otherwise, empty lines.

No number is changed by what is found here, but for a first line of column names, which is left out.
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from downstream_runs.scoring.inputs import short

Texts = Mapping[str, str]

#: First cells of a line that names columns instead of an utterance, in lower case.
_NAME_COLUMNS = (
    "name names id ids file files filename file_name filepath file_path path wav wav_path audio "
    "audio_path utt utt_id uttid utterance utterance_id utterances item key segment segment_id recording"
)
NAME_COLUMNS = frozenset(_NAME_COLUMNS.split())
#: First words of what stands beside them.
_TEXT_COLUMNS = (
    "text texts label labels transcript transcripts transcription sentence sentences prediction "
    "predictions predicted predict hypothesis hyp pred reference ref target truth words phones phonemes "
    "class speaker speaker_id speakerid emotion keyword intent action slots"
)
TEXT_COLUMNS = frozenset(_TEXT_COLUMNS.split())
_WORD = re.compile(r"[\w-]+")
_APOSTROPHES = re.compile("[\u2018\u2019\u201b\u02bc\u0060\u00b4\uff07]")
_QUOTATION_MARKS = re.compile('["\u201c\u201d]')


def without_header(path: Path, texts: Texts) -> tuple[Texts, list[str]]:
    """The texts without a first line of column names, and a note where there was one."""
    name, text = next(iter(texts.items()))
    words = _WORD.findall(text.lower())
    if name.lower() not in NAME_COLUMNS or not words or words[0] not in TEXT_COLUMNS:
        return texts, []
    note = f"the first line of {path} ({short(name)}, {short(text)}) names columns, so it was not scored"
    return {other: texts[other] for other in texts if other != name}, [note]


def _spaced(text: str) -> str:
    return re.sub(r" ?, ?", ",", " ".join(text.split()))


def _unpunctuated(text: str) -> str:
    return " ".join(re.sub(r"[^\w\s]", "", text).split())


#: What may be written in two ways, and the function after which it no longer is.
ALIKE: Mapping[str, Callable[[str], str]] = {
    "upper and lower case": str.upper,  # not casefold: slots are marked by capitals
    "forms of the apostrophe": functools.partial(_APOSTROPHES.sub, "'"),
    "quotation marks": functools.partial(_QUOTATION_MARKS.sub, ""),
    "composed and decomposed letters (Unicode)": functools.partial(unicodedata.normalize, "NFC"),
    "white space": _spaced,
}
PUNCTUATION: Mapping[str, Callable[[str], str]] = {"punctuation": _unpunctuated}


def written_otherwise(
    ref: Texts, hyp: Texts, errors: Callable[[Texts, Texts], int], punctuation: bool = False
) -> list[str]:
    """A note for each way of writing that costs errors.

    errors: the number of errors of a pair of texts. punctuation: look at that too; slots' marks and some
    labels hold it.
    """
    found = errors(ref, hyp)
    if not found:
        return []
    ways = {**ALIKE, **(PUNCTUATION if punctuation else {})}

    def gone(*chosen: Callable[[str], str]) -> int:
        both = (_written(ref, chosen), _written(hyp, chosen))
        return found - errors(*both)

    single = {what: gone(way) for what, way in ways.items()}
    together = gone(*ways.values())
    if together > max(single.values()):
        single = {", ".join(ways): together}
    return [
        f"{number} of the {found} errors are differences in {what} only: text is compared as it stands, so "
        "write both files alike if these are not meant to count"
        for what, number in single.items()
        if number > 0
    ]


def _written(texts: Texts, ways: Sequence[Callable[[str], str]]) -> Texts:
    return {name: functools.reduce(lambda text, way: way(text), ways, text) for name, text in texts.items()}


def empty(path: Path, texts: Texts) -> list[str]:
    """A note where references are empty: s3prl's scorers count each as one word, this as none."""
    number = sum(not text for text in texts.values())
    return [f"{number} of {len(texts)} references of {path} are empty and add nothing to the length"] * (
        number > 0
    )
