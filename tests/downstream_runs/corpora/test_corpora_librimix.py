"""Libri2Mix as s3prl's diarisation reads it: the recipe's tables, and every refusal."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path

import libri2mix
import numpy as np
import pytest
import soundfile
from libri2mix import FIRST, SECOND

from downstream_runs import tasks
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import kaldi, librimix
from downstream_runs.corpora.demo import librimix as demo
from upstream_arm.common.errors import UsageError


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    few = dataclasses.replace(librimix.CORPUS, official=libri2mix.OFFICIAL)
    monkeypatch.setattr(librimix, "CORPUS", few)
    libri2mix.make(tmp_path / "data")
    return tmp_path / "data"


def prepare(data: Path, cache: Path) -> PreparedData:
    return librimix.CORPUS.prepare(data, cache, tasks.get("sd").recipes["superb"].config)


def folders(prepared: PreparedData) -> dict[str, Path]:
    return {split: Path(prepared.settings[f"loaderrc.{split}_dir"]) for split in librimix.SPLITS}


def as_kaldi(data: Path, tmp_path: Path) -> Path:
    """The folders that `prepare` writes, as a user's own data."""
    prepared = prepare(data, tmp_path / "first")
    for split, folder in folders(prepared).items():
        shutil.copytree(folder, tmp_path / "own" / "diarization" / split)
    return tmp_path / "own"


def test_tables_are_those_of_the_recipe(data: Path, tmp_path: Path) -> None:
    prepared = prepare(data, tmp_path / "out")
    dev = folders(prepared)["dev"]
    # As LibriMix's scripts/prepare_diarization.py wrote them from the same rows.
    assert (dev / "reco2dur").read_text() == f"{FIRST} 9.7\n{SECOND} 5.815\n"
    assert (dev / "segments").read_text().splitlines()[:3] == [
        f"{FIRST}_000300_009400 {FIRST} 0.3 9.4",
        f"{FIRST}_000260_003370 {FIRST} 0.26 3.37",
        f"{SECOND}_000460_005620 {SECOND} 0.46 5.62",
    ]
    assert (dev / "rttm").read_text().splitlines()[:2] == [
        f"SPEAKER\t{FIRST}\t1\t0.3\t9.1\t<NA>\t<NA>\t3536\t<NA>",
        f"SPEAKER\t{FIRST}\t1\t0.26\t3.1100000000000003\t<NA>\t<NA>\t1673\t<NA>",
    ]
    assert (dev / "utt2spk").read_text().splitlines()[0] == f"{FIRST}_000300_009400 3536"
    assert (dev / "spk2utt").read_text().splitlines()[0] == f"3536 {FIRST}"
    wav = data / "Libri2Mix/wav16k/max/dev/mix_both" / f"{FIRST}.wav"
    assert (dev / "wav.scp").read_text().splitlines()[0] == f"{FIRST} {wav}"
    assert prepared.utterances == {"train": 2, "dev": 2, "test": 2}
    # The files of speech times are two lines of the real ones.
    assert len(prepared.deviations) == 3
    assert "train_clean_100.rttm are not those of SUPERB's recipe" in prepared.deviations[0]


def test_own_kaldi_folders_give_the_same_tables(data: Path, tmp_path: Path) -> None:
    prepared = prepare(data, tmp_path / "a")
    again = prepare(as_kaldi(data, tmp_path), tmp_path / "b")
    for split, folder in folders(prepared).items():
        for table in kaldi.TABLES:
            assert (folder / table).read_bytes() == (folders(again)[split] / table).read_bytes()
    assert prepared.sha256 == again.sha256


def test_two_corpora_never_share_a_folder(data: Path, tmp_path: Path) -> None:
    own = as_kaldi(data, tmp_path)
    first = folders(prepare(data, tmp_path / "out"))["test"]
    assert first != folders(prepare(own, tmp_path / "out"))["test"]


def test_the_hash_follows_the_speech_times(data: Path, tmp_path: Path) -> None:
    before = prepare(data, tmp_path / "out").sha256
    assert prepare(data, tmp_path / "out").sha256 == before
    path = data / "LibriMix/metadata/LibriSpeech/test_clean.rttm"
    path.write_text(path.read_text().replace("2.400", "2.410"))
    assert prepare(data, tmp_path / "out").sha256 != before


def mixture(data: Path) -> Path:
    return data / "Libri2Mix/wav16k/max/test/mix_both" / f"{SECOND}.wav"


def write(rate: int, samples: int) -> Callable[[Path], None]:
    return lambda data: soundfile.write(mixture(data), np.zeros(samples), rate)


def edit(name: str, old: str, new: str) -> Callable[[Path], None]:
    def change(data: Path) -> None:
        text = (data / name).read_text()
        assert old in text
        (data / name).write_text(text.replace(old, new))

    return change


