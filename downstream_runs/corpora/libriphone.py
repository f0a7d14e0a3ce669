"""LibriSpeech with a pronunciation lexicon, as phoneme recognition reads it.

The lexicon is two text files of lines `WORD PHONE PHONE ...`. Which two files, and that the first
pronunciation of a word counts, are s3prl's downstream/ctc/libriphone.yaml and corpus/libriphone.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.core.official import OTHER_DATA
from downstream_runs.corpora import checks, librispeech, markers, pinned, texts, transcripts
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.librispeech import Parts
from downstream_runs.corpora.pinned import PinnedFile
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file

FOLDER = "lexicon"
"""The folder beside the corpus in which a lexicon of the user's own may lie."""

_ORIGIN = "s3prl/downstream/ctc/lexicon"

FILES = (
    PinnedFile(f"{_ORIGIN}/librispeech-lexicon-200k-g2p.txt", "a9143b4f90bde7f71221b7e546f780f3b655c8f7"),
    PinnedFile(
        f"{_ORIGIN}/librispeech-lexicon-allothers-g2p.txt", "cdc9ff665e674959c1150c62714150c3d3d0b726"
    ),
)
"""The files in the order in which s3prl reads them; ids from the tree of commit ec8064b5."""

_VOWELS = "AA AE AH AO AW AY EH ER EY IH IY OW OY UH UW"
_CONSONANTS = "B CH D DH F G HH JH K L M N NG P R S SH T TH V W Y Z ZH"

BARE_PHONES: tuple[str, ...] = tuple(sorted(f"{_VOWELS} {_CONSONANTS}".split()))
"""ARPAbet's 39 phones without stress."""

PHONES: tuple[str, ...] = (
    "SIL",
    "SPN",
    *(f"{bare}{stress}" for bare in BARE_PHONES for stress in ("012" if bare in _VOWELS.split() else ("",))),
)
"""The 71 phones that SUPERB's head spells with: silence, noise and ARPAbet with stress, in s3prl's order.

A phone's place decides its output in the head; s3prl's tokenizer puts `<pad> <eos> <unk>` before them.
"""

VOCABULARY = "phonemes.txt"
"""A made corpus whose phones are others lists them in this file of its lexicon folder, one a line."""


@dataclass(frozen=True)
class Lexicon:
    """The two files, the phones they may use, and what sets them apart from SUPERB's."""

    files: tuple[Path, ...]
    phones: tuple[str, ...]
    labels: tuple[str, ...] = ()
    deviations: tuple[str, ...] = ()


def find_lexicon(data: Path, root: Path, cache: Path) -> Lexicon:
    """The lexicon in a folder `lexicon` in `data` or `root`, or beside `root`; else s3prl's own, pinned.

    UsageError if such a folder is there and incomplete, and where s3prl's cannot be had.
    """
    for folder in dict.fromkeys(place.absolute() / FOLDER for place in (data, root, root.parent)):
        if folder.is_dir():
            return _own(folder)
    files = tuple(pinned.obtain(file, cache).resolve() for file in FILES)
    return Lexicon(files, PHONES)


def _own(folder: Path) -> Lexicon:
    missing = [file.name for file in FILES if not (folder / file.name).is_file()]
    if missing:
        raise UsageError(
            f"{folder} has no {missing[0]}, expected {' and '.join(file.name for file in FILES)}; "
            "complete the folder, or delete it to use s3prl's own lexicon"
        )
    files = tuple((folder / file.name).resolve() for file in FILES)
    other = [file.name for file in FILES if pinned.blob_id(folder / file.name) != file.blob]
    labels = markers.labels(folder)
    made = f"the {' and '.join(labels)} lexicon" if labels else f"the lexicon in {folder}"
    deviations = [f"{made} is not s3prl's: other content in {' and '.join(other)}"] if other else []
    deviations += markers.deviations(folder)
    if other and not labels:
        labels = (OTHER_DATA,)
    phones = PHONES
    if (folder / VOCABULARY).is_file():
        phones = tuple((folder / VOCABULARY).read_text(encoding="utf-8").split())
        deviations.append(f"{made} has {len(phones)} phones instead of {len(PHONES)}")
    return Lexicon(files, phones, labels, tuple(deviations))


def read_lexicon(files: Sequence[Path], known: Collection[str]) -> dict[str, tuple[str, ...]]:
    """Each word with its first pronunciation, the files in their order; blank lines are passed over.

    Raises UsageError for a file that cannot be read and for a phone that is not in `known`.
    """
    words: dict[str, tuple[str, ...]] = {}
    for place, line in (found for path in files for found in texts.lines(path, "restore the lexicon")):
        word, *phones = line.split() or [""]
        strange = next((phone for phone in phones if phone not in known), None)
        if strange is not None:
            raise UsageError(
                f"{place} has the phone {strange!r} in {word}, not among the phones that the head spells "
                "with (ARPAbet with stress, such as AH0); correct that line"
            )
        if word:
            words.setdefault(word, tuple(phones))
    return words


def require_words(
    transcripts: Iterable[tuple[str, str]], words: Mapping[str, Sequence[str]], files: Iterable[object]
) -> None:
    """UsageError naming the first words of the transcripts `(utterance, words)` that the lexicon lacks."""
    missing: dict[str, str] = {}
    for utterance, transcript in transcripts:
        for word in transcript.split():
            if not words.get(word):
                missing.setdefault(word, utterance)
    if missing:
        shown = ", ".join(f"{word} in {utterance}" for word, utterance in list(missing.items())[:5])
        raise UsageError(
            f"{len(missing):,} words of the transcripts have no phones ({shown}"
            f"{', ...' if len(missing) > 5 else ''}) in {' and '.join(map(str, files))}; "
            "add them there, or use s3prl's own lexicon"
        )


def lexicon_texts(words: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """One's own lexicon as s3prl's two files, half of the words in each, by their names."""
    lines = [f"{word} {' '.join(phones)}\n" for word, phones in sorted(words.items())]
    middle = (len(lines) + 1) // 2
    return {FILES[0].name: "".join(lines[:middle]), FILES[1].name: "".join(lines[middle:])}


_Content = tuple[Parts, Lexicon | None]
"""The parts of each split, and the lexicon; None where it would have to be downloaded."""


def _listed(request: Request) -> Listing[_Content]:
    corpus = request.config["downstream_expert"]["corpus"]
    listing: Listing[Any] = librispeech.list_parts(
        request, {split: corpus[split] for split in ("train", "dev", "test")}
    )
    if request.cache is None or listing.problems:
        return dataclasses.replace(listing, content=(listing.content, None))
    found = find_lexicon(request.data.expanduser(), request.root, request.cache)
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
    words = read_lexicon(found.files, found.phones)
    for part in listing.audio:
        require_words(spoken[part].items(), words, found.files)
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
