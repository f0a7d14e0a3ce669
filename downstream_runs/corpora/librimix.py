"""Libri2Mix for diarisation: found, turned into the Kaldi-style folders that s3prl reads, and checked.

SUPERB uses the 16 kHz `max` mixtures with noise (`wav16k/max/*/mix_both`) of s3prl's fork of LibriMix, and
takes the times of speech from forced alignments of the LibriSpeech sources that the fork holds as RTTM files:
both sources of a mixture begin at its start, so the times are those of the sources. Folders made by its own
script, or of another corpus, are taken as they are.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.core.official import OTHER_DATA
from downstream_runs.corpora import folders, kaldi
from downstream_runs.corpora.audio import AudioProblem, length
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.layout import SAMPLE_RATE
from downstream_runs.corpora.markers import Count, marks, read_manifest, standing
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.pinned import blob_id
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text

SPLITS: tuple[str, ...] = ("train", "dev", "test")

OFFICIAL_RECORDINGS: Mapping[str, int] = MappingProxyType({"train": 13_900, "dev": 3_000, "test": 3_000})
"""Mixtures in each split, counted in the metadata of LibriMix."""

MIXTURES: Mapping[str, str] = MappingProxyType({"train": "train-100", "dev": "dev", "test": "test"})
"""What LibriMix calls the folder of each split."""

SPEECH: Mapping[str, str] = MappingProxyType(
    {"train": "train_clean_100", "dev": "dev_clean", "test": "test_clean"}
)
"""The RTTM file of each split's sources, in metadata/LibriSpeech of s3prl's fork."""

SPEECH_BLOBS: Mapping[str, str] = MappingProxyType(
    {
        "train": "692dea67bc3493dd2f63f76aa2009ceaa72469f2",
        "dev": "07747cfdd2cea707f80a34f9c9b8e646701ef9e4",
        "test": "b5ed6f28b6028c98dce05a643641f4b84ebea385",
    }
)
"""Git's names of those files at commit d569d35c of github.com/s3prl/LibriMix."""

FORK = "github.com/s3prl/LibriMix"

COLUMNS: tuple[str, ...] = ("mixture_ID", "mixture_path", "length")

LENGTH_TOLERANCE = 0.1
"""Seconds by which a file may differ from `reco2dur`; tables rounded to tenths of a second are common."""


@dataclass(frozen=True)
class Place:
    """A corpus that was found: its root, and whether it is a generated Libri2Mix or Kaldi-style folders."""

    root: Path
    generated: bool


@dataclass(frozen=True)
class Prepared:
    """Kaldi-style folders, one a split, that may be given to s3prl.

    `recordings` per split, their files, a hash over all that the tables say, and what the corpus is beside
    SUPERB's.
    """

    root: Path
    folders: Mapping[str, Path]
    recordings: Mapping[str, int]
    audio: tuple[Path, ...]
    sha256: str
    standing: Standing


Given = Mapping[str, tuple[Recording, ...]]


def find(data: Path) -> Place:
    """Libri2Mix in `data`, or Kaldi-style folders train, dev, test in DATA/diarization or `data` itself.

    Raises UsageError if there is neither.
    """
    data = folders.place(data)
    for root in (data / "Libri2Mix", data):
        if _metadata(root).is_dir():
            return Place(root, generated=True)
    for root in (data / "diarization", data / "Libri2Mix", data):
        if kaldi.is_folder(root / "test"):
            return Place(root, generated=False)
    for root in (data / "Libri2Mix", data):
        others = _other_versions(root)
        if others:
            raise UsageError(
                f"{root} holds Libri2Mix as {' and '.join(others)}; wav16k/max (16 kHz, the longer "
                f"source's length) with mix_both was expected: run generate_librimix_sd.sh of {FORK} there"
            )
    found = f"{data} does not exist" if not data.is_dir() else "neither is there"
    raise UsageError(
        f"no Libri2Mix in {data}: looked for {_metadata(data / 'Libri2Mix')} and for Kaldi-style "
        f"folders such as {data / 'diarization' / 'test'} with a wav.scp, and {found}; "
        f"run generate_librimix_sd.sh of {FORK} there, or try the whole path on synthetic speech with --demo"
    )


