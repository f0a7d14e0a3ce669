"""Libri2Mix for diarisation, turned into the Kaldi-style folders that s3prl reads.

SUPERB uses the 16 kHz `max` mixtures with noise (`wav16k/max/*/mix_both`) of s3prl's fork of LibriMix, and
takes the times of speech from forced alignments of the LibriSpeech sources that the fork holds as RTTM files:
both sources of a mixture begin at its start, so the times are those of the sources. Folders made by its own
script, or of another corpus, are taken as they are.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.audio.mixtures import TABLE, at
from downstream_runs.core.corpus import PreparedData, Problem
from downstream_runs.core.official import OTHER_DATA
from downstream_runs.corpora import audio, checks, folders, kaldi, texts
from downstream_runs.corpora.audio import SAMPLE_RATE, AudioFile
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.kaldi import Recording, Segment
from downstream_runs.corpora.markers import labels
from downstream_runs.corpora.pinned import LIBRIMIX, PinnedFile, blob_id
from downstream_runs.scoring import rttm
from upstream_arm.common.errors import UsageError


@dataclass(frozen=True)
class _Names:
    """What LibriMix calls a split's folder and its part of LibriSpeech, and git's names of two tables at
    commit d569d35c of the fork: the RTTM file of the sources, and what is mixed of them."""

    mixtures: str
    part: str
    blob: str
    mixed_blob: str

    @property
    def speech(self) -> str:
        """The name of the RTTM file, without its ending."""
        return self.part.replace("-", "_")

    @property
    def tables(self) -> tuple[PinnedFile, PinnedFile]:
        """The RTTM file, and the table of sources, noises and gains."""
        return (
            PinnedFile(f"metadata/LibriSpeech/{self.speech}.rttm", self.blob, LIBRIMIX),
            PinnedFile(f"metadata/Libri2Mix/libri2mix_{self.part}.csv", self.mixed_blob, LIBRIMIX),
        )


SPLITS: Mapping[str, _Names] = {
    "train": _Names(
        "train-100",
        "train-clean-100",
        "692dea67bc3493dd2f63f76aa2009ceaa72469f2",
        "393234e6c9035dac4b83cd973fbb92da06ad0999",
    ),
    "dev": _Names(
        "dev",
        "dev-clean",
        "07747cfdd2cea707f80a34f9c9b8e646701ef9e4",
        "6d8f1058b9235f4606f591ad8dc7632b7e71a390",
    ),
    "test": _Names(
        "test",
        "test-clean",
        "b5ed6f28b6028c98dce05a643641f4b84ebea385",
        "ea28bb09d4f64e48bccb3649eec25091bd3d49ce",
    ),
}

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
                f"length) with mix_both was expected: {CORPUS.get} there"
            )
    return ""


def _listed(request: Request) -> Listing[Recordings]:
    root, other, lacking = request.root, list[str](), list[str]()
    found: dict[str, list[Recording]] = {}
    for split in SPLITS:
        if not _is_generated(root):
            speakers = int(request.config["downstream_expert"]["datarc"]["num_speakers"])
            found[split] = _own(root / split, speakers)
            continue
        listed = mixtures(root, split)
        # Asked of each folder once, where `at` would look for its table with every recording.
        mixed = {one for one in {one.audio.parent for one in listed} if folders.is_file(one / TABLE)}
        absent = [_absent(one, one.audio.parent in mixed, request.partial) for one in listed]
        if request.partial:
            found[split] = [one for one, path in zip(listed, absent, strict=True) if path is None]
        else:
            found[split] = listed
            lacking += [f"{path} is not there, of which {split} is mixed" for path in absent if path]
        if not labels(root):
            other += _other_tables(root, split)
    return Listing(
        root,
        {split: [AudioFile.at(one.audio) for one in recordings] for split, recordings in found.items()},
        found,
        [*lacking, *(f"{split} of {root} has no recording" for split, listed in found.items() if not listed)],
        labels=(OTHER_DATA,) if other else (),
        deviations=other,
    )


def _absent(recording: Recording, mixed: bool, partial: bool) -> Path | None:
    """A file of which the recording is mixed when it is read and that is not there, or in part its own."""
    mixture = at(recording.audio) if mixed else None
    files = [part.path for part in mixture.parts] if mixture else [recording.audio] if partial else []
    return next((path for path in files if not folders.is_file(path)), None)


def _other_tables(root: Path, split: str) -> list[str]:
    """What is said of the tables of a split that are not those of SUPERB's recipe."""
    speech, mixed = SPLITS[split].tables
    tables = {"the speech times": (_speech_file(root, split), speech)}
    if (root / mixed.path).is_file():  # where it was made here
        tables["the sources"] = (root / mixed.path, mixed)
    return [
        f"{what} in {file.name} are not those of SUPERB's recipe (git blob {file.blob[:8]})"
        for what, (path, file) in tables.items()
        if blob_id(path) != file.blob
    ]


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
    speech, found = rttm.read(file), {}
    for place, name, path, seconds in _read_mixtures(root, split):
        if name in found:
            raise UsageError(f"{place} gives {name} a second time; {CORPUS.get} again")
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
            for turn in speech[reading]:
                if turn.speaker != speaker:
                    raise UsageError(
                        f"{file} gives {reading} to speaker {turn.speaker}, {speaker} was expected"
                    )
                times = f"{_clock(turn.start)}_{_clock(turn.end)}"
                segments.append(Segment(f"{name}_{times}", speaker, turn.start, turn.end))
        found[name] = Recording(name, path, seconds, tuple(segments))
    return list(found.values())


