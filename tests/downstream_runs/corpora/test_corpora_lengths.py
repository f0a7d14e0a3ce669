"""The length tables: s3prl's format, kept while nothing changes, continued after a kill."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas
import pytest
import soundfile

from downstream_runs.corpora import audio, librispeech
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import Request
from upstream_arm.common.errors import UsageError

TRAIN = "train-clean-100"


def write_lengths(root: Path, parts: Sequence[str], out: Path) -> Path:
    """What the preparation of ASR writes."""
    listing = librispeech.list_parts(Request(root, root, None, {}, False), {"train": parts})
    librispeech.write_tables(listing, librispeech.measure(listing, out), out)
    return out


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The files whose headers were read, in order."""
    paths: list[Path] = []
    original = audio.length

    def spy(path: Path) -> int:
        paths.append(path)
        return original(path)

    monkeypatch.setattr(audio, "length", spy)
    return paths


def test_the_table_is_what_a_data_frame_would_write(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN, (800, 2400, 1600, 800))
    out = write_lengths(tmp_path, [TRAIN], tmp_path / "lengths")
    assert out == tmp_path / "lengths"
    names = [f"{TRAIN}/11/22/11-22-000{number}.flac" for number in (1, 2, 0, 3)]
    frame = pandas.DataFrame({"file_path": names, "length": [2400, 1600, 800, 800], "label": None})
    assert (out / f"{TRAIN}.csv").read_text() == frame.to_csv()


def test_nothing_is_read_again_until_a_file_changes(tmp_path: Path, make_split, opened: list[Path]) -> None:
    paths = make_split(tmp_path, TRAIN)
    out = tmp_path / "lengths"
    for _ in range(2):
        write_lengths(tmp_path, [TRAIN], out)
        assert sorted(opened) == paths
    soundfile.write(str(paths[0]), np.ones(4000, np.int16), 16_000)
    write_lengths(tmp_path, [TRAIN], out)
    assert pandas.read_csv(out / f"{TRAIN}.csv")["length"].tolist() == [4000, 2400, 1600]
    # A table that somebody edited is no longer the one that was recorded.
    (out / f"{TRAIN}.csv").write_text("nonsense")
    write_lengths(tmp_path, [TRAIN], out)
    assert pandas.read_csv(out / f"{TRAIN}.csv")["length"].tolist() == [4000, 2400, 1600]


def test_a_killed_run_is_continued(tmp_path: Path) -> None:
    files = [AudioFile(Path(f"{number}.wav"), f"{number}.wav", number, 1) for number in range(9)]
    table, asked = tmp_path / "lengths.txt", list[Path]()

    def killed(path: Path) -> int:
        if path == files[6].path:
            raise KeyboardInterrupt
        return int(path.stem)

    def number_of(path: Path) -> int:
        asked.append(path)
        return int(path.stem)

    with pytest.raises(KeyboardInterrupt):
        audio.measure(files, killed, table, "kill")
    with table.open("a") as file:
        file.write("\n6 6 1 6.w")  # the beginning of a line, cut off by the kill
    assert audio.measure(files, number_of, table, "again") == ({f"{n}.wav": n for n in range(9)}, [])
    assert sorted(asked) == [file.path for file in files[6:]]
    changed = AudioFile(files[0].path, files[0].name, 0, 2)
    assert audio.measure([changed], number_of, table, "changed")[0] == {"0.wav": 0} and len(asked) == 4


def test_runs_at_once_measure_each_file_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [AudioFile(Path(f"{number}.wav"), f"{number}.wav", number, 1) for number in range(9)]
    table, asked, begun, results = tmp_path / "lengths.txt", list[Path](), threading.Event(), list[object]()

    def number_of(path: Path) -> int:
        asked.append(path)
        begun.set()
        time.sleep(0.05)
        return int(path.stem)

    def measure() -> None:
        results.append(audio.measure(files, number_of, table, "lengths"))

    runs = [threading.Thread(target=measure) for _ in range(2)]
    runs[0].start()
    assert begun.wait(10)
    runs[1].start()
    for run in runs:
        run.join()
    assert results == [({f"{n}.wav": n for n in range(9)}, [])] * 2
    assert sorted(asked) == [file.path for file in files]
    assert "lengths: another run does it, and this one waits" in capsys.readouterr().err


def test_a_cut_off_line_spoils_no_other_line(tmp_path: Path) -> None:
    table = tmp_path / "table"
    table.write_bytes(b"800 1 1 a.flac\n34")
    files = [AudioFile(Path(name), name, 1, 1) for name in ("b.flac", "c d.flac")]
    audio.measure(files, lambda path: len(path.name), table, "lengths")
    with table.open("ab") as file:
        file.write(b"\n123 1 1 d.fl")
    assert audio.remembered(table) == {"1 1 a.flac": "800", "1 1 b.flac": "6", "1 1 c d.flac": "8"}


def test_bad_files_are_named_and_no_table_is_written(tmp_path: Path, make_split) -> None:
    paths = make_split(tmp_path, TRAIN)
    paths[0].write_bytes(b"")
    paths[1].write_bytes(b"no flac")
    with pytest.raises(UsageError, match=r"0 bytes.*\(and 1 more") as caught:
        write_lengths(tmp_path, [TRAIN], tmp_path / "lengths")
    assert str(paths[0]) in str(caught.value)
    assert not (tmp_path / "lengths" / f"{TRAIN}.csv").exists()


def test_no_place_to_write(tmp_path: Path, make_split) -> None:
    make_split(tmp_path, TRAIN)
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        write_lengths(tmp_path, [TRAIN], tmp_path / "file" / "lengths")


def test_a_read_only_folder_is_one_sentence(
    tmp_path: Path, make_split, monkeypatch: pytest.MonkeyPatch
) -> None:
    make_split(tmp_path, TRAIN)

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied", str(tmp_path / "lengths"))

    # Root may write anywhere, so the refusal is acted.
    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(UsageError, match=r"cannot write .*permission denied") as caught:
        write_lengths(tmp_path, [TRAIN], tmp_path / "lengths")
    assert "\n" not in str(caught.value)


def test_s3prl_reads_the_tables(tmp_path: Path, make_split) -> None:
    """The same utterance in train and dev does not clash: a dataset knows its own splits only."""
    dataset = pytest.importorskip("s3prl.downstream.asr.dataset")
    dictionary = pytest.importorskip("s3prl.downstream.asr.dictionary")
    from downstream_runs.corpora import texts, transcripts

    for split in (TRAIN, "dev-clean"):
        make_split(tmp_path, split)
    out = write_lengths(tmp_path, [TRAIN, "dev-clean"], tmp_path / "lengths")
    symbols = dictionary.Dictionary.load(str(texts.write(tmp_path / "char.dict", transcripts.char_dict())))
    splits = {"train": [TRAIN], "dev-clean": ["dev-clean"]}
    for split, size, batches in (("train", 32, [["1", "2", "0"]]), ("dev-clean", 1, [["1"], ["2"], ["0"]])):
        data = dataset.SequenceDataset(split, size, symbols, str(tmp_path), str(out), **splits)
        assert [[Path(x).stem[-1] for x in batch] for batch in data.X] == batches
        assert all(x.startswith(f"{splits[split][0]}/") for batch in data.X for x in batch)
        assert symbols.string(data.Y["11-22-0001"]) == "I T ' S | W O R D | B |"
    assert len(symbols) == 32