def _other_versions(root: Path) -> list[str]:
    """The versions of LibriMix that a folder holds, such as wav8k/min."""
    rates = [folder for folder in (root / "wav8k", root / "wav16k") if folder.is_dir()]
    return [f"{rate.name}/{mode.name}" for rate in rates for mode in folders.subfolders(rate)]


def look_at(data: Path, speakers: int, partial: bool) -> tuple[Place, Given, Standing]:
    """Find the corpus and read its tables; its recordings of each split, and what it is beside SUPERB's.

    Raises UsageError for tables that cannot be used, and for a split that is not complete unless `partial`
    allows it: mixtures of a generated Libri2Mix that are not there are left out then.
    """
    place = find(data)
    root = place.root
    given = {split: _recordings(place, split, speakers) for split in SPLITS}
    if partial and place.generated and not marks(root):
        given = {
            split: tuple(recording for recording in recordings if recording.audio.is_file())
            for split, recordings in given.items()
        }
    if marks(root) or not all(given.values()):
        for split, recordings in given.items():
            _check_number(root, split, len(recordings))
    counts = [
        Count(split, len(recordings), OFFICIAL_RECORDINGS[split], "recordings")
        for split, recordings in given.items()
    ]
    again = f"generate Libri2Mix again with generate_librimix_sd.sh of {FORK}"
    found = standing(root, counts, partial, again)
    other = _other_speech(root) if place.generated else []
    return place, given, found.and_also(other, [OTHER_DATA] if other else [])


def write(data: Path, out: Path, speakers: int, partial: bool = False) -> Prepared:
    """Find the corpus, write its checked Kaldi-style folders below `out`, and look at every file's header.

    Raises UsageError for audio that cannot be used, and as `look` does; nothing is written before all tables
    were found good. Headers are read once: while names, sizes and times of the files stay the same, they are
    not read again.
    """
    place, given, found = look_at(data, speakers, partial)
    root = place.root
    # s3prl reads the tables of test only after training: another corpus must not have replaced them by then.
    out = out / hashlib.sha256(str(root).encode("utf-8", "surrogateescape")).hexdigest()[:12]
    folders = {split: (out / split).absolute() for split in SPLITS}
    for split, recordings in given.items():
        with writing(folders[split]):
            if place.generated:
                kaldi.write(folders[split], recordings)
            else:
                kaldi.copy(root / split, folders[split], recordings)
            _check_audio(recordings, split, out / f"{split}.audio.json")
    return Prepared(
        root=root,
        folders=folders,
        recordings={split: len(recordings) for split, recordings in given.items()},
        audio=tuple(recording.audio for recordings in given.values() for recording in recordings),
        sha256=_content_hash(folders, given),
        standing=found,
    )


def _recordings(place: Place, split: str, speakers: int) -> tuple[Recording, ...]:
    if place.generated:
        return mixtures(place.root, split)
    folder = place.root / split
    recordings = kaldi.read(folder, speakers)
    if split != "train":
        differ = sorted(kaldi.reference_files(folder) ^ {recording.name for recording in recordings})
        if differ:
            raise UsageError(
                f"{folder / 'rttm'} and {folder / 'wav.scp'} do not name the same recordings: {differ[0]} "
                f"(and {len(differ) - 1:,} others) is in one only; prepare the folder again"
            )
    return recordings


def mixtures(root: Path, split: str) -> tuple[Recording, ...]:
    """The mixtures of a generated Libri2Mix, with the speech of both sources, in the order of its metadata.

    Ids and numbers are those of SUPERB's recipe, so that the tables are the same to the byte. Two stretches
    of one mixture that begin and end alike get one id there, and s3prl takes both for the second speaker's;
    of 61,890 in train-100 that is one pair, in dev and test there is none.
    Raises UsageError where metadata, speech times and ids do not fit together.
    """
    table = _metadata(root) / f"mixture_{MIXTURES[split]}_mix_both.csv"
    speech = _read_speech(_speech_file(root, split))
    found = []
    for place, name, path, seconds in _read_mixtures(table):
        segments: list[Segment] = []
        sources = name.split("_")
        if len(sources) != 2 or any(source.count("-") != 2 for source in sources):
            raise UsageError(
                f"{place} has the id {name!r}, one such as 1673-143396-0012_3536-23268-0024 was expected"
            )
        for source in sources:
            speaker, reading = source.split("-", 1)
            if reading not in speech:
                raise UsageError(
                    f"{_speech_file(root, split)} has no line for {reading}, a source of {place}"
                )
            for owner, start, end in speech[reading]:
                if owner != speaker:
                    raise UsageError(
                        f"{_speech_file(root, split)} gives {reading} to speaker {owner}, "
                        f"{speaker} was expected"
                    )
                segments.append(Segment(f"{name}_{_clock(start)}_{_clock(end)}", owner, start, end))
        found.append(Recording(name, _mixture_path(root, split, name, path), seconds, tuple(segments)))
    return tuple(found)


