"""Finding and checking LibriSpeech: every kind of damage is found and named."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from downstream_runs.core.corpus import Standing
from downstream_runs.corpora import audio, librispeech, markers
from downstream_runs.corpora.checks import Listing, Request
from upstream_arm.common.errors import UsageError

TRAIN = "train-clean-100"
FEW = dataclasses.replace(librispeech.CORPUS, official={TRAIN: 3, "dev-clean": 2})


def listed(root: Path, *parts: str) -> Listing[Any]:
    return librispeech.list_parts(Request(root, root, None, {}, False), {"train": parts})


def problems(root: Path, decoded: int | None) -> list[str]:
    """All that keeps train-clean-100 below `root` from being used."""
    listing = listed(root, TRAIN)
    return [*listing.problems, *audio.problems(listing.audio[TRAIN], decoded, TRAIN)]


def test_the_root_is_found_directly_and_one_folder_down(tmp_path: Path) -> None:
    root = tmp_path / "data" / "LibriSpeech"
    (root / "dev-clean").mkdir(parents=True)
    assert librispeech.CORPUS.find(tmp_path / "data") == root
    assert librispeech.CORPUS.find(root) == root


def test_no_data_says_what_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-clean-100.*openslr\.org/12.*--demo") as caught:
        librispeech.CORPUS.find(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="does not exist"):
        librispeech.CORPUS.find(tmp_path / "nowhere")


def test_a_good_corpus_has_no_problems(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN)
    make_split(tmp_path, "dev-clean", (800, 800))
    listing = listed(tmp_path, TRAIN, "dev-clean")
    assert FEW.standing(listing, False, 10) == Standing()
    assert listing.counts == {TRAIN: 3, "dev-clean": 2}


def test_half_a_librispeech_is_counted(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN)
    with pytest.raises(UsageError, match=r"train-clean-100 has 3 of 28,539 utterances; unpack .* --partial"):
        librispeech.CORPUS.standing(listed(tmp_path, TRAIN), False)
    with pytest.raises(UsageError, match=r"test-clean is missing: .*openslr\.org/12 again") as caught:
        librispeech.CORPUS.standing(listed(tmp_path, TRAIN, "test-clean"), False)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("decode", [None, 3])
def test_a_flac_cut_in_the_middle_is_found_by_decoding(
    tmp_path: Path, make_split, decode: int | None
) -> None:
    cut = make_split(tmp_path, TRAIN, (800, 40_000, 1600))[1]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert problems(tmp_path, 0) == []
    [problem] = problems(tmp_path, decode)
    assert str(cut) in problem and "cut short" in problem


def test_a_reader_that_silently_returns_less_is_not_believed(
    tmp_path: Path, make_split, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_split(tmp_path, TRAIN)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: np.zeros(700, np.int16))
    found = problems(tmp_path, None)
    assert len(found) == 3
    assert "700 of the 800 samples that its header promises could be decoded" in found[0]


@pytest.mark.parametrize(
    ("rate", "shape", "words"),
    [
        (8_000, (800,), "sampled at 8,000 Hz, 16,000 Hz"),
        (16_000, (800, 2), "has 2 channels"),
    ],
)
def test_wrong_audio_is_named(
    tmp_path: Path, make_split, rate: int, shape: tuple[int, ...], words: str
) -> None:
    path = make_split(tmp_path, TRAIN)[2]
    soundfile.write(str(path), np.ones(shape, np.int16), rate, format="FLAC", subtype="PCM_16")
    [problem] = problems(tmp_path, None)
    assert str(path) in problem and words in problem


def test_a_header_without_a_length_is_named(tmp_path: Path, make_split) -> None:
    path = make_split(tmp_path, TRAIN)[2]
    flac = bytearray(path.read_bytes())
    # The last 36 bits before the checksum in STREAMINFO are the number of samples; 0 means unknown.
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    path.write_bytes(flac)
    [problem] = problems(tmp_path, None)
    assert str(path) in problem and "holds no audio" in problem


def test_empty_text_and_dangling_files_are_named_once(tmp_path: Path, make_split) -> None:
    empty, text, gone = make_split(tmp_path, TRAIN)
    empty.write_bytes(b"")
    text.write_text("<html>not found</html>")
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere.flac")
    found = problems(tmp_path, None)
    assert [str(path) in one for path, one in zip((empty, text, gone), found, strict=True)] == [True] * 3
    assert "0 bytes" in found[0] and "is no audio, damaged" in found[1] and "no such file" in found[2]
    # What is not there costs nothing to find, so it is found without decoding too.
    assert problems(tmp_path, 0) == [found[0], found[2]]


def test_transcript_problems_reach_the_report(tmp_path: Path, make_split) -> None:
    folder = make_split(tmp_path, TRAIN)[0].parent
    (folder / "11-22.trans.txt").write_text("11-22-0000\n11-22-0001 CAFÉ\n11-22-0002 FINE\n")
    first, second = problems(tmp_path, 0)
    assert "no transcript for 11-22-0000" in first and "'É'" in second


def test_a_folder_that_cannot_be_listed_is_one_sentence(
    tmp_path: Path, make_split, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_split(tmp_path, TRAIN)[0].parent

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Root may read anything, so the refusal is acted.
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UsageError, match=r"cannot list .*permission denied.*chmod"):
        listed(folder.parents[2], TRAIN)


def test_the_decoded_sample_is_spread_evenly() -> None:
    files = list(range(100))
    assert audio.spread(files, 4) == [0, 33, 66, 99]
    assert audio.spread(files, 1) == [0]
    assert audio.spread(files, 0) == []
    assert audio.spread(files, 1000) == files


def test_marked_corpora_need_their_own_files(tmp_path: Path, make_split) -> None:
    markers.begin(tmp_path, markers.SAMPLE, "a sample\n")
    files = make_split(tmp_path, TRAIN)
    with pytest.raises(UsageError, match=r"half made sample corpus.*; delete .* make the sample"):
        librispeech.CORPUS.request(tmp_path, None, {})
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    markers.finish(tmp_path, markers.SAMPLE, {}, [*names, f"{TRAIN}/11/22/11-22.trans.txt"])
    assert librispeech.CORPUS.standing(listed(tmp_path, TRAIN), False).labels == ("sample",)
    files[0].unlink()
    with pytest.raises(UsageError, match=r"has 2 of 3 audio files: .*0000.flac is not there .*; delete"):
        librispeech.CORPUS.standing(listed(tmp_path, TRAIN), False)
    soundfile.write(files[0].with_name("11-22-0009.flac"), np.ones(800, np.int16), 16_000)
    make_split(tmp_path, TRAIN, (800,), 12)
    with pytest.raises(UsageError, match=r"has 4 of 3 audio files"):
        librispeech.CORPUS.standing(listed(tmp_path, TRAIN), False)
