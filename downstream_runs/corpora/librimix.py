"""Libri2Mix for diarisation, turned into the Kaldi-style folders that s3prl reads.

SUPERB uses the 16 kHz `max` mixtures with noise (`wav16k/max/*/mix_both`) of s3prl's fork of LibriMix, and
takes the times of speech from forced alignments of the LibriSpeech sources that the fork holds as RTTM files:
both sources of a mixture begin at its start, so the times are those of the sources. Folders made by its own
script, or of another corpus, are taken as they are.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData, Split
from downstream_runs.core.official import OTHER_DATA
from downstream_runs.corpora import audio, checks, folders, kaldi, measured, texts
from downstream_runs.corpora.audio import SAMPLE_RATE, AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.markers import marks
from downstream_runs.corpora.pinned import blob_id
from downstream_runs.scoring import rttm
from upstream_arm.common.errors import UsageError


@dataclass(frozen=True)
class _Names:
    """What LibriMix calls a split's folder, the RTTM file of its sources, and git's name of that file at
    commit d569d35c of the fork."""

    mixtures: str
    speech: str
    blob: str


SPLITS: Mapping[str, _Names] = {
    "train": _Names("train-100", "train_clean_100", "692dea67bc3493dd2f63f76aa2009ceaa72469f2"),
    "dev": _Names("dev", "dev_clean", "07747cfdd2cea707f80a34f9c9b8e646701ef9e4"),
    "test": _Names("test", "test_clean", "b5ed6f28b6028c98dce05a643641f4b84ebea385"),
}

FORK = "github.com/s3prl/LibriMix"
GET = f"run generate_librimix_sd.sh of {FORK}"

COLUMNS: tuple[str, ...] = ("mixture_ID", "mixture_path", "length")

LENGTH_TOLERANCE = 0.1
"""Seconds by which a file may differ from `reco2dur`; tables rounded to tenths of a second are common."""

Recordings = Mapping[str, Sequence[Recording]]
"""Of each split."""


def _is_generated(root: Path) -> bool:
    return (root / "wav16k" / "max" / "metadata").is_dir()


def _other_versions(data: Path) -> str:
    """A sentence on the versions of LibriMix that lie in `data`, such as wav8k/min."""
    for root in (data / "Libri2Mix", data):
        rates = [folder for folder in (root / "wav8k", root / "wav16k") if folder.is_dir()]
        others = [f"{rate.name}/{mode.name}" for rate in rates for mode in folders.subfolders(rate)]
        if others:
            return (
                f"{root} holds Libri2Mix as {' and '.join(others)}; wav16k/max (16 kHz, the longer source's "
                f"length) with mix_both was expected: {GET} there"
            )
    return ""


def _listed(request: Request) -> Listing[Recordings]:
    root = request.root
    if _is_generated(root):
        found = {split: mixtures(root, split) for split in SPLITS}
        if request.partial:
            found = {
                split: [one for one in recordings if one.audio.is_file()]
                for split, recordings in found.items()
            }
        other = () if marks(root) else _other_speech(root)
    else:
        speakers = int(request.config["downstream_expert"]["datarc"]["num_speakers"])
        found, other = {split: _own(root / split, speakers) for split in SPLITS}, ()
    problems = [f"{split} of {root} has no recording" for split, listed in found.items() if not listed]
    return Listing(
        root,
        {split: len(recordings) for split, recordings in found.items()},
        {split: [_file(one) for one in recordings] for split, recordings in found.items()},
        found,
        problems,
        labels=(OTHER_DATA,) if other else (),
        deviations=other,
    )


def _file(recording: Recording) -> AudioFile:
    return AudioFile.named(recording.audio, str(recording.audio))


def _own(folder: Path, speakers: int) -> list[Recording]:
    """The recordings of a Kaldi-style folder; UsageError if its reference turns are of others."""
    recordings = list(kaldi.read(folder, speakers))
    if folder.name != "train":
        differ = sorted(rttm.read(folder / "rttm").keys() ^ {recording.name for recording in recordings})
        if differ:
            raise UsageError(
                f"{folder / 'rttm'} and {folder / 'wav.scp'} do not name the same recordings: {differ[0]} "
                f"(and {len(differ) - 1:,} others) is in one only; prepare the folder again"
            )
    return recordings


def mixtures(root: Path, split: str) -> list[Recording]:
    """The mixtures of a generated Libri2Mix, with the speech of both sources, in the order of its metadata.

    Ids and numbers are those of SUPERB's recipe, so that the tables are the same to the byte. Two stretches
    of one mixture that begin and end alike get one id there, and s3prl takes both for the second speaker's;
    of 61,890 in train-100 that is one pair, in dev and test there is none.
    Raises UsageError where metadata, speech times and ids do not fit together.
    """
    file = _speech_file(root, split)
    speech = _read_speech(file)
    found = []
    for place, name, path, seconds in _read_mixtures(root, split):
        segments: list[Segment] = []
        sources = name.split("_")
        if len(sources) != 2 or any(source.count("-") != 2 for source in sources):
            raise UsageError(
                f"{place} has the id {name!r}, one such as 1673-143396-0012_3536-23268-0024 was expected"
            )
        for source in sources:
            speaker, reading = source.split("-", 1)
            if reading not in speech:
                raise UsageError(f"{file} has no line for {reading}, a source of {place}")
            for owner, start, end in speech[reading]:
                if owner != speaker:
                    raise UsageError(f"{file} gives {reading} to speaker {owner}, {speaker} was expected")
                segments.append(Segment(f"{name}_{_clock(start)}_{_clock(end)}", owner, start, end))
        found.append(Recording(name, path, seconds, tuple(segments)))
    return found


def _clock(seconds: float) -> str:
    """Milliseconds, cut and not rounded, in six digits, as the recipe's utterance ids have them."""
    return f"{int(seconds * 1000):06d}"