def _clock(seconds: float) -> str:
    """Milliseconds, cut and not rounded, in six digits, as the recipe's utterance ids have them."""
    return f"{int(seconds * 1000):06d}"


def _mixture_path(root: Path, split: str, name: str, path: str) -> Path:
    """The metadata names files as they lay when the corpus was generated; it may have moved since."""
    _, found, inside = path.rpartition("Libri2Mix/")
    usual = root / "wav16k" / "max" / MIXTURES[split] / "mix_both" / f"{name}.wav"
    return root / inside if found and ".." not in Path(inside).parts else usual


def _read_mixtures(table: Path) -> list[tuple[str, str, str, float]]:
    """Place of the line, id, path and seconds of each mixture."""
    if not table.is_file():
        raise UsageError(
            f"{table} is missing: SUPERB's diarisation uses 16 kHz, mode max, with noise; run "
            f"generate_librimix_sd.sh of {FORK}"
        )
    rows = csv.DictReader(table.read_text(encoding="utf-8").splitlines())
    missing = [column for column in COLUMNS if column not in (rows.fieldnames or ())]
    if missing:
        raise UsageError(
            f"{table} has no column {missing[0]}, expected {', '.join(COLUMNS)}; generate it again"
        )
    found: dict[str, tuple[str, str, str, float]] = {}
    for row in rows:
        place = f"{table} line {rows.line_num}"
        try:
            name, path, samples = row["mixture_ID"], row["mixture_path"] or "", float(row["length"])
        except (TypeError, ValueError):
            raise UsageError(f"{place} has no length in samples; generate Libri2Mix again") from None
        folders.require_writable(f"{name} {path}", place)
        if name in found:
            raise UsageError(f"{place} gives {name} a second time; generate Libri2Mix again")
        found[name] = (place, name, path, samples / SAMPLE_RATE)
    return list(found.values())


