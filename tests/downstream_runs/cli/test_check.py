"""The `check` command."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from downstream_runs.cli import main as cli
from downstream_runs.corpora import markers

PARTS = ("train-clean-100", "dev-clean", "test-clean")


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    root = tmp_path / "data" / "LibriSpeech"
    markers.begin(root, markers.DEMO, "noise for tests\n")
    files = []
    for number, part in enumerate(PARTS):
        folder = root / part / str(number) / "1"
        folder.mkdir(parents=True)
        soundfile.write(folder / f"{number}-1-0000.flac", np.zeros(4000, dtype=np.float32), 16000)
        (folder / f"{number}-1.trans.txt").write_text(f"{number}-1-0000 ONE\n")
        files += [f"{part}/{number}/1/{number}-1-0000.flac", f"{part}/{number}/1/{number}-1.trans.txt"]
    markers.finish(root, markers.DEMO, {}, files)
    return root.parent


def check(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = cli.main(["check", "asr", "--data", str(corpus), "--out", str(tmp_path / "out")])
    found = capsys.readouterr()
    return code, found.out + found.err


def test_a_whole_corpus(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = check(corpus, tmp_path, capsys)
    assert code == 0
    assert "train 1, dev-clean 1, test-clean 1 utterances" in text
    assert "labelled demo" in text
    assert "3 of 3 audio files decoded" in text
    assert "200,000 steps" in text
    assert "a run takes about 1.7 GB" in text


def test_the_files_of_the_run_are_decoded_and_no_others(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Forks of macOS are no audio, and what lies behind links is."""
    folder = corpus / "LibriSpeech" / "dev-clean" / "1"
    (folder / "1" / "._1-1-0000.flac").write_bytes(b"Mac OS X")
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    code, text = check(corpus, tmp_path, capsys)
    assert code == 0 and "3 of 3 audio files decoded" in text


def test_a_file_that_is_cut(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    audio = next(corpus.rglob("0-1-0000.flac"))
    random = np.random.default_rng(0)
    soundfile.write(audio, random.normal(0, 0.1, 16000), 16000)
    audio.write_bytes(audio.read_bytes()[:9000])
    code, text = check(corpus, tmp_path, capsys)
    assert code == 2
    assert "red  " in text
    assert "0-1-0000.flac is no audio, damaged or cut short" in text


def test_a_part_that_is_absent(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "data" / "LibriSpeech" / "dev-clean").mkdir(parents=True)
    code, text = check(tmp_path / "data", tmp_path, capsys)
    assert code == 2
    assert "https://www.openslr.org/12" in text


def test_no_folder_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, text = check(tmp_path / "nowhere", tmp_path, capsys)
    assert code == 2
    assert "does not exist" in text