def _read_mixtures(root: Path, split: str) -> list[tuple[str, str, Path, float]]:
    """Place of the line, id, path and seconds of each mixture."""
    folder = root / "wav16k" / "max"
    table = folder / "metadata" / f"mixture_{SPLITS[split].mixtures}_mix_both.csv"
    rows = csv.DictReader(texts.read(table, f"{GET} (16 kHz, mode max, with noise)").splitlines())
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise UsageError(f"{table} has no column {missing[0]}, expected {', '.join(COLUMNS)}; {GET} again")
    found: dict[str, tuple[str, str, Path, float]] = {}
    for row in rows:
        place = f"{table} line {rows.line_num}"
        try:
            name, path, samples = row["mixture_ID"], row["mixture_path"] or "", float(row["length"])
        except (TypeError, ValueError):
            raise UsageError(f"{place} has no length in samples; {GET} again") from None
        folders.require_writable(f"{name} {path}", place)
        if name in found:
            raise UsageError(f"{place} gives {name} a second time; {GET} again")
        # The metadata names files as they lay when the corpus was generated; it may have moved since.
        _, moved, inside = path.rpartition("Libri2Mix/")
        usual = folder / SPLITS[split].mixtures / "mix_both" / f"{name}.wav"
        where = root / inside if moved and ".." not in Path(inside).parts else usual
        found[name] = (place, name, where, samples / SAMPLE_RATE)
    return list(found.values())


