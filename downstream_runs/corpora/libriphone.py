"""LibriSpeech with a lexicon, for phoneme recognition."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Standing
from downstream_runs.corpora import layout, lexicon, librispeech, transcripts
from downstream_runs.corpora.lexicon import Lexicon
from upstream_arm.common.files import sha256_file


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold LibriSpeech under `data` against its counts and transcripts, and find the lexicon."""
    root = librispeech.find_root(data).resolve()
    _, every = _parts(config)
    report = librispeech.check(root, every, decode=0, partial=partial)
    standing = librispeech.require_good(report, partial)
    if cache is None:
        return standing
    found = lexicon.find(data.expanduser(), root, cache)
    return standing.and_also(found.deviations, found.labels)


def _parts(config: Mapping[str, Any]) -> tuple[dict[str, tuple[str, ...]], tuple[str, ...]]:
    """The corpus's folders of each split, and all of them."""
    expert = config["downstream_expert"]
    parts = {split: tuple(expert["corpus"][split]) for split in ("train", "dev", "test")}
    return parts, tuple(dict.fromkeys(part for names in parts.values() for part in names))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find LibriSpeech and the lexicon, and write the list of phones that s3prl reads."""
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
    audio = [f"{file.relative}\t{file.size}" for part in sorted(files) for file in files[part]]
    words = [f"{name}\t{line}" for part in sorted(files) for name, line in sorted(said[part].items())]
    return _hash([*audio, *words, *(sha256_file(file) for file in found.files), *found.phones])


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in LibriSpeech's layout and its lexicon, made in `folder`."""
    from downstream_runs.corpora.demo import libriphone

    return libriphone.make(folder)


CORPUS = Corpus(
    name="LibriSpeech train-clean-100, dev-clean, test-clean",
    licence="CC BY 4.0",
    size="6.3 GB + 337 MB + 346 MB",
    url="https://www.openslr.org/12",
    splits=librispeech.CORPUS.splits,
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
