"""The real sample as a LibriSpeech root."""

from __future__ import annotations

import functools
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from downstream_runs import tasks
from downstream_runs.corpora.markers import deviations, labels
from downstream_runs.corpora.samples import __main__ as samples
from downstream_runs.corpora.samples import librispeech as sample
from downstream_runs.corpora.samples.librispeech import lay_out
from upstream_arm.common.errors import UsageError

SPLITS = ("train-clean-100", "dev-clean", "test-clean")


def require_good(root: Path, cache: Path) -> None:
    asr = tasks.get("asr")
    assert asr.corpus.prepare(root, cache, asr.recipes["sample"].config).labels == ("sample",)


@pytest.fixture
def source(tmp_path: Path, make_split) -> Path:
    """Five utterances of two speakers; by length: 5-22-0001, 6-22-0000, 5-22-0000, 6-22-0001, 5-22-0002."""
    folder = tmp_path / "source"
    rows = ["utt\tfile\tspeaker\ttranscript"]
    for speaker, lengths in ((5, (3000, 1000, 5000)), (6, (2000, 4000))):
        for path in make_split(folder, "audio", lengths, speaker):
            rows.append(f"{path.stem}\t{path.relative_to(folder)}\t{speaker}\tWORDS OF {'AB'[speaker - 5]}")
    (folder / sample.TABLE).write_text("\n".join(rows) + "\n")
    return folder


def names(root: Path, split: str) -> set[str]:
    return {path.stem for path in (root / split).rglob("*.flac")}


def test_the_shortest_are_trained_on_and_copied_and_the_next_are_held_out(
    source: Path, tmp_path: Path
) -> None:
    root = lay_out(source, tmp_path / "dest", train=2, held_out=2)
    require_good(root, tmp_path / "cache")
    assert root == tmp_path / "dest" / "LibriSpeech" and labels(root) == ("sample",)
    assert "dev-clean of the sample corpus holds copies of the training utterances" in deviations(root)
    assert names(root, "train-clean-100") == names(root, "dev-clean") == {"5-22-0001", "6-22-0000"}
    assert names(root, "test-clean") == {"5-22-0000", "6-22-0001"}
    assert (root / "dev-clean" / "6" / "22" / "6-22.trans.txt").read_text() == "6-22-0000 WORDS OF B\n"
    facts = json.loads((root / "SAMPLE.json").read_text())
    assert facts["instead"]["dev-clean"] == "copies of the training utterances"
    assert facts["utterances"]["test-clean"] == ["5-22-0000", "6-22-0001"]
    assert facts["seconds"]["train-clean-100"] == 0.188
    assert str(tmp_path) not in (root / "SAMPLE.json").read_text()


def test_other_numbers_lay_it_out_again_and_leave_nothing_over(source: Path, tmp_path: Path) -> None:
    root = lay_out(source, tmp_path / "dest", train=3, held_out=30)
    before = (root / "SAMPLE.json").stat().st_mtime_ns
    lay_out(source, tmp_path / "dest", train=3, held_out=30)
    assert (root / "SAMPLE.json").stat().st_mtime_ns == before
    lay_out(source, tmp_path / "dest", train=2, held_out=1)
    require_good(root, tmp_path / "cache")
    assert names(root, "test-clean") == {"5-22-0000"}


def test_copies_where_links_are_refused(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(18, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    root = lay_out(source, tmp_path / "dest", train=2)
    require_good(root, tmp_path / "cache")
    assert all(path.stat().st_nlink == 1 for path in root.rglob("*.flac"))


def edit(source: Path, old: str, new: str) -> None:
    table = source / sample.TABLE
    text = table.read_text()
    assert old in text
    table.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("transcript", "words", "has no column transcript"),
        ("WORDS OF A", "", "line 2 gives no transcript for 5-22-0000"),
        ("WORDS OF A", "WORDS 2", "line 2 has '2'"),
        ("5-22-0000\t", "5-22\t", "line 2 has the id '5-22'"),
        ("5-22-0001\t", "5-22-0000\t", "line 3 gives 5-22-0000 a second time"),
        ("audio/5/22/5-22-0000.flac", "../other.flac", "line 2 names the file ../other.flac"),
        ("audio/5/22/5-22-0000.flac", "audio/none.flac", "none.flac cannot be read"),
    ],
)
def test_a_bad_table_is_named_before_anything_is_written(
    source: Path, tmp_path: Path, old: str, new: str, words: str
) -> None:
    edit(source, old, new)
    with pytest.raises(UsageError, match=words.replace(".", r"\.")):
        lay_out(source, tmp_path / "dest", train=2)
    assert not (tmp_path / "dest").exists()


def test_a_cut_flac_is_named(source: Path, tmp_path: Path) -> None:
    cut = source / "audio" / "5" / "22" / "5-22-0002.flac"
    cut.write_bytes(cut.read_bytes()[:5000])
    with pytest.raises(UsageError, match=r"5-22-0002\.flac is .* cut short.*line 4 names it"):
        lay_out(source, tmp_path / "dest", train=2)


@pytest.mark.parametrize(("train", "held_out"), [(1, 5), (2, 0), (5, 5)])
def test_impossible_numbers(source: Path, tmp_path: Path, train: int, held_out: int) -> None:
    with pytest.raises(UsageError, match=r"needed"):
        lay_out(source, tmp_path / "dest", train=train, held_out=held_out)


def test_somebody_elses_folder_is_left_alone(source: Path, tmp_path: Path, make_split) -> None:
    make_split(tmp_path / "dest" / "LibriSpeech", "dev-clean")
    with pytest.raises(UsageError, match="nothing is written over them"):
        lay_out(source, tmp_path / "dest", train=2)


def test_the_command(
    source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "lay_out", functools.partial(lay_out, train=2, held_out=1))
    assert samples.main(["librispeech", str(source), str(tmp_path / "dest")]) == 0
    assert "a sample, not the official splits" in capsys.readouterr().out
    command = [
        sys.executable,
        "-m",
        "downstream_runs.corpora.samples",
        "librispeech",
        str(tmp_path / "none"),
        str(tmp_path / "x"),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stdout == ""
    assert len(done.stderr.splitlines()) == 1 and "utterances.tsv" in done.stderr


def test_the_real_sample(shared_dir: Path, tmp_path: Path) -> None:
    root = lay_out(shared_dir / "data" / "librispeech_test_other", tmp_path)
    require_good(root, tmp_path / "cache")
    assert [len(names(root, split)) for split in SPLITS] == [12, 12, 30]
    assert names(root, "train-clean-100").isdisjoint(names(root, "test-clean"))
    assert json.loads((root / "SAMPLE.json").read_text())["seconds"]["train-clean-100"] == 30.835
