"""LibriSpeech: `<root>/<part>/<speaker>/<chapter>/<speaker>-<chapter>-NNNN.flac`, and what ASR reads of it.

Beside the audio of a chapter lies `<speaker>-<chapter>.trans.txt`, one line `ID TRANSCRIPT` an utterance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, checks, folders, texts, transcripts
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import csv_text

Parts = Mapping[str, Sequence[str]]
"""s3prl's splits and the corpus's parts that each is read from."""


def chapters(root: Path, part: str) -> Iterator[tuple[Path, list[AudioFile]]]:
    """Every chapter folder of a part, with its flac files, both in the order of their names.

    Raises UsageError as `folders.files` does, and for a second file of an utterance, such as ID.1.flac.
    """
    for speaker in folders.subfolders(root / part) if (root / part).is_dir() else ():
        for chapter in folders.subfolders(speaker):
            paths = folders.files(chapter, ".flac")
            second = next((path for path in paths if path.name.count(".") > 1), None)
            if second is not None:
                raise UsageError(
                    f"{second} has a name that no file of LibriSpeech has, such as 84-121123-0000.flac was "
                    "expected; s3prl would take it for another copy of that utterance: remove it"
                )
            where = f"{part}/{speaker.name}/{chapter.name}"
            yield chapter, [AudioFile.at(path, name=f"{where}/{path.name}") for path in paths]


def audio_files(root: Path, part: str) -> list[AudioFile]:
    """All flac files of a part, in the order of their paths; empty if the part is missing."""
    return [file for _, files in chapters(root, part) for file in files]


def list_parts(request: Request, parts: Parts) -> Listing[Parts]:
    """The files of all parts that the splits are read from, with what is wrong with their transcripts."""
    root = request.root
    files: dict[str, list[AudioFile]] = {}
    problems: list[str] = []
    for part in dict.fromkeys(part for names in parts.values() for part in names):
        listed = list(chapters(root, part))
        files[part] = [file for _, found in listed for file in found]
        for folder, found in listed if files[part] else ():
            problems += transcripts.check_chapter(folder, [one.path.stem for one in found], request.partial)
        if not files[part] and (root / part).is_dir():
            problems.append(
                f"{root / part} holds {folders.what_lies_there(root / part) or 'no flac file'}, "
                "<speaker>/<chapter>/*.flac was expected, as the archives of openslr.org/12 have it"
            )
        elif not files[part]:
            problems.append(f"{part} is missing: there is no folder {root / part}")
    return Listing(root, files, parts, problems)


def utterances(listing: Listing[Any], parts: Parts) -> dict[str, int]:
    """How many each of s3prl's splits has."""
    return {split: sum(listing.counts[part] for part in names) for split, names in parts.items()}


def measure(listing: Listing[Any], cache: Path) -> dict[str, int]:
    """Samples of each file by its header, read once and kept; UsageError for one that cannot be used."""
    lengths, problems = audio.measure(
        listing.files, audio.length, cache / "lengths.txt", "lengths LibriSpeech"
    )
    checks.require_none(problems, "unpack its archive of openslr.org/12 again, then start this again")
    return lengths


def length_table(lengths: Mapping[str, int]) -> str:
    """The table that s3prl's ASR data set sorts and batches by (its setting `bucket_file`).

    s3prl makes it with a script outside its PyPI package that no longer runs. A nameless counter, `file_path`
    relative to the root, `length` in samples, and an empty `label`; longest first. Files of one length are in
    the order of their paths here, so that the table depends on nothing but the corpus.
    """
    ordered = sorted(lengths.items(), key=lambda item: (-item[1], item[0]))
    rows = ((index, path, samples, "") for index, (path, samples) in enumerate(ordered))
    return csv_text([("", "file_path", "length", "label"), *rows])


def write_tables(listing: Listing[Any], lengths: Mapping[str, int], folder: Path) -> None:
    """Write `<part>.csv` for each part to `folder`; a table that is the same is left as it is."""
    for part, files in listing.audio.items():
        table = length_table({one.name: lengths[one.name] for one in files})
        texts.write(folder / f"{part}.csv", table)


def _listed(request: Request) -> Listing[Parts]:
    datarc = request.config["downstream_expert"]["datarc"]
    return list_parts(request, {split: datarc[split] for split in ("train", "dev-clean", "test-clean")})


def _written(listing: Listing[Parts], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the length tables and the character dictionary that s3prl reads."""
    lengths = measure(listing, cache)
    write_tables(listing, lengths, cache)
    pieces: list[str | bytes] = [transcripts.char_dict()]
    for part in sorted(listing.audio):
        files = sorted(listing.audio[part], key=lambda file: file.name)
        pieces += [f"{file.name}\t{lengths[file.name]}\n" for file in files]
        chapters = sorted({listing.root / Path(file.name).parent for file in files})
        pieces += [transcripts.path(chapter).read_bytes() for chapter in chapters]
    return listing.prepared(
        texts.digest(pieces),
        {
            "datarc.libri_root": listing.root,
            "datarc.bucket_file": cache.resolve(),
            "datarc.dict_path": texts.write(cache / "char.dict", transcripts.char_dict()),
        },
        utterances=utterances(listing, listing.content),
    )


CORPUS = CheckedCorpus(**checks.facts("librispeech"), listed=_listed, written=_written)
