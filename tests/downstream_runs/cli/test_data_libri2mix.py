"""The command `data` for sd: Libri2Mix of what came, or of what a lab keeps."""

from __future__ import annotations

from pathlib import Path

import libri2mix_sources
import published
import pytest
from bringing import left, run
from published import Publisher

from downstream_runs.cli import main as cli
from downstream_runs.corpora import librimix, mixing
from downstream_runs.corpora.fetching import sources


def test_libri2mix_is_made_of_what_came(
    server: Publisher, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.place = tmp_path / "sd"
    server.place.mkdir()
    for part in ("train-clean-100", "dev-clean", "test-clean"):
        text = tmp_path / "LibriSpeech" / part / "84" / "1" / "84-1.trans.txt"
        text.parent.mkdir(parents=True)
        text.write_text("84-1-0000 ONE\n")
        published.tar_gz(server.place / f"{part}.tar.gz", tmp_path / "LibriSpeech", "LibriSpeech", (part,))
    (tmp_path / "wham" / "tt").mkdir(parents=True)
    (tmp_path / "wham" / "tt" / "n.wav").write_bytes(b"noise")
    (server.place / "wham_noise.zip").write_bytes(published.zipped(tmp_path / "wham", "wham_noise"))
    monkeypatch.setattr(
        sources, "FILE", published.sources_of(server.place, server.url, tmp_path / "sources.json")
    )
    made = []
    monkeypatch.setattr(
        mixing, "make", lambda *places, **_: made.append(places) or mixing.Made(data, {"dev": 2}, 0)
    )
    run(data, "sd", "--agree", "wham", code=2)
    assert made == [(data, data, None, data, None)]
    assert (data / "wham_noise" / "tt" / "n.wav").is_file() and left(data) == []


def test_libri2mix_is_made_of_what_the_lab_keeps(
    server: Publisher,
    data: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Nothing is fetched or agreed to; with tables only, of two mixtures a split."""
    rows = [
        [row for row in libri2mix_sources.rows() if row["split"] == split][:2] for split in librimix.SPLITS
    ]
    libri2mix_sources.lay(tmp_path / "lab", [row for pair in rows for row in pair])
    lab = tmp_path / "lab"
    words = [
        "sd",
        "--librispeech",
        str(lab),
        "--wham",
        str(lab / "wham_noise"),
        "--mix-on-the-fly",
        "--partial",
    ]
    words += ["--metadata", str(lab / "LibriMix"), "--jobs", "2"]
    run(data, *words, "--plan")
    assert f"made of {lab} and {lab / 'wham_noise'}" in capsys.readouterr().out and not data.exists()
    run(data, *words)
    said = capsys.readouterr().out
    assert (
        "train 2, dev 2, test 2 mixtures, mixed when they are read" in said and f"next: {cli.PROGRAM}" in said
    )
    assert not list(data.rglob("*.wav")) and not list(data.rglob("*.flac")) and not server.asked
    run(data, "sd", "asr", "--wham", str(lab), "--mix-on-the-fly", "--plan")
    planned = capsys.readouterr().out
    assert "LibriSpeech/train-clean-100: fetched from " in planned and "WHAM" not in planned


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["ks", "ic", "--mix-on-the-fly"], "--mix-on-the-fly is for sd, which is not among ks, ic"),
        (["ks", "--wham", "x"], "--wham is for sd"),
        (["ks", "--librispeech", "x"], "--librispeech is for sd"),
        (["sd", "--wham", "x", "--verify"], "--verify makes no Libri2Mix: leave --wham out"),
        (["sd", "--jobs", "2", "--link", "x"], "--link makes no Libri2Mix: leave --jobs out"),
    ],
)
def test_options_of_libri2mix_where_none_is_made(
    words: list[str], message: str, data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(data, *words, code=2)
    assert message in capsys.readouterr().err and not data.exists()


def test_the_disk_that_mixtures_take(
    server: Publisher, data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, size in ((("sd", "--plan"), "8.2 GB"), (("sd", "--plan", "--mix-on-the-fly"), "17 MB")):
        run(data, *words)
        assert f"Libri2Mix: made of this and LibriSpeech (about {size})" in capsys.readouterr().out
