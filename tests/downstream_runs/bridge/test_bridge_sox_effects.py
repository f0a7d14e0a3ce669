"""The sox effects, against the sox program where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from downstream_runs.audio.effects import apply_effects_file, apply_effects_tensor
from downstream_runs.audio.silence import Silence
from upstream_arm.common.errors import UsageError

WriteWave = Callable[..., Path]

# The chains of s3prl 0.4.18: speech_commands and quesst14_dtw, then sv_voxceleb1.
PLAIN = [["channels", "1"], ["rate", "16000"], ["gain", "-3.0"]]
TRIMMED = [*PLAIN, ["silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"]]

needs_sox = pytest.mark.skipif(shutil.which("sox") is None, reason="needs the sox program on the PATH")


def sox(path: Path, effects: list[list[str]]) -> np.ndarray:
    """What the sox program makes of `path`: `[channel, time]`, 32-bit integers as float32 of full scale."""
    flat = [word for effect in effects for word in effect]
    raw = subprocess.run(
        ["sox", str(path), "-t", "raw", "-e", "signed", "-b", "32", "-", *flat],
        check=True,
        capture_output=True,
    ).stdout
    return (np.frombuffer(raw, dtype="<i4") / 2.0**31).astype(np.float32)


def speech_like(seed: int, frames: int) -> np.ndarray:
    """Noise whose loudness jumps every 50 ms between silence, near the threshold and full scale."""
    generator = np.random.default_rng(seed)
    loudness = generator.choice([0, 1, 10, 25, 30, 35, 50, 100, 1000, 20000], frames // 800 + 1)
    noise = generator.standard_normal(frames) * np.repeat(loudness, 800)[:frames]
    return noise.clip(-32768, 32767).astype(np.int16)


@needs_sox
@pytest.mark.parametrize("seed", range(12))
def test_the_trim_is_bit_identical_to_sox(write_wave: WriteWave, seed: int) -> None:
    path = write_wave("a.wav", speech_like(seed, 9000 + 17001 * seed))
    wave, rate = apply_effects_file(path, TRIMMED)
    assert rate == 16000
    assert np.array_equal(wave[0].numpy(), sox(path, TRIMMED))


@needs_sox
def test_the_trim_of_real_speech_is_bit_identical_to_sox(shared_dir: Path) -> None:
    paths = sorted((shared_dir / "data").rglob("*.flac"))[:12]
    assert paths
    for path in paths:
        wave, _ = apply_effects_file(path, TRIMMED)
        assert np.array_equal(wave[0].numpy(), sox(path, TRIMMED)), path.name


@needs_sox
@pytest.mark.parametrize("channels", [1, 2, 3])
def test_channels_and_gain_are_bit_identical_to_sox(write_wave: WriteWave, channels: int) -> None:
    samples = np.random.default_rng(channels).integers(-32768, 32768, (3000, channels)).astype(np.int16)
    path = write_wave("a.wav", samples)
    wave, _ = apply_effects_file(path, PLAIN)
    assert np.array_equal(wave[0].numpy(), sox(path, PLAIN))
    louder = [["channels", "1"], ["gain", "6"]]
    assert np.array_equal(apply_effects_file(path, louder)[0][0].numpy(), sox(path, louder))


@needs_sox
@pytest.mark.parametrize("rate", [8000, 22050, 44100, 48000])
def test_rate_has_the_length_of_sox_and_nearly_its_samples(write_wave: WriteWave, rate: int) -> None:
    samples = (np.random.default_rng(rate).standard_normal(rate + 7) * 3000).astype(np.int16)
    path = write_wave("a.wav", samples, rate=rate)
    wave, found = apply_effects_file(path, PLAIN)
    expected = sox(path, PLAIN)
    assert found == 16000
    assert wave.shape == (1, len(expected))
    difference = np.sqrt(np.mean((wave[0].numpy() - expected) ** 2)) / np.std(expected)
    assert difference < 1e-3


def test_keyword_spotting_gain_without_sox(write_wave: WriteWave) -> None:
    samples = speech_like(1, 4000)
    wave, _ = apply_effects_file(write_wave("a.wav", samples), PLAIN)
    assert np.allclose(wave[0].numpy(), samples / 32768 * 10 ** (-3 / 20), rtol=0, atol=3.4e-8)


def test_tensor_and_file_agree(write_wave: WriteWave) -> None:
    samples = speech_like(2, 40000)
    from_file, _ = apply_effects_file(write_wave("a.wav", samples), TRIMMED)
    tensor = torch.from_numpy(samples / np.float32(32768))
    from_tensor, rate = apply_effects_tensor(tensor[None], 16000, TRIMMED)
    assert rate == 16000
    assert torch.equal(from_file, from_tensor)
    assert 0 < from_file.shape[1] < 40000
    last, _ = apply_effects_tensor(tensor[:, None], 16000, TRIMMED, channels_first=False)
    assert torch.equal(last.T, from_tensor)


def test_mono_becomes_stereo() -> None:
    wave, _ = apply_effects_tensor(torch.ones(1, 4) / 4, 16000, [["channels", "2"]])
    assert torch.equal(wave, torch.ones(2, 4) / 4)


def test_silence_and_nothing_are_trimmed_to_nothing() -> None:
    for frames in (0, 1, 5000, 100_000):
        wave, _ = apply_effects_tensor(torch.zeros(1, frames), 16000, TRIMMED)
        assert wave.shape == (1, 0)


def test_a_long_loud_stretch_is_found_past_the_first_span() -> None:
    # 4 s are looked at first; here speech starts after 10 s, lasts 6 s and is followed by a gap.
    loud = np.full(6 * 16000, 2.0**28)
    samples = np.concatenate([np.zeros(10 * 16000), loud, np.zeros(5000), loud])
    kept = Silence(0.1, 0.1, 0.1, 0.1).apply(samples, 16000)
    # Each cut leaves what the 1/50 s window still hears of the speech before it: at most 320 frames.
    assert 2 * len(loud) <= len(kept) <= 2 * len(loud) + 320


@pytest.mark.parametrize(
    "effect",
    [
        ["reverb", "50"],
        ["rate", "-h", "16000"],
        ["gain"],
        ["gain", "-n", "-3"],
        ["channels", "3"],
        ["silence", "1", "0.1", "0.1%"],
        ["silence", "2", "0.1", "0.1%", "-1", "0.1", "0.1%"],
        ["silence", "1", "0.1", "-60d", "-1", "0.1", "-60d"],
        ["silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"],
    ],
)
def test_what_is_not_supported_is_named(effect: list[str]) -> None:
    with pytest.raises(UsageError) as caught:
        apply_effects_tensor(torch.zeros(2, 100), 16000, [["gain", "0"], effect])
    assert f"'{' '.join(effect)}'" in str(caught.value)


def test_the_trim_before_any_gain_is_refused() -> None:
    with pytest.raises(UsageError, match="before gain"):
        apply_effects_tensor(torch.zeros(1, 100), 16000, [TRIMMED[-1]])