def _read_speech(path: Path) -> dict[str, list[tuple[str, float, float]]]:
    """Speaker, start and end in seconds of the stretches of each source, named CHAPTER-UTTERANCE there."""
    speech: dict[str, list[tuple[str, float, float]]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        fields = line.split()
        try:
            kind, reading, _, start, duration, _, _, speaker = fields[:8]
            first = float(start)
            turn = (speaker, first, first + float(duration))
        except ValueError:
            kind = ""
        if kind != "SPEAKER":
            raise UsageError(f"{path} line {number} is {line!r}, a SPEAKER line of RTTM was expected")
        speech.setdefault(reading, []).append(turn)
    return speech


def _speech_file(root: Path, split: str) -> Path:
    """The RTTM file of a split's sources: in Libri2Mix, beside it, or in a checkout of LibriMix beside it."""
    inner = Path("metadata") / "LibriSpeech" / f"{SPEECH[split]}.rttm"
    places = [folder / inner for folder in (root, root.parent, root.parent / "LibriMix")]
    for path in places:
        if path.is_file():
            return path
    raise UsageError(
        f"{inner.name}, the times of speech in the LibriSpeech sources, is missing: looked for "
        f"{', '.join(map(str, places))}; clone https://{FORK} to {places[-1].parents[2]}"
    )


def _other_speech(root: Path) -> list[str]:
    """A sentence for each file of speech times that is not SUPERB's; a made corpus says so already."""
    if marks(root):
        return []
    return [
        f"the speech times in {SPEECH[split]}.rttm are not those of SUPERB's recipe (git blob {blob[:8]})"
        for split, blob in SPEECH_BLOBS.items()
        if blob_id(_speech_file(root, split)) != blob
    ]


def _metadata(root: Path) -> Path:
    return root / "wav16k" / "max" / "metadata"


def _check_number(root: Path, split: str, found: int) -> None:
    marked = marks(root)
    if not marked:
        expected: object = OFFICIAL_RECORDINGS[split]
        advice = f"generate Libri2Mix again with generate_librimix_sd.sh of {FORK}, or try --demo first"
    else:
        manifest = read_manifest(root, marked[0]) or {}
        expected = (manifest.get("recordings") or {}).get(split)
        advice = f"delete {root} and make the {marked[0].label} corpus again"
    if found != expected:
        wanted = f"{expected:,} were" if isinstance(expected, int) else "a whole corpus was"
        raise UsageError(f"{split} of {root} has {found:,} recordings, {wanted} expected; {advice}")


def _check_audio(recordings: Sequence[Recording], split: str, record: Path) -> None:
    """Every file is there, one channel of 16 kHz, as long as its table says; UsageError names the first."""
    from concurrent.futures import ThreadPoolExecutor

    from tqdm import tqdm

    key = _listing_hash(recordings)
    try:
        if json.loads(record.read_text(encoding="utf-8")) == {"listing": key}:
            return
    except (OSError, ValueError):
        pass
    with ThreadPoolExecutor(max_workers=8) as pool:
        checked = pool.map(_audio_problem, recordings)
        bar = tqdm(checked, total=len(recordings), desc=f"headers {split}", unit="file", disable=None)
        problems = [problem for problem in bar if problem]
    if problems:
        others = f" (and {len(problems) - 1:,} more such files)" if len(problems) > 1 else ""
        raise UsageError(f"{problems[0]}{others}; make {split} again, then start this again")
    atomic_write_text(record, json.dumps({"listing": key}) + "\n")


def _audio_problem(recording: Recording) -> str | None:
    try:
        seconds = length(recording.audio) / SAMPLE_RATE
    except AudioProblem as problem:
        return str(problem)
    if abs(seconds - recording.seconds) > LENGTH_TOLERANCE:
        return f"{recording.audio} lasts {seconds:.3f} s, {recording.seconds:.3f} s were expected"
    return None


def _listing_hash(recordings: Sequence[Recording]) -> str:
    digest = hashlib.sha256()
    for recording in recordings:
        try:
            status = recording.audio.stat()
        except OSError:
            digest.update(f"{recording.audio}\0absent\n".encode())
            continue
        digest.update(
            f"{recording.audio}\0{recording.seconds}\0{status.st_size}\0{status.st_mtime_ns}\n".encode()
        )
    return digest.hexdigest()


def _content_hash(folders: Mapping[str, Path], given: Mapping[str, Sequence[Recording]]) -> str:
    """Over names, lengths, speech, speakers and reference turns: all that decides a run but the samples."""
    digest = hashlib.sha256()
    for split, recordings in given.items():
        digest.update(f"{split}\n".encode())
        for recording in recordings:
            digest.update(f"{recording.name} {recording.seconds}\n".encode())
            for segment in recording.segments:
                digest.update(f"{segment.speaker} {segment.start} {segment.end}\n".encode())
        digest.update((folders[split] / "rttm").read_bytes())
    return digest.hexdigest()


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Find Libri2Mix or Kaldi-style folders under `data` and hold their tables against the counts."""
    return look_at(data, _speakers(config), partial)[2]


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find Libri2Mix or Kaldi-style folders under `data`, check them, and write what s3prl reads."""
    prepared = write(data, cache / "librimix", _speakers(config), partial)
    return PreparedData(
        root=prepared.root,
        settings={f"loaderrc.{split}_dir": str(folder) for split, folder in prepared.folders.items()},
        utterances=prepared.recordings,
        audio=prepared.audio,
        sha256=prepared.sha256,
        **prepared.standing.facts,
    )


def _speakers(config: Mapping[str, Any]) -> int:
    """How many speakers a recording may have."""
    return int(config["downstream_expert"]["datarc"]["num_speakers"])


def _make_demo(folder: Path) -> Path:
    """The synthetic Libri2Mix, made in `folder`."""
    from downstream_runs.corpora.demo import librimix

    return librimix.make(folder)


CORPUS = Corpus(
    name="Libri2Mix train-100, dev, test (16 kHz, max, mix_both)",
    licence="LibriSpeech CC BY 4.0, WHAM! noise CC BY-NC 4.0",
    size="7.7 GB of mixtures, 31 GB with their sources and noise",
    url="https://github.com/s3prl/LibriMix",
    splits={"train": Split(13_900, 58.0), "dev": Split(3_000, 11.0), "test": Split(3_000, 11.0)},
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
