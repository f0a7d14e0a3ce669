"""Fluent Speech Commands: tables read as s3prl reads them, and what is wrong with them said."""

from __future__ import annotations

import dataclasses
import shutil
from pathlib import Path

import pytest
import soundfile

from downstream_runs import tasks
from downstream_runs.corpora import fluent_commands as corpus
from upstream_arm.common.errors import UsageError

CONFIG = tasks.get("ic").recipes["demo"].copy_config()


@pytest.fixture
def copy(label_demos: Path, tmp_path: Path) -> Path:
    """The synthetic corpus without marks: what a user may have."""
    root = shutil.copytree(label_demos / corpus.FOLDER, tmp_path / corpus.FOLDER)
    for mark in ("DEMO.txt", "DEMO.json"):
        (root / mark).unlink()
    return root


def prepare(data: Path) -> object:
    return tasks.get("ic").corpus.prepare(data, data / "cache", CONFIG, True)


def test_the_demo_is_whole_and_names_its_speakers(label_demos: Path) -> None:
    prepared = tasks.get("ic").corpus.prepare(label_demos, label_demos / "cache", CONFIG)
    assert prepared.utterances == {"train": 70, "dev": 14, "test": 28}
    assert prepared.labels == ("demo",)
    assert set(prepared.groups.values()) == {"demoTestA", "demoTestB"}


def test_a_corpus_with_fewer_utterances_is_partial(copy: Path) -> None:
    for data in (copy, copy.parent):
        prepared = prepare(data)
        assert prepared.labels == ("partial",)  # type: ignore[attr-defined]
        assert "train has 70 of 23,132 utterances" in prepared.deviations[0]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("table", "old", "new", "says"),
    [
        ("train", "action", "verb", "train_data.csv has no column action"),
        ("train", "activate,music,none", "activate,music,", "has nan for location, as pandas reads it"),
        ("train", "activate,music,none", "activate,NA,none", "has nan for object"),
        (
            "test",
            "bring,shoes",
            "bring,socks",
            r"test_data.csv line \d+ has 'socks' for object, which no line",
        ),
        ("dev", "wavs/speakers/", "../speakers/", r"names .*, a file in .* was expected"),
    ],
)
def test_what_is_wrong_with_a_table_is_said(copy: Path, table: str, old: str, new: str, says: str) -> None:
    path = copy / corpus.TABLES[table]
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(UsageError, match=says):
        prepare(copy)


def test_a_line_that_comes_twice_is_said(copy: Path) -> None:
    path = copy / corpus.TABLES["test"]
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, lines[1]]) + "\n")
    with pytest.raises(UsageError, match=r"line 30 gives .* again, as line 2 does"):
        prepare(copy)


def test_an_absent_table_and_a_binary_one_are_said(copy: Path) -> None:
    path = copy / corpus.TABLES["dev"]
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(UsageError, match=r"valid_data.csv cannot be read as a table"):
        prepare(copy)
    path.unlink()
    with pytest.raises(UsageError, match=r"valid_data.csv cannot be read as a table .no such file"):
        prepare(copy)


def test_a_line_without_its_audio_is_said_or_left_out_of_a_part(copy: Path, tmp_path: Path) -> None:
    path = copy / corpus.TABLES["dev"]
    path.write_text(path.read_text().replace("wavs/speakers/demoDevA/", "wavs/speakers/nobody/", 1))
    whole = corpus.read(copy)
    few = dataclasses.replace(corpus.CORPUS, official={split: len(listed) for split, listed in whole.items()})
    with pytest.raises(UsageError, match=r"nobody/.* cannot be read \(no such file"):
        few.look(copy, None, CONFIG)
    part = prepare(copy)
    tables = Path(part.settings["datarc.file_path"])  # type: ignore[attr-defined]
    assert tables != copy and part.utterances["dev"] == 13  # type: ignore[attr-defined]
    left = corpus.read(tables)
    assert [one.path for one in left["test"]] == [one.path for one in whole["test"]]
    assert [one.slots for one in left["dev"]] == [one.slots for one in whole["dev"] if one.path.is_file()]


def test_audio_of_two_channels_is_said(copy: Path) -> None:
    path = sorted((copy / "wavs/speakers/demoDevA").glob("*.wav"))[0]
    wave, rate = soundfile.read(path)
    soundfile.write(path, [[x, x] for x in wave], rate, subtype="PCM_16")
    with pytest.raises(UsageError, match=r"has 2 channels, one was expected.*unpack"):
        dataclasses.replace(corpus.CORPUS, decoded=100).prepare(copy, copy / "cache", CONFIG, True)