def _clock(seconds: float) -> str:
    """Milliseconds, cut and not rounded, in six digits, as the recipe's utterance ids have them."""
    return f"{int(seconds * 1000):06d}"


def _read_mixtures(root: Path, split: str) -> Iterator[tuple[str, str, Path, float]]:
    """Place of the line, id, path and seconds of each mixture."""
    import pandas

    folder = root / "wav16k" / "max"
    table = folder / "metadata" / f"mixture_{SPLITS[split].mixtures}_mix_both.csv"
    again = f"{CORPUS.get} again (16 kHz, mode max, with noise)"
    frame = texts.table(table, COLUMNS, again, dtype=str, keep_default_na=False)
    lengths = pandas.to_numeric(frame["length"], errors="coerce")
    for line, (name, path, samples) in enumerate(
        zip(frame["mixture_ID"], frame["mixture_path"], lengths.tolist(), strict=True), start=2
    ):
        place = f"{table} line {line}"
        if not samples >= 0:
            raise UsageError(f"{place} has no length in samples; {again}")
        folders.require_writable(f"{name} {path}", place)
        # The metadata names files as they lay when the corpus was generated; it may have moved since.
        _, moved, inside = path.rpartition("Libri2Mix/")
        usual = folder / SPLITS[split].mixtures / "mix_both" / f"{name}.wav"
        where = root / inside if moved and ".." not in Path(inside).parts else usual
        yield place, name, where, samples / SAMPLE_RATE


def _speech_file(root: Path, split: str) -> Path:
    """The RTTM file of a split's sources: in Libri2Mix, beside it, or in a checkout of LibriMix beside it."""
    inner = Path("metadata") / "LibriSpeech" / f"{SPLITS[split].speech}.rttm"
    places = [folder / inner for folder in (root, root.parent, root.parent / "LibriMix")]
    for path in places:
        if path.is_file():
            return path
    raise UsageError(
        f"{inner.name}, the times of speech in the LibriSpeech sources, is missing: looked for "
        f"{', '.join(map(str, places))}; clone {CORPUS.url} to {places[-1].parents[2]}"
    )


def _written(listing: Listing[Recordings], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Write the Kaldi-style folders, and look at every file's header, which is kept while files stay.

    The hash is over names, lengths, speech, speakers and reference turns.
    """
    root = listing.root
    # s3prl reads the tables of test only after training: another corpus must not have replaced them by then.
    out = (cache / "librimix" / texts.digest([str(root)])[:12]).absolute()
    pieces: list[str | bytes] = []
    for split, recordings in listing.content.items():
        made = _is_generated(root)
        tables = kaldi.tables_of(recordings) if made else kaldi.copies_of(root / split, recordings)
        for table, text in tables.items():
            texts.write(out / split / table, text)
        pieces.append(f"{split}\n")
        for one in recordings:
            pieces.append(f"{one.name} {one.seconds}\n")
            pieces += [f"{segment.speaker} {segment.start} {segment.end}\n" for segment in one.segments]
        pieces.append((out / split / "rttm").read_bytes())
    _check_lengths(listing, out / "lengths.txt")
    settings = {f"loaderrc.{split}_dir": out / split for split in SPLITS}
    return listing.prepared(texts.digest(pieces), settings)


def _check_lengths(listing: Listing[Recordings], table: Path) -> None:
    """UsageError for the first file that is not there, or not as long as its table says."""
    files = list({file.name: file for file in listing.files}.values())
    lengths, problems = audio.measure(files, audio.length, table, "headers of Libri2Mix")
    for one in (one for recordings in listing.content.values() for one in recordings):
        seconds = lengths.get(str(one.audio), 0) / SAMPLE_RATE
        if seconds and abs(seconds - one.seconds) > LENGTH_TOLERANCE:
            problems.append(Problem(f"{one.audio} lasts {seconds:.3f} s, {one.seconds:.3f} s were expected"))
    checks.require_none(problems, "make its split again, then start this again")


CORPUS = CheckedCorpus(**checks.facts("librimix"), listed=_listed, written=_written, instead=_other_versions)