TABLE = "Libri2Mix/wav16k/max/metadata/mixture_test_mix_both.csv"
SPEECH = "LibriMix/metadata/LibriSpeech/test_clean.rttm"


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda data: mixture(data).unlink(), f"{SECOND}.wav cannot be read"),
        (lambda data: mixture(data).write_bytes(b""), f"{SECOND}.wav is empty"),
        (write(8000, 46520), "is sampled at 8,000 Hz, 16,000 Hz was expected"),
        (write(16000, 80000), f"{SECOND}.wav lasts 5.000 s, 5.815 s were expected"),
        (
            lambda data: (data / TABLE).unlink(),
            "mix_both.csv cannot be read as a table (no such file",
        ),
        (edit(TABLE, ",length", ",samples"), "has no column length"),
        (edit(TABLE, ",93040", ","), "line 3 has no length in samples"),
        (edit(TABLE, SECOND + ",", FIRST + ","), f"line 3 gives {FIRST} a second time"),
        (edit(TABLE, SECOND + ",", "odd,"), "line 3 has the id 'odd'"),
        (lambda data: (data / SPEECH).unlink(), "test_clean.rttm, the times of speech"),
        (edit(SPEECH, "126732-0053", "126732-0054"), "has no line for 126732-0053"),
        (edit(SPEECH, "777 <NA>", "778 <NA>"), "gives 126732-0053 to speaker 778, 777 was expected"),
        (edit(SPEECH, "5.160", "long"), "line 3: '0.460' and 'long' are no two times"),
    ],
)
def test_a_damaged_libri2mix_is_refused_in_one_sentence(
    data: Path, tmp_path: Path, damage: Callable[[Path], None], words: str
) -> None:
    damage(data)
    with pytest.raises(UsageError) as refusal:
        prepare(data, tmp_path / "out")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_nothing_is_written_for_bad_tables(data: Path, tmp_path: Path) -> None:
    (data / SPEECH).unlink()
    with pytest.raises(UsageError):
        prepare(data, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_split_that_is_not_whole_is_refused(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official = {"train": 13_900, "dev": 3_000, "test": 3_000}
    monkeypatch.setattr(librimix, "CORPUS", dataclasses.replace(librimix.CORPUS, official=official))
    with pytest.raises(UsageError, match=r"train has 2 of 13,900 recordings, dev has .* add --partial"):
        prepare(data, tmp_path / "out")


def test_a_folder_without_the_corpus_is_named(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Libri2Mix in .*generate_librimix_sd.sh.*--demo"):
        librimix.CORPUS.find(tmp_path)


OWN = "diarization/test"


@pytest.mark.parametrize(
    ("name", "old", "new", "words"),
    [
        ("wav.scp", f"{FIRST} /", f"{FIRST} cat /", "cannot be read"),
        ("wav.scp", ".wav\n", ".wav |\n", "has a command"),
        ("wav.scp", f"{SECOND} ", f"{FIRST} ", f"gives {FIRST} a second time"),
        ("wav.scp", f"{SECOND} ", "a/b ", "has the recording id 'a/b'"),
        ("reco2dur", "5.815", "five", "the time 'five'"),
        ("reco2dur", "5.815", "0.2", f"says that {SECOND} lasts 0.2 s"),
        ("reco2dur", f"{SECOND} 5.815\n", "", f"has no line for recording {SECOND}"),
        ("segments", " 0.3 9.4", " 9.4 0.3", "ends at 0.3 s"),
        ("segments", " 0.3 9.4", " 0.3", "UTTERANCE RECORDING START END was expected"),
        ("segments", f" {SECOND} ", " other ", "is for recording other"),
        ("utt2spk", f"{FIRST}_000300_009400 3536\n", "", "gives no speaker"),
        ("utt2spk", " 1673\n", " 1673\n\n", "is '', UTTERANCE SPEAKER was expected"),
        ("rttm", f"\t{SECOND}\t", "\tother\t", "do not name the same recordings"),
    ],
)
def test_bad_kaldi_folders_are_refused_in_one_sentence(
    data: Path, tmp_path: Path, name: str, old: str, new: str, words: str
) -> None:
    own = as_kaldi(data, tmp_path)
    edit(f"{OWN}/{name}", old, new)(own)
    with pytest.raises(UsageError) as refusal:
        prepare(own, tmp_path / "out")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_third_speaker_is_refused(data: Path, tmp_path: Path) -> None:
    own = as_kaldi(data, tmp_path)
    with (own / OWN / "segments").open("a") as file:
        file.write(f"third {FIRST} 1.0 2.0\n")
    with (own / OWN / "utt2spk").open("a") as file:
        file.write("third 99\n")
    with pytest.raises(UsageError, match=r"has 3 speakers \(1673, 3536, 99\), 2 at most"):
        prepare(own, tmp_path / "out")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    return demo.make(tmp_path_factory.mktemp("made"))


def test_the_demo_is_prepared_like_the_real_corpus(made: Path, tmp_path: Path) -> None:
    prepared = prepare(made.parent, tmp_path)
    assert prepared.utterances == dict(demo.RECORDINGS)
    assert (prepared.labels, prepared.deviations) == (("demo",), ())


def test_the_demo_has_speech_exactly_where_its_times_say(made: Path) -> None:
    overlap = 0.0
    for recording in librimix.mixtures(made, "dev"):
        wave, _ = soundfile.read(recording.audio)
        speech = np.zeros(len(wave), int)
        for segment in recording.segments:
            start, end = round(segment.start * 16000), round(segment.end * 16000)
            speech[start:end] += 1
            # Speech begins in the first hundredth of a second and ends in the last one.
            assert np.abs(wave[start : start + 160]).max() > 2 * demo.NOISE
            assert np.abs(wave[end - 160 : end]).max() > 2 * demo.NOISE
        assert np.abs(wave[speech == 0]).max() <= 1.01 * demo.NOISE
        overlap += float((speech == 2).mean())
    assert overlap > 1


def test_the_demo_is_the_same_each_time_and_made_again_when_damaged(made: Path, tmp_path: Path) -> None:
    copy = tmp_path / "Libri2Mix"
    shutil.copytree(made, copy)
    victim = next((copy / "wav16k/max/dev/mix_both").glob("*.wav"))
    victim.write_bytes(b"cut")
    assert demo.make(tmp_path) == copy
    assert (copy / "DEMO.json").read_bytes() == (made / "DEMO.json").read_bytes()
    assert victim.read_bytes() == (made / victim.relative_to(copy)).read_bytes()
