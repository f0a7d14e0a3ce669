"""Only regular files of a sane size are read."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from downstream_runs.core.run_folder import METRICS
from reports import item_files
from reports.figures import training
from upstream_arm.common import reading


def test_a_regular_file_is_read_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes("é\r\nb\rc\n".encode())
    assert reading.read_bytes(path) == "é\r\nb\rc\n".encode()
    assert reading.read_text(path) == "é\nb\nc\n"
    (tmp_path / "link").symlink_to(path)
    assert reading.read_text(tmp_path / "link") == "é\nb\nc\n"
    with pytest.raises(OSError, match="it has 8 bytes, at most 7 were expected"):
        reading.read_bytes(path, limit=7)
    path.write_bytes(b"\xff")
    with pytest.raises(UnicodeDecodeError):
        reading.read_text(path)
    assert reading.read_text(path, errors="replace") == "\ufffd"


def test_pipes_devices_and_folders_are_an_error_at_once(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "zero").symlink_to("/dev/zero")
    for name, kind in (("pipe", "a named pipe"), ("zero", "a device"), (".", "a folder")):
        with pytest.raises(OSError) as told:
            reading.read_bytes(tmp_path / name)
        assert told.value.strerror == f"it is {kind}, a regular file was expected"
    with pytest.raises(FileNotFoundError):
        reading.read_bytes(tmp_path / "absent")


def test_a_piped_journal_has_no_lines(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / METRICS)
    assert training.journal(tmp_path) == []


def test_piped_items_give_no_interval(data_dir: Path, tmp_path: Path) -> None:
    from downstream_runs.core import results

    [path] = (data_dir / "demo_runs" / "fbank_no_cmvn" / "ks").glob("*/result.json")
    result = results.read(path)
    os.mkfifo(tmp_path / item_files.ITEMS)
    assert item_files.items_of([(tmp_path / "result.json", result)]) == ({}, [])
