"""Speech Commands: found, split as the corpus splits itself, and what is wrong with it said."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from downstream_runs import tasks
from downstream_runs.corpora import markers
from downstream_runs.corpora import speech_commands as corpus
from downstream_runs.corpora.demo import utterances as demo
from upstream_arm.common.errors import UsageError

CONFIG = tasks.get("ks").recipes["demo"].copy_config()

# From the list of a release of Speech Commands: a name, and the part that the corpus itself puts it in.
OFFICIAL = {
    "439c84f4_nohash_1.wav": "dev",
    "51055bda_nohash_4.wav": "train",
    "563aa4e6_nohash_2.wav": None,
}


@pytest.fixture
def copy(label_demos: Path, tmp_path: Path) -> Path:
    """A folder with both parts of the synthetic corpus, without marks: what a user may have."""
    for name in (corpus.TRAIN_FOLDER, corpus.TEST_FOLDER):
        shutil.copytree(label_demos / name, tmp_path / name)
        for mark in ("DEMO.txt", "DEMO.json"):
            (tmp_path / name / mark).unlink()
    return tmp_path


def prepare(data: Path) -> object:
    return tasks.get("ks").corpus.prepare(data, data / "cache", CONFIG, True)


@pytest.mark.parametrize(("name", "part"), OFFICIAL.items())
def test_the_part_is_the_corpus_s_own(name: str, part: str | None) -> None:
    assert corpus.part(name) == part


def test_real_words_fall_in_their_official_parts(shared_dir: Path) -> None:
    source = shared_dir / "data" / "speech_commands_sample"
    rows = [line.split("\t") for line in (source / "files.tsv").read_text().splitlines()[1:]]
    official = {"train": "train", "validation": "dev", "test": None}
    assert len(rows) == 160
    assert all(corpus.part(Path(row[0]).name) == official[row[4]] for row in rows)


def test_s3prl_splits_in_the_same_way(label_demos: Path) -> None:
    pytest.importorskip("s3prl")
    from downstream_runs import bridge

    bridge.apply()
    from s3prl.downstream.speech_commands.expert import split_dataset

    listing = corpus.CORPUS.listed(corpus.CORPUS.request(label_demos, None, {}))
    for name, found in zip(("train", "dev"), split_dataset(listing.root), strict=True):
        ours = sorted(file.path for file in listing.audio[f"{name} words"])
        assert sorted(path for _, path in found) == ours != []


def test_every_class_is_in_every_part_of_the_demo(label_demos: Path) -> None:
    listing = corpus.CORPUS.listed(corpus.CORPUS.request(label_demos, None, {}))
    assert corpus.CORPUS.standing(listing, False, 1000).labels == ("demo",) and not listing.problems
    speakers = {
        name: {file.path.name[:8] for file in listing.audio[f"{name} words"] if "_nohash_" in file.name}
        for name in ("train", "dev", "test")
    }
    assert not speakers["train"] & speakers["dev"] and not speakers["test"] & speakers["train"]


def test_the_demo_is_the_same_each_time(label_demos: Path, tmp_path: Path) -> None:
    demo.speech_commands(tmp_path)
    for name in (corpus.TRAIN_FOLDER, corpus.TEST_FOLDER):
        manifests = [markers.read_manifest(root / name, markers.DEMO) for root in (label_demos, tmp_path)]
        assert manifests[0] == manifests[1] is not None


def test_a_corpus_with_fewer_words_is_partial(copy: Path) -> None:
    prepared = prepare(copy)
    assert prepared.labels == ("partial",)  # type: ignore[attr-defined]
    [sentence] = prepared.deviations  # type: ignore[attr-defined]
    assert "speech_commands_v0.01 has 112 of 64,721 words" in sentence
    assert "speech_commands_test_set_v0.01 has 29 of 3,081 words" in sentence


def _no_test_set(data: Path) -> None:
    shutil.rmtree(data / corpus.TEST_FOLDER)


def _version_2(data: Path) -> None:
    (data / corpus.TRAIN_FOLDER / "visual").mkdir()


def _other_test_folder(data: Path) -> None:
    (data / corpus.TEST_FOLDER / "bird").mkdir()


def _no_silence_in_test(data: Path) -> None:
    shutil.rmtree(data / corpus.TEST_FOLDER / "_silence_")


def _cut_short(data: Path) -> None:
    path = sorted((data / corpus.TRAIN_FOLDER / "bird").glob("*.wav"))[0]
    path.write_bytes(path.read_bytes()[:-1000])


def _empty(data: Path) -> None:
    sorted((data / corpus.TRAIN_FOLDER / "yes").glob("*.wav"))[2].write_bytes(b"")


def _short_noise(data: Path) -> None:
    path = data / corpus.TRAIN_FOLDER / corpus.NOISE / "pink_noise.wav"
    soundfile.write(path, soundfile.read(path)[0][:15999], 16000, subtype="PCM_16")


def _other_rate(data: Path) -> None:
    path = data / corpus.TRAIN_FOLDER / corpus.NOISE / "pink_noise.wav"
    soundfile.write(path, soundfile.read(path)[0], 8000, subtype="PCM_16")


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (_no_test_set, "there is no folder .*speech_commands_test_set_v0.01 .*unpack"),
        (_version_2, "visual is not one of the folders of version 0.01 .*unpack"),
        (_other_test_folder, "bird is not one of the folders of speech_commands_test_set_v0.01, .*unpack"),
        (_no_silence_in_test, "test_set_v0.01 has no test file of _silence_, of 12 classes.*unpack"),
        (_cut_short, "bird.*wav is cut short: it ends 1,000 bytes before"),
        (_empty, r"yes.*wav is empty \(0 bytes\)"),
        (_short_noise, "pink_noise.wav has 15,999 samples at 16,000 Hz, at least 16,000"),
        (_other_rate, "pink_noise.wav is sampled at 8,000 Hz, 16,000 Hz was expected"),
    ],
)
def test_what_is_wrong_is_said(copy: Path, spoil: Callable[[Path], None], says: str) -> None:
    spoil(copy)
    with pytest.raises(UsageError, match=says):
        prepare(copy)


def test_nothing_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no Speech Commands v0.01 in .* with --demo"):
        prepare(tmp_path)
