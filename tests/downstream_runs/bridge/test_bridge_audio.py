"""`load` and `info` as torchaudio had them, and one sentence for a file that cannot be used."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch

from downstream_runs.bridge.torchaudio_compat import AudioMetaData, info, load, save
from upstream_arm.common.errors import UsageError

WriteWave = Callable[..., Path]

RAMP = np.arange(-500, 500, dtype=np.int16) * 60


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_samples_are_the_integers_over_full_scale(write_wave: WriteWave, name: str) -> None:
    wave, rate = load(write_wave(name, RAMP, rate=8000))
    assert rate == 8000
    assert wave.dtype == torch.float32
    assert wave.shape == (1, 1000)
    assert np.array_equal(wave[0].numpy(), RAMP.astype(np.float32) / 32768)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
def test_a_file_is_not_asked_about_by_its_name(
    write_wave: WriteWave, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    path, asked, stat = write_wave(name, RAMP), [], os.stat

    def ask(file: Any, *arguments: Any, **options: Any) -> Any:
        asked.append(str(file))
        return stat(file, *arguments, **options)

    monkeypatch.setattr(os, "stat", ask)
    load(path)
    assert str(path) not in asked


def test_what_lies_before_the_samples_may_be_long(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", RAMP)
    content = path.read_bytes()
    at, chunk = content.index(b"data"), b"note" + (20_000).to_bytes(4, "little") + bytes(20_000)
    size = (len(content) + len(chunk) - 8).to_bytes(4, "little")
    path.write_bytes(b"RIFF" + size + content[8:at] + chunk + content[at:])
    assert np.array_equal(load(path)[0][0].numpy(), RAMP.astype(np.float32) / 32768)


def test_channels_and_ranges(write_wave: WriteWave) -> None:
    path = write_wave("stereo.wav", np.stack([RAMP, -RAMP], axis=1))
    whole, _ = load(path)
    assert whole.shape == (2, 1000)
    assert torch.equal(load(path, channels_first=False)[0], whole.T)
    assert torch.equal(load(path, frame_offset=10, num_frames=20)[0], whole[:, 10:30])
    assert torch.equal(load(path, frame_offset=990, num_frames=20)[0], whole[:, 990:])
    assert load(path, frame_offset=2000)[0].shape == (2, 0)


@pytest.mark.parametrize("wrong", [{"frame_offset": -1}, {"num_frames": 0}, {"num_frames": -2}])
def test_an_impossible_range_is_refused(write_wave: WriteWave, wrong: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="frame_offset"):
        load(write_wave("a.wav", RAMP), **wrong)


@pytest.mark.parametrize(
    ("subtype", "dtype", "expected"),
    [
        ("PCM_16", torch.int16, [-30000, 0, 256]),
        ("PCM_24", torch.int32, [-30000 << 16, 0, 256 << 16]),
        ("PCM_U8", torch.uint8, [128 - 118, 128, 129]),
        ("FLOAT", torch.float32, [-30000 / 32768, 0, 256 / 32768]),
    ],
)
def test_without_normalize_wav_keeps_its_type(
    write_wave: WriteWave, subtype: str, dtype: torch.dtype, expected: list[float]
) -> None:
    samples = np.array([-30000, 0, 256])
    in_type = samples / 32768 if subtype == "FLOAT" else samples.astype(np.int16)
    path = write_wave("a.wav", in_type, subtype=subtype)
    wave, _ = load(path, normalize=False)
    assert wave.dtype == dtype
    assert wave[0].tolist() == expected


def test_info(write_wave: WriteWave) -> None:
    path = write_wave("a.flac", RAMP)
    assert info(path) == AudioMetaData(16000, 1000, 1, 16, "FLAC")
    assert info(write_wave("a.wav", RAMP, subtype="FLOAT")) == AudioMetaData(16000, 1000, 1, 32, "PCM_F")


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_a_truncated_file_is_named(write_wave: WriteWave, name: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(-3000, 3000, 16000).astype(np.int16)
    path = write_wave(name, noise)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(UsageError) as caught:
        load(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_and_a_text_file_are_named(tmp_path: Path) -> None:
    text = tmp_path / "text.wav"
    text.write_text("not audio")
    for path in (tmp_path / "absent.wav", text, tmp_path):
        with pytest.raises(UsageError, match=str(path)):
            load(path)


def test_a_streamed_wav_without_a_length_is_read(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", RAMP)
    data = bytearray(path.read_bytes())
    data[40:44] = b"\xff\xff\xff\xff"
    path.write_bytes(data)
    assert load(path)[0].shape == (1, 1000)


def test_chunks_after_the_samples_and_odd_chunks_before_are_allowed(write_wave: WriteWave) -> None:
    path = write_wave("a.wav", RAMP)
    data = path.read_bytes()
    path.write_bytes(data[:36] + b"junk\x03\0\0\0abc\0" + data[36:] + b"tail\x02\0\0\0xy")
    assert load(path)[0].shape == (1, 1000)


def test_real_speech(shared_dir: Path) -> None:
    path = min((shared_dir / "data").rglob("*.flac"))
    expected, rate = soundfile.read(path, dtype="float32")
    wave, found = load(path)
    assert (wave.shape, found) == ((1, len(expected)), rate)
    assert np.array_equal(wave[0].numpy(), expected)
    assert info(path).num_frames == len(expected)


@pytest.mark.parametrize("name", ["a.wav", "a.flac"])
@pytest.mark.parametrize("channels_first", [True, False])
def test_what_is_saved_is_loaded(tmp_path: Path, name: str, channels_first: bool) -> None:
    wave = torch.from_numpy(np.stack([RAMP, -RAMP]).astype(np.float32) / 32768)
    save(tmp_path / name, wave if channels_first else wave.T, 16000, channels_first)
    found, rate = load(tmp_path / name)
    assert rate == 16000 and torch.equal(found, wave)
    save(tmp_path / name, wave[0], 8000)
    assert torch.equal(load(tmp_path / name)[0], wave[:1])
    assert [path.name for path in tmp_path.iterdir()] == [name]


@pytest.mark.parametrize(
    ("dtype", "encoding", "bits"),
    [
        (torch.uint8, "PCM_U", 8),
        (torch.int16, "PCM_S", 16),
        (torch.int32, "PCM_S", 32),
        (torch.float32, "PCM_F", 32),
        (torch.float64, "PCM_F", 64),
    ],
)
def test_wav_keeps_the_type_of_the_samples(
    tmp_path: Path, dtype: torch.dtype, encoding: str, bits: int
) -> None:
    wave = torch.tensor([[1, 50, 100]]).to(dtype)
    wave = wave / 128 if wave.is_floating_point() else wave
    save(tmp_path / "a.wav", wave, 16000)
    said = info(tmp_path / "a.wav")
    assert (said.encoding, said.bits_per_sample) == (encoding, bits)
    if dtype != torch.float64:
        assert torch.equal(load(tmp_path / "a.wav", normalize=False)[0], wave)


def test_encodings_as_asked_or_a_sentence(tmp_path: Path) -> None:
    wave = torch.zeros(1, 100)
    save(tmp_path / "a.wav", wave, 16000, encoding="PCM_S")
    assert info(tmp_path / "a.wav").bits_per_sample == 16
    save(tmp_path / "b", wave, 16000, format="wav", bits_per_sample=24)
    assert info(tmp_path / "b").bits_per_sample == 24
    before = sorted(tmp_path.iterdir())
    for wrong in ({"encoding": "MP4"}, {"format": "nothing"}, {"format": "flac", "encoding": "PCM_F"}):
        with pytest.raises(ValueError, match=r"cannot be written as|there is no encoding"):
            save(tmp_path / "c.wav", wave, 16000, **wrong)
    with pytest.raises(ValueError, match=r"\[1, 1, 100\] was given"):
        save(tmp_path / "c.wav", wave[None], 16000)
    with pytest.raises(ValueError, match="a file without an ending"):
        save(tmp_path / "c", wave, 16000)
    assert sorted(tmp_path.iterdir()) == before


def test_the_bridge_gives_torchaudio_a_save(tmp_path: Path) -> None:
    import torchaudio

    from downstream_runs import bridge

    bridge.supply()
    torchaudio.save(str(tmp_path / "a.wav"), torch.zeros(1, 10), 16000)
    assert torchaudio.load(str(tmp_path / "a.wav"))[0].shape == (1, 10)
