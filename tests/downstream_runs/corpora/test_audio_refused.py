"""Audio that is no sound: not a number, or too short for a frame; and other versions of a corpus."""

from __future__ import annotations

import dataclasses
import importlib
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from downstream_runs import bridge, tasks
from downstream_runs.audio import AudioProblem
from downstream_runs.corpora import audio, checks, librimix, librispeech, quesst14, speech_commands, voxceleb1
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.checks import Request
from upstream_arm.common.errors import UsageError


def test_a_problem_keeps_its_sentence_on_its_way_from_another_process() -> None:
    problem = AudioProblem("a.wav is empty (0 bytes)")
    assert str(pickle.loads(pickle.dumps(problem))) == str(problem)  # noqa: S301 (made here)


def float_wav(path: Path, bad: float, subtype: str = "FLOAT", rate: int = 16_000) -> None:
    samples = np.sin(np.arange(rate) / 20) / 4
    samples[700] = bad
    soundfile.write(str(path), samples, rate, format="WAV", subtype=subtype)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("subtype", ["FLOAT", "DOUBLE"])
def test_samples_that_are_no_numbers_are_refused_by_check_and_by_every_reader(
    tmp_path: Path, bad: float, subtype: str
) -> None:
    bridge.apply()
    import torchaudio
    from torchaudio.sox_effects import apply_effects_file

    path = tmp_path / "bad.wav"
    float_wav(path, bad, subtype)
    with pytest.raises(audio.AudioProblem, match=r"bad.wav: 1 of 16,000 samples are no finite numbers"):
        audio.decode(path)
    kaldi = importlib.import_module("s3prl.downstream.diarization.dataset").KaldiData
    stretch = SimpleNamespace()
    readers: tuple[Callable[[], object], ...] = (
        lambda: torchaudio.load(str(path)),
        lambda: apply_effects_file(str(path), [["channels", "1"], ["rate", "16000"], ["gain", "-3.0"]]),
        lambda: kaldi._load_wav(stretch, str(path), 600, 800),
    )
    for read in readers:
        with pytest.raises(
            UsageError, match=r"bad.wav: 1 of .* samples are no finite .*; restore|, then run"
        ):
            read()
    assert len(kaldi._load_wav(stretch, str(path), 800, 900)[0]) == 100


def test_a_double_that_float32_cannot_hold_is_refused(tmp_path: Path) -> None:
    float_wav(tmp_path / "large.wav", 1e300, "DOUBLE")
    with pytest.raises(audio.AudioProblem, match="no finite numbers"):
        audio.decode(tmp_path / "large.wav")


@pytest.mark.parametrize("samples", [1, 399, 559])
def test_a_file_too_short_for_two_frames_is_found_whatever_is_decoded(tmp_path: Path, samples: int) -> None:
    files = [tmp_path / f"{number:02}.wav" for number in range(20)]
    for path in files:
        soundfile.write(str(path), np.ones(16_000, np.int16), 16_000)
    soundfile.write(str(files[7]), np.ones(samples, np.int16), 16_000)
    [problem] = audio.problems([AudioFile.at(path, tmp_path) for path in files], 2, "words")
    words = f"{files[7]} has {samples} sample{'s'[: samples - 1]} at 16,000 Hz, at least 560 were expected"
    assert problem.startswith(words)
    with pytest.raises(
        UsageError, match=r"two frames of 25 ms.; restore that file from the corpus, or get it"
    ):
        checks.require_none([problem], "get it again")


def test_a_file_is_asked_for_its_size_once_when_it_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    soundfile.write(str(tmp_path / "a.wav"), np.ones(16_000, np.int16), 16_000)
    asked, stat = list[object](), os.stat

    def count(path: Path, **options: bool) -> os.stat_result:
        asked.append(path)
        return stat(path, **options)

    monkeypatch.setattr(os, "stat", count)
    assert audio.length(tmp_path / "a.wav") == 16_000
    assert len(asked) <= 2  # ours, and one of soundfile itself