def _read_speech(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Speaker, start and end in seconds of the stretches of each source, named CHAPTER-UTTERANCE there."""
    speech: dict[str, list[tuple[str, float, float]]] = {}
    for place, line in texts.lines(path, f"clone https://{FORK} again"):
        fields = line.split()
        try:
            kind, reading, _, start, duration, _, _, speaker = fields[:8]
            first = float(start)
            turn = (speaker, first, first + float(duration))
        except ValueError:
            kind = ""
        if kind != "SPEAKER":
            raise UsageError(f"{place} is {line!r}, a SPEAKER line of RTTM was expected")
        speech.setdefault(reading, []).append(turn)
    return speech


def _speech_file(root: Path, split: str) -> Path:
    """The RTTM file of a split's sources: in Libri2Mix, beside it, or in a checkout of LibriMix beside it."""
    inner = Path("metadata") / "LibriSpeech" / f"{SPLITS[split].speech}.rttm"
    places = [folder / inner for folder in (root, root.parent, root.parent / "LibriMix")]
    for path in places:
        if path.is_file():
            return path
    raise UsageError(
        f"{inner.name}, the times of speech in the LibriSpeech sources, is missing: looked for "
        f"{', '.join(map(str, places))}; clone https://{FORK} to {places[-1].parents[2]}"
    )


def _other_speech(root: Path) -> tuple[str, ...]:
    """A sentence for each file of speech times that is not SUPERB's."""
    blobs = {split: blob_id(_speech_file(root, split)) for split in SPLITS}
    return tuple(
        f"the speech times in {names.speech}.rttm are not those of SUPERB's recipe "
        f"(git blob {names.blob[:8]})"
        for split, names in SPLITS.items()
        if blobs[split] != names.blob
    )


def _written(listing: Listing[Recordings], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the Kaldi-style folders, and look at every file's header, which is kept while files stay."""
    root = listing.root
    # s3prl reads the tables of test only after training: another corpus must not have replaced them by then.
    name = hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    out = (cache / "librimix" / name).absolute()
    for split, recordings in listing.content.items():
        made = _is_generated(root)
        tables = kaldi.tables_of(recordings) if made else kaldi.copies_of(root / split, recordings)
        for table, text in tables.items():
            texts.write(out / split / table, text)
    _check_lengths(listing, out / "lengths.txt")
    return PreparedData(
        root=root,
        settings={f"loaderrc.{split}_dir": str(out / split) for split in SPLITS},
        utterances=listing.counts,
        sha256=_content_hash(out, listing.content),
    )


def _check_lengths(listing: Listing[Recordings], table: Path) -> None:
    """UsageError for the first file that is not there, or not as long as its table says."""
    files = {file.name: file for listed in listing.audio.values() for file in listed}
    lengths, problems = measured.measure(list(files.values()), audio.length, table, "headers of Libri2Mix")
    for one in (one for recordings in listing.content.values() for one in recordings):
        seconds = lengths.get(str(one.audio), 0) / SAMPLE_RATE
        if seconds and abs(seconds - one.seconds) > LENGTH_TOLERANCE:
            problems.append(f"{one.audio} lasts {seconds:.3f} s, {one.seconds:.3f} s were expected")
    checks.require_none(problems, "make its split again, then start this again")


def _content_hash(out: Path, given: Recordings) -> str:
    """Over names, lengths, speech, speakers and reference turns: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for split, recordings in given.items():
        digest.update(f"{split}\n".encode())
        for recording in recordings:
            digest.update(f"{recording.name} {recording.seconds}\n".encode())
            for segment in recording.segments:
                digest.update(f"{segment.speaker} {segment.start} {segment.end}\n".encode())
        digest.update((out / split / "rttm").read_bytes())
    return digest.hexdigest()


def _is_root(root: Path) -> bool:
    return _is_generated(root) or kaldi.is_folder(root / "test")


CORPUS = CheckedCorpus(
    name="Libri2Mix train-100, dev, test (16 kHz, max, mix_both)",
    licence="LibriSpeech CC BY 4.0, WHAM! noise CC BY-NC 4.0",
    size="7.7 GB of mixtures, 31 GB with their sources and noise",
    url="https://github.com/s3prl/LibriMix",
    # Cosentino et al. 2020, table 1.
    splits={"train": Split(13_900, 58.0), "dev": Split(3_000, 11.0), "test": Split(3_000, 11.0)},
    demo="downstream_runs.corpora.demo.librimix",
    title="Libri2Mix",
    get=GET,
    places=("Libri2Mix", "diarization"),
    holds=_is_root,
    sign="wav16k/max/metadata, or Kaldi-style folders train, dev and test with a wav.scp each",
    instead=_other_versions,
    # Mixtures, counted in the metadata of LibriMix.
    official={"train": 13_900, "dev": 3_000, "test": 3_000},
    items=dict.fromkeys(SPLITS, "recordings"),
    listed=_listed,
    written=_written,
    opened=False,
)
