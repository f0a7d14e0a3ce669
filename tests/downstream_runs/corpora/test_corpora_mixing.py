"""Libri2Mix made here: the samples of its own script, kills, refusals, and mixtures that are no files."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Callable
from pathlib import Path
from typing import Any

import libri2mix_sources as sources
import numpy as np
import pytest
import soundfile

from downstream_runs import bridge, tasks
from downstream_runs.audio import mixtures
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, librimix, mixing, pinned, verified
from upstream_arm.common.errors import UsageError

SHORT = sorted(
    sources.rows(), key=lambda row: max(int(row["source_1_samples"]), int(row["source_2_samples"]))
)
FEW = [row for split in librimix.SPLITS for row in [r for r in SHORT if r["split"] == split][:2]]
"""Two short mixtures of each split."""


@pytest.fixture(scope="module")
def hundred(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("hundred")
    sources.lay(root, sources.rows())
    return root


@pytest.fixture
def few(tmp_path: Path) -> Path:
    sources.lay(tmp_path / "few", FEW)
    return tmp_path / "few"


def make(laid: Path, target: Path, **options: Any) -> mixing.Made:
    target.mkdir(exist_ok=True)
    return mixing.make(laid, laid, laid / "LibriMix", target, **options)


def path_of(root: Path, row: sources.Row) -> Path:
    return mixing.folder_of(root, row["split"]) / f"{row['mixture_ID']}.wav"


def sha256(path: Path) -> str:
    with mixtures.opened(path) as file:
        return hashlib.sha256(file.read()).hexdigest()


def prepare(data: Path, out: Path, partial: bool = True) -> PreparedData:
    return librimix.CORPUS.prepare(data, out, tasks.get("sd").recipes["superb"].config, partial)


def tables(data: Path) -> list[str]:
    return sorted(path.name for path in data.rglob("mixture_*.csv"))


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_a_hundred_mixtures_are_those_of_librimix(hundred: Path, tmp_path: Path, on_the_fly: bool) -> None:
    made = make(hundred, tmp_path / "data", on_the_fly=on_the_fly)
    assert made.mixtures == {"train": 40, "dev": 30, "test": 30}
    assert made.written == (0 if on_the_fly else 100)
    assert len(list(made.root.rglob("*.wav"))) == made.written
    wrong = [
        row["mixture_ID"]
        for row in sources.rows()
        if sha256(path_of(made.root, row)) != row["sha256_of_noise"]
    ]
    assert wrong == []
    assert len(librimix.mixtures(made.root, "dev")) == 30


def test_of_real_speech_too(shared_dir: Path, tmp_path: Path) -> None:
    sources.lay(tmp_path / "laid", sources.rows(), shared_dir / "data")
    made = make(tmp_path / "laid", tmp_path / "data")
    wrong = [
        row["mixture_ID"]
        for row in sources.rows()
        if sha256(path_of(made.root, row)) != row["sha256_of_speech"]
    ]
    assert wrong == []


def test_runs_see_no_difference_between_files_and_mixtures(few: Path, tmp_path: Path) -> None:
    bridge.apply()
    from s3prl.downstream.diarization.dataset import DiarizationDataset

    found, manifests = {}, {}
    for name in ("files", "read"):
        made = make(few, tmp_path / name, on_the_fly=name == "read")
        once = prepare(tmp_path / name, tmp_path / f"out {name}")
        prepared = audio.sampled(once)
        folder = prepared.settings["loaderrc.dev_dir"]
        # Pieces of 1 s, as s3prl cuts long recordings, each read by itself.
        dataset = DiarizationDataset("dev", folder, chunk_size=100, frame_shift=160, num_speakers=2)
        corpus = (once.root, once.audio, tmp_path / name)
        assert not verified.decoded_on(*corpus)
        manifests[name] = verified.verify(*corpus)
        assert verified.decoded_on(*corpus)
        found[name] = (prepared, [dataset[number] for number in range(len(dataset))])
        assert audio.form(path_of(made.root, FEW[0]), decoded=True).rate == 16_000
    assert manifests["files"].sha256 == manifests["read"].sha256 != ""
    noise = few / "wham_noise" / FEW[0]["noise_path"]
    os.utime(noise, ns=(1, 1))
    assert not verified.decoded_on(*corpus)
    prepare(tmp_path / "read", tmp_path / "read")
    assert verified.decoded_on(*corpus)
    content = noise.read_bytes()
    noise.write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match=noise.name):
        prepare(tmp_path / "read", tmp_path / "read")
    noise.write_bytes(content)
    assert found["files"][0].sha256 == found["read"][0].sha256
    assert found["files"][0].labels == found["read"][0].labels == ("partial", "other-data")
    assert len(found["files"][1]) == len(found["read"][1]) > 6
    for (wave, labels), (same, as_well) in zip(found["files"][1], found["read"][1], strict=True):
        assert wave.dtype == same.dtype and np.array_equal(wave, same) and np.array_equal(labels, as_well)


def test_killed_at_any_moment_it_goes_on(hundred: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    given = ("--librispeech", hundred, "--wham", hundred, "--metadata", hundred / "LibriMix")
    command = [sys.executable, "-m", "downstream_runs", "mix", "--data", data, *given, "--jobs", "2"]
    for number in (1, 20, 50):
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and len(list(data.rglob("*.wav"))) < number:
                time.sleep(0.005)
            process.send_signal(signal.SIGKILL)
        assert process.returncode == -signal.SIGKILL
        with pytest.raises(UsageError, match=r"mixture_train-100_mix_both.csv cannot be read.*command mix"):
            prepare(data, tmp_path / "out")
    left = len(list(data.rglob("*.wav")))
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert f"{100 - left} of them written now" in done.stdout
    assert all(sha256(path_of(data / "Libri2Mix", row)) == row["sha256_of_noise"] for row in sources.rows())
    assert list(data.rglob("*.tmp")) == []
    assert make(hundred, data).written == 0


def test_what_is_not_whole_is_made_again(few: Path, tmp_path: Path) -> None:
    root = make(few, tmp_path / "data").root
    cut, gone = path_of(root, FEW[0]), path_of(root, FEW[3])
    cut.write_bytes(cut.read_bytes()[:-2])
    gone.unlink()
    left = gone.with_name(f".{gone.name}.abc.tmp")  # as a kill leaves it
    left.write_bytes(b"RIFF")
    assert make(few, tmp_path / "data").written == 2
    assert (sha256(cut), sha256(gone)) == (FEW[0]["sha256_of_noise"], FEW[3]["sha256_of_noise"])
    assert not left.exists()


def test_a_disk_that_fills_up_leaves_nothing_half_made(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = mixing.atomic_write_bytes, list[Path]()

    def until_full(path: Path, data: bytes) -> None:
        written.append(path)
        with monkeypatch.context() as patched:
            if len(written) >= 3:
                patched.setattr(os, "fsync", full)
            real(path, data)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(mixing, "atomic_write_bytes", until_full)
    with pytest.raises(UsageError, match=r"cannot write .*\.wav \(no space left on device"):
        make(few, tmp_path / "data", jobs=1)
    assert sorted((tmp_path / "data").rglob("*.wav")) == sorted(written[:2])
    assert list(tmp_path.rglob("*.tmp")) == [] and tables(tmp_path / "data") == []
    monkeypatch.undo()
    assert make(few, tmp_path / "data").written == 4


def test_from_tables_to_files_and_not_back(few: Path, tmp_path: Path) -> None:
    make(few, tmp_path / "data", on_the_fly=True)
    root = make(few, tmp_path / "data").root
    assert list(root.rglob(mixtures.TABLE)) == []
    with pytest.raises(UsageError, match=r"holds 6 mixtures as files.*delete them"):
        make(few, tmp_path / "data", on_the_fly=True)


def test_what_is_fetched_is_only_what_is_not_there(
    few: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def obtain(file: pinned.PinnedFile, cache: Path) -> Path:
        asked.append(f"{file.repository.base}/{file.path}")
        return few / "LibriMix" / file.path

    monkeypatch.setattr(pinned, "obtain", obtain)
    (tmp_path / "data").mkdir()
    mixing.make(few, few, None, tmp_path / "data")
    base = (
        "https://raw.githubusercontent.com/s3prl/LibriMix/d569d35c6b1dd3c8d02a897a9ce1b88e82da90f9/metadata"
    )
    assert len(asked) == 6
    assert asked[:2] == [
        f"{base}/LibriSpeech/train_clean_100.rttm",
        f"{base}/Libri2Mix/libri2mix_train-clean-100.csv",
    ]
    # A clone in the data folder comes first.
    shutil.copytree(few / "LibriMix", tmp_path / "data" / "LibriMix")
    mixing.make(few, few, None, tmp_path / "data")
    assert len(asked) == 6


def no_source(laid: Path, _: pytest.MonkeyPatch) -> None:
    (laid / "LibriSpeech" / FEW[2]["source_1_path"]).unlink()


def no_speech(laid: Path, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(laid / "LibriSpeech")


def no_noise(laid: Path, _: pytest.MonkeyPatch) -> None:
    shutil.rmtree(laid / "wham_noise")


def no_table(laid: Path, _: pytest.MonkeyPatch) -> None:
    (laid / "LibriMix" / "metadata" / "LibriSpeech" / "dev_clean.rttm").unlink()


def no_header(laid: Path, _: pytest.MonkeyPatch) -> None:
    (laid / "LibriSpeech" / FEW[2]["source_1_path"]).write_bytes(b"fLaC, but no more")


def cut_source(laid: Path, _: pytest.MonkeyPatch) -> None:
    path = laid / "LibriSpeech" / FEW[2]["source_1_path"]
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def slow_noise(laid: Path, _: pytest.MonkeyPatch) -> None:
    soundfile.write(laid / "wham_noise" / FEW[2]["noise_path"], np.zeros((90_000, 2)), 8_000)


def short_noise(laid: Path, _: pytest.MonkeyPatch) -> None:
    soundfile.write(laid / "wham_noise" / FEW[2]["noise_path"], np.zeros((8_001, 2)), 16_000)


def no_gain(laid: Path, _: pytest.MonkeyPatch) -> None:
    edit(laid, FEW[2]["noise_gain"], "loud")


def infinite_gain(laid: Path, _: pytest.MonkeyPatch) -> None:
    edit(laid, FEW[2]["noise_gain"], "inf")


def bad_id(laid: Path, _: pytest.MonkeyPatch) -> None:
    edit(laid, FEW[2]["mixture_ID"], "../../outside")


def edit(laid: Path, old: str, new: str) -> None:
    table = laid / "LibriMix" / librimix.SPLITS["dev"].tables[1].path
    table.write_text(table.read_text().replace(old, new))


def full_disk(_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 50_000_001))


def demo(laid: Path, _: pytest.MonkeyPatch) -> None:
    (laid.parent / "data" / "Libri2Mix").mkdir(parents=True)
    (laid.parent / "data" / "Libri2Mix" / "DEMO.txt").write_text("synthetic")


def link(laid: Path, _: pytest.MonkeyPatch) -> None:
    (laid.parent / "lab").mkdir()
    (laid.parent / "data").mkdir()
    (laid.parent / "data" / "Libri2Mix").symlink_to(laid.parent / "lab")


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (no_source, r"/dev-clean/.*\.flac is not there; get the rest.*--partial"),
        (no_speech, r"none of train-clean-100, dev-clean, test-clean is in .*--librispeech"),
        (no_noise, r"none of tr, cv, tt is in .*--wham"),
        (no_table, r"dev_clean.rttm is not there; run `git clone https://github.com/s3prl/LibriMix`"),
        (no_header, r"\.flac is no audio.*same command again"),
        (cut_source, r"\.flac .*(cut short|damaged).*same command again"),
        (slow_noise, r"/cv/.* is sampled at 8,000 Hz, 16,000 Hz was expected"),
        (short_noise, r"/cv/.* has 8,001 samples, more than 8,001 were expected"),
        (no_gain, r"libri2mix_dev-clean.csv line 2 has the noise_gain 'loud', a number was expected"),
        (infinite_gain, r"libri2mix_dev-clean.csv line 2 has the noise_gain 'inf', a number was expected"),
        (bad_id, r"libri2mix_dev-clean.csv line 2 has the id '../../outside'"),
        (full_disk, r"needs 0.00 GB, and its disk has 0.05 GB free.*--mix-on-the-fly"),
        (demo, r"Libri2Mix is a demo corpus"),
        (link, r"Libri2Mix is a link to .*lab, which is left as it is"),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_refused_in_one_sentence(
    few: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoil: Callable[[Path, pytest.MonkeyPatch], None],
    said: str,
) -> None:
    spoil(few, monkeypatch)
    with pytest.raises(UsageError, match=said) as caught:
        make(few, tmp_path / "data")
    assert "\n" not in str(caught.value)
    assert tables(tmp_path / "data") == [] and list(tmp_path.rglob("outside*")) == []
    # All others were made, where a file alone is wrong.
    wavs = len(list((tmp_path / "data").rglob("*.wav")))
    assert wavs == (5 if spoil in (cut_source, slow_noise, short_noise) else 0)


@pytest.mark.parametrize("on_the_fly", [False, True])
def test_a_part_is_labelled(few: Path, tmp_path: Path, on_the_fly: bool) -> None:
    data = tmp_path / "data"
    (few / "wham_noise" / FEW[2]["noise_path"]).unlink()
    assert make(few, data, partial=True, on_the_fly=on_the_fly).mixtures == {"train": 2, "dev": 1, "test": 2}
    with pytest.raises(UsageError, match=r"dev has 1 of 3,000 recordings"):
        prepare(data, tmp_path / "out", partial=False)
    assert "partial" in prepare(data, tmp_path / "out").labels


def test_a_source_that_is_gone_or_another_is_named_before_it_is_read(few: Path, tmp_path: Path) -> None:
    root = make(few, tmp_path / "data", on_the_fly=True).root
    source = few / "LibriSpeech" / FEW[2]["source_1_path"]
    wave, rate = soundfile.read(source, dtype="int16")
    soundfile.write(source, np.tile(wave, 9), rate)
    with pytest.raises(UsageError, match=r"samples at most, .* were expected"):
        mixtures.opened(path_of(root, FEW[2]))
    source.unlink()
    official = dict(librimix.CORPUS.official)
    librimix.CORPUS.official.update(train=2, dev=2, test=2)
    try:
        with pytest.raises(UsageError, match=rf"{source.name} is not there, of which dev is mixed"):
            prepare(tmp_path / "data", tmp_path / "out", partial=False)
    finally:
        librimix.CORPUS.official.update(official)
    assert prepare(tmp_path / "data", tmp_path / "out").utterances["dev"] == 1


def test_a_damaged_table_of_mixtures_is_named(few: Path, tmp_path: Path) -> None:
    root = make(few, tmp_path / "data", on_the_fly=True).root
    path = path_of(root, FEW[0])
    table = path.parent / mixtures.TABLE
    assert mixtures.at(path.with_name("another.wav")) is None
    table.write_text(table.read_text().rsplit(",", 1)[0])
    os.utime(table, ns=(1, 1))
    with pytest.raises(UsageError, match=r"mixtures.csv cannot be used"):
        mixtures.at(path)
