"""The `check` command."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from downstream_runs.cli import check as check_command
from downstream_runs.cli import main as cli
from downstream_runs.cli.findings import Finding
from downstream_runs.corpora import audio, markers

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


def check(corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *more: str) -> tuple[int, str]:
    code = cli.main(["check", "asr", "--data", str(corpus), "--out", str(tmp_path / "out"), *more])
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


def test_every_file_is_decoded_once(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(check_command, "DECODED", 0)
    opened = Counter[Path]()
    real = audio.form

    def form(path: Path, *, decoded: bool = False) -> audio.Form:
        opened[path] += decoded
        return real(path, decoded=decoded)

    monkeypatch.setattr(audio, "form", form)
    places = ["--data", str(corpus), "--out", str(tmp_path / "out")]
    code = cli.main(["check", "asr", "asr", *places, "--full"])  # as two tasks on one corpus
    text = capsys.readouterr().out
    assert code == 0 and text.count("all 3 audio files were decoded to their ends") == 2
    assert [*opened.values()] == [1, 1, 1]
    code, text = check(corpus, tmp_path, capsys)  # trusts the manifest
    assert "all 3 audio files were decoded" in text and opened.total() == 3
    # Cut short, with its header: lists and headers are as before.
    file = corpus / "LibriSpeech/dev-clean/1/1/1-1-0000.flac"
    soundfile.write(file, np.random.default_rng(0).normal(0, 0.1, 4000), 16000)
    content = file.read_bytes()
    file.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))
    code, text = check(corpus, tmp_path, capsys)
    assert code == 2 and f"red  {file} " in text  # as at the start of a run
    code, text = check(corpus, tmp_path / "another cache", capsys, "--full")
    assert code == 2 and "1 of 3 audio files: " in text and "1-1-0000.flac" in text


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


def test_tasks_of_one_corpus_ask_for_each_file_once(
    corpus: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Lengths are in the cache by then, and what is decoded is opened beside this."""
    assert check(corpus, tmp_path, capsys)[0] == 0
    for folder, _, _ in os.walk(corpus):
        os.utime(folder, (0, 0))
    asked: Counter[str] = Counter()
    stat, scandir = os.stat, os.scandir
    names = tuple(f"{number}-1-0000.flac" for number in range(3))

    def count_stat(path: Any, **options: Any) -> Any:
        asked.update([name for name in names if str(path).endswith(name)])
        return stat(path, **options)

    def count_scandir(path: Any) -> Any:
        asked.update([str(path)])
        return scandir(path)

    monkeypatch.setattr(audio, "problems", lambda *arguments: [])
    monkeypatch.setattr(check_command, "decoded", lambda *arguments: Finding("decoded"))
    monkeypatch.setattr(os, "stat", count_stat)
    monkeypatch.setattr(os, "scandir", count_scandir)
    out = ["--data", str(corpus), "--out", str(tmp_path / "out")]
    cli.main(["check", "asr", "asr", *out])
    chapters = [str(corpus / "LibriSpeech" / part / str(n) / "1") for n, part in enumerate(PARTS)]
    assert {asked[name] for name in (*names, *chapters)} == {1}
