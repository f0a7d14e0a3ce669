"""Finding and checking LibriSpeech: every kind of damage is found and named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from downstream_runs.corpora import librispeech
from downstream_runs.corpora.librispeech import check, find_root, require_good
from upstream_arm.common.errors import UsageError

TRAIN = "train-clean-100"


def test_the_root_is_found_directly_and_one_folder_down(tmp_path: Path) -> None:
    root = tmp_path / "data" / "LibriSpeech"
    (root / "dev-clean").mkdir(parents=True)
    assert find_root(tmp_path / "data") == root
    assert find_root(root) == root


def test_no_data_says_what_was_looked_for_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"train-clean-100.*openslr\.org/12.*--demo") as caught:
        find_root(tmp_path)
    assert str(tmp_path) in str(caught.value)
    with pytest.raises(UsageError, match="does not exist"):
        find_root(tmp_path / "nowhere")


@pytest.mark.usefixtures("few")
def test_a_good_corpus_has_no_problems(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN)
    make_split(tmp_path, "dev-clean", (800, 800))
    report = check(tmp_path, [TRAIN, "dev-clean"], decode=None)
    require_good(report)
    assert report.labels == () and report.problems == ()
    train = report.splits[TRAIN]
    assert (train.utterances, train.decoded, train.seconds) == (3, 3, 4800 / 16_000)
    assert check(tmp_path, [TRAIN], decode=2).splits[TRAIN].seconds is None


def test_half_a_librispeech_is_counted(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN)
    report = check(tmp_path, [TRAIN, "test-clean"], decode=0)
    assert report.problems[0] == f"train-clean-100 has 3 of 28,539 utterances in {tmp_path / TRAIN}"
    assert report.problems[1].startswith("test-clean is missing")
    with pytest.raises(
        UsageError, match=r"3 of 28,539 .*\(and 1 more problem\); unpack the archive of"
    ) as caught:
        require_good(report)
    assert "train-clean-100 and test-clean from openslr.org/12" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("few")
@pytest.mark.parametrize("decode", [None, 3])
def test_a_flac_cut_in_the_middle_is_found_by_decoding(
    tmp_path: Path, make_split, decode: int | None
) -> None:
    cut = make_split(tmp_path, TRAIN, (800, 40_000, 1600))[1]
    cut.write_bytes(cut.read_bytes()[: cut.stat().st_size // 2])
    assert check(tmp_path, [TRAIN], decode=0).problems == ()
    report = check(tmp_path, [TRAIN], decode=decode)
    [problem] = report.problems
    assert str(cut) in problem and "cut short" in problem and "40,000 samples" in problem
    assert report.splits[TRAIN].seconds is None


@pytest.mark.usefixtures("few")
def test_a_reader_that_silently_returns_less_is_not_believed(
    tmp_path: Path, make_split, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_split(tmp_path, TRAIN)
    monkeypatch.setattr(soundfile.SoundFile, "read", lambda *_, **__: np.zeros(700, np.int16))
    problems = check(tmp_path, [TRAIN], decode=None).problems
    assert len(problems) == 3
    assert "its header promises 800 samples and 700 could be decoded" in problems[0]


@pytest.mark.usefixtures("few")
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
    [problem] = check(tmp_path, [TRAIN], decode=None).problems
    assert str(path) in problem and words in problem


@pytest.mark.usefixtures("few")
def test_a_header_without_a_length_is_named(tmp_path: Path, make_split) -> None:
    path = make_split(tmp_path, TRAIN)[2]
    flac = bytearray(path.read_bytes())
    # The last 36 bits before the checksum in STREAMINFO are the number of samples; 0 means unknown.
    flac[21] &= 0xF0
    flac[22:26] = bytes(4)
    path.write_bytes(flac)
    [problem] = check(tmp_path, [TRAIN], decode=None).problems
    assert str(path) in problem and "holds no audio" in problem


@pytest.mark.usefixtures("few")
def test_empty_text_and_dangling_files_are_named_once(tmp_path: Path, make_split) -> None:
    empty, text, gone = make_split(tmp_path, TRAIN)
    empty.write_bytes(b"")
    text.write_text("<html>not found</html>")
    gone.unlink()
    gone.symlink_to(tmp_path / "nowhere.flac")
    problems = check(tmp_path, [TRAIN], decode=None).problems
    assert [str(path) in problem for path, problem in zip((empty, text, gone), problems, strict=True)] == [
        True
    ] * 3
    assert (
        "0 bytes" in problems[0]
        and "cannot be read as audio" in problems[1]
        and "no such file" in problems[2]
    )
    # An empty file costs nothing to find, so it is found without decoding too.
    assert check(tmp_path, [TRAIN], decode=0).problems == (f"{empty} is empty (0 bytes)",)


@pytest.mark.usefixtures("few")
def test_transcript_problems_reach_the_report(tmp_path: Path, make_split) -> None:
    folder = make_split(tmp_path, TRAIN)[0].parent
    (folder / "11-22.trans.txt").write_text("11-22-0000\n11-22-0001 CAFÉ\n11-22-0002 FINE\n")
    problems = check(tmp_path, [TRAIN], decode=0).problems
    assert len(problems) == 2
    assert "no transcript for 11-22-0000" in problems[0] and "'É'" in problems[1]


def test_a_folder_that_cannot_be_listed_is_one_sentence(
    tmp_path: Path, make_split, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = make_split(tmp_path, TRAIN)[0].parent

    def refuse(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    # Root may read anything, so the refusal is acted.
    monkeypatch.setattr("os.scandir", refuse)
    with pytest.raises(UsageError, match=r"cannot list .*permission denied.*chmod"):
        check(folder.parents[2], [TRAIN], decode=0)


def test_the_decoded_sample_is_spread_evenly() -> None:
    files = list(range(100))
    assert librispeech._spread(files, 4) == [0, 33, 66, 99]
    assert librispeech._spread(files, 1) == [0]
    assert librispeech._spread(files, 0) == []
    assert librispeech._spread(files, 1000) == files


def test_marked_corpora_need_their_own_counts(tmp_path: Path, make_split) -> None:
    from downstream_runs.corpora.markers import SAMPLE, begin, finish, labels

    begin(tmp_path, SAMPLE, "a sample\n")
    files = make_split(tmp_path, TRAIN)
    assert labels(tmp_path) == ("sample",)
    [problem] = check(tmp_path, [TRAIN], decode=0).problems
    assert "half made sample corpus" in problem
    names = [file.relative_to(tmp_path).as_posix() for file in files]
    finish(tmp_path, SAMPLE, {}, [*names, f"{TRAIN}/11/22/11-22.trans.txt"])
    assert check(tmp_path, [TRAIN], decode=0).problems == ()
    files[0].unlink()
    report = check(tmp_path, [TRAIN], decode=0)
    assert report.problems[0].startswith("train-clean-100 has 2 of 3 utterances")
    with pytest.raises(UsageError, match="make the sample corpus again"):
        require_good(report)