def test_a_query_too_short_for_a_frame(tmp_path: Path) -> None:
    soundfile.write(str(tmp_path / "a.wav"), np.ones(199, np.int16), 8_000)
    with pytest.raises(audio.AudioProblem) as caught:
        quesst14._seconds(tmp_path / "a.wav")
    assert caught.value.what == (
        f"{tmp_path / 'a.wav'} has 199 samples at 8,000 Hz, at least 0.025 s were expected (one frame)"
    )


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ks", "ic", "er"])
def test_one_sample_in_a_corpus_is_named_before_a_run(label_demos: Path, tmp_path: Path, name: str) -> None:
    task = tasks.get(name)
    shutil.copytree(label_demos, tmp_path / "data", copy_function=os.link)
    clean = task.corpus.prepare(tmp_path / "data", tmp_path / "cache", task.recipes["demo"].copy_config())
    path = clean.audio[11]
    path.unlink()
    soundfile.write(str(path), np.ones(1, np.int16), 16_000)
    with pytest.raises(UsageError, match=rf"{path.name} has 1 sample at 16,000 Hz, at least 560 were"):
        task.corpus.prepare(tmp_path / "data", tmp_path / "cache", task.recipes["demo"].copy_config())


# Other versions of a corpus


def test_librispeech_as_wav(tmp_path: Path) -> None:
    folder = tmp_path / "LibriSpeech" / "dev-clean" / "84" / "121123"
    folder.mkdir(parents=True)
    for number in range(3):
        (folder / f"84-121123-000{number}.wav").write_bytes(b"RIFF")
    (folder / "84-121123.trans.txt").write_text("84-121123-0000 A\n")
    request = Request(tmp_path, tmp_path / "LibriSpeech", None, {}, False)
    assert librispeech.list_parts(request, {"dev": ["dev-clean"]}).problems == [
        f"{folder.parents[1]} holds 3 .wav files (first: 84-121123-0000.wav), <speaker>/<chapter>/*.flac was "
        "expected, as the archives of openslr.org/12 have it",
    ]


def test_voxceleb_as_m4a(tmp_path: Path) -> None:
    folder = tmp_path / "VoxCeleb1" / "dev" / "wav" / "id10001" / "1zcIwhmdeo4"
    folder.mkdir(parents=True)
    (folder / "00001.m4a").write_bytes(b"m4a")
    (folder / "00002.m4a").write_bytes(b"m4a")
    with pytest.raises(UsageError) as caught:
        voxceleb1.CORPUS.look(tmp_path, None, {})
    problem = str(caught.value)
    assert problem.startswith(f"part dev has no wav file: {folder.parent} holds 2 .m4a")
    assert "idNNNNN/<video>/NNNNN.wav of 16 kHz and one channel was expected" in problem


def test_speech_commands_of_version_two(tmp_path: Path) -> None:
    for name in ("_background_noise_", "backward", "yes"):
        (tmp_path / "speech_commands_v0.02" / name).mkdir(parents=True)
    wanted = "SUPERB uses version 0.01: unpack speech_commands_v0.01.tar.gz"
    with pytest.raises(UsageError, match=f"speech_commands_v0.02 holds Speech Commands, not in .*; {wanted}"):
        speech_commands.CORPUS.look(tmp_path, None, {})
    (tmp_path / "speech_commands_v0.02").rename(tmp_path / "speech_commands_v0.01")
    (tmp_path / "speech_commands_test_set_v0.01").mkdir()
    with pytest.raises(UsageError, match=f"backward is not one of the folders of version 0.01 .*; {wanted}"):
        speech_commands.CORPUS.look(tmp_path, None, {})


def test_libri2mix_of_other_rate_or_length(tmp_path: Path) -> None:
    for version in ("wav8k/max", "wav16k/min"):
        (tmp_path / "Libri2Mix" / version / "metadata").mkdir(parents=True)
    with pytest.raises(
        UsageError, match=r"holds Libri2Mix as wav8k/max and wav16k/min; wav16k/max .* expected"
    ):
        librimix.CORPUS.find(tmp_path)


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (
            "11-22-0000 NAÏVE",
            r"line 1 has 'Ï' in the transcript of 11-22-0000.*; correct that line, or unpack",
        ),
        ("", r"line 1 is blank.*; correct that line, or unpack"),
        ("11-22-0001 A", r"line 2 gives 11-22-0001 a second time.*; delete that line, or unpack"),
    ],
)
def test_one_bad_line_is_mended_by_itself(
    tmp_path: Path, make_split: Callable[..., list[Path]], line: str, words: str
) -> None:
    few = dataclasses.replace(librispeech.CORPUS, official={"dev-clean": 3})
    listing = make_split(tmp_path, "dev-clean")[0].parent / "11-22.trans.txt"
    listing.write_text("\n".join([line, *listing.read_text().splitlines()[1:]]) + "\n")
    with pytest.raises(UsageError, match=words):
        few.standing(librispeech.list_parts(few.request(tmp_path, None, {}), {"dev": ["dev-clean"]}), False)
