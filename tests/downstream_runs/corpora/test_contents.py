"""Wavs that are written anew in their places make another corpus; runs begun before that was seen go on."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
import soundfile

from downstream_runs import tasks
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio
from downstream_runs.engine import RunPlan, run, session
from upstream_arm.common.errors import UsageError


def louder(path: Path) -> None:
    """The same file at half the level: equal name, equal size."""
    samples, rate = soundfile.read(str(path), dtype="int16")
    before = path.stat()
    soundfile.write(str(path), samples // 2, rate, subtype="PCM_16")
    assert path.stat().st_size == before.st_size
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_which_files_are_looked_at(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:03}.wav" for number in range(600)]
    for number, path in enumerate(files):
        path.write_bytes(bytes([number % 256]) * 70_000)
    first = audio.sample_hash(files)
    assert audio.sample_hash(files) == first
    files[-1].write_bytes(b"x" * 70_000)  # the first and the last file are always among them
    assert audio.sample_hash(files) != first
    files[-1].write_bytes(bytes([599 % 256]) * 65_536 + b"behind what is read")
    assert audio.sample_hash(files) == first
    (tmp_path / "moved").mkdir()
    moved = [path.rename(tmp_path / "moved" / path.name) for path in files]
    assert audio.sample_hash(moved) == first
    moved[0].unlink()
    with pytest.raises(UsageError, match=r"000.wav cannot be read \(no such file"):
        audio.sample_hash(moved)


def test_small_corpora_are_looked_at_whole(tmp_path: Path) -> None:
    files = [tmp_path / f"{number:03}.wav" for number in range(audio.SAMPLED)]
    for path in files:
        path.write_bytes(b"a")
    seen = {audio.sample_hash(files)}
    for path in files:
        path.write_bytes(b"b")
        seen.add(audio.sample_hash(files))
    assert len(seen) == audio.SAMPLED + 1


@pytest.mark.slow
def test_a_rewritten_corpus_is_another_one_and_old_runs_are_recognised(
    label_demos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    for folder in ("speech_commands_v0.01", "speech_commands_test_set_v0.01"):
        shutil.copytree(label_demos / folder, data / folder)
    plan = RunPlan(
        task=tasks.get("ks"), recipe="demo", upstream="fbank", data=data, out=tmp_path / "runs", device="cpu"
    )
    begun: list[tuple[Path, PreparedData]] = []

    def begin(plan: RunPlan, config: object, data: PreparedData, folder: Path) -> None:
        begun.append((folder, data))
        raise KeyboardInterrupt

    monkeypatch.setattr(session, "_train_and_test", begin)
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    folder, first = begun[0]
    assert first.audio == () and first.listing_sha256 != first.sha256
    file = folder / "plan.json"
    now = json.loads(file.read_text())
    before = {key: value for key, value in now.items() if key != "data_listing_sha256"}
    for wav in data.rglob("*.wav"):
        louder(wav)
    with pytest.raises(UsageError, match="holds a run with other data_sha256"):
        run(plan)
    # As a run of an earlier version left it, which knew names and sizes.
    file.write_text(json.dumps({**before, "data_sha256": first.listing_sha256}))
    with pytest.raises(KeyboardInterrupt):
        run(plan)
    again = begun[-1][1]
    assert again.listing_sha256 == first.listing_sha256 and again.sha256 != first.sha256
    file.write_text(json.dumps({**before, "data_sha256": "0" * 64}))
    with pytest.raises(UsageError, match="holds a run with other data_sha256"):
        run(plan)
