"""A part of a corpus: refused by every task in one sentence, or taken and labelled with its counts."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import pickle
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import libri2mix
import pytest
import snips_files
import voxceleb1_files

from downstream_runs import tasks
from downstream_runs.corpora import libriphone as lexicon
from downstream_runs.corpora import voxceleb1_verification as verification
from upstream_arm.common.errors import UsageError

# Task -> what its sentence counts, and the official numbers that make the same corpus a whole one.
LIBRISPEECH = {"train-clean-100": 3, "dev-clean": 2, "test-clean": 2}
ARCHIVES = {"part dev": 16, "part test": 12}
COUNTS: Mapping[str, tuple[str, Mapping[str, int]]] = {
    "pr": ("train-clean-100 has 3 of 28,539 utterances", LIBRISPEECH),
    "asr": ("train-clean-100 has 3 of 28,539 utterances", LIBRISPEECH),
    "ks": (
        "_background_noise_ has 2 of 6 files",
        {"speech_commands_v0.01": 112, "_background_noise_": 2, "speech_commands_test_set_v0.01": 29},
    ),
    "qbe": ("documents has 48 of 2,438 recordings", {"documents": 48, "dev": 8, "eval": 8}),
    "sid": (
        "part dev has 16 of 148,642 utterances",
        {**ARCHIVES, "train": 14, "dev": 7, "test": 7},
    ),
    "asv": ("part dev has 16 of 148,642 utterances", ARCHIVES),
    "sd": ("train has 2 of 13,900 recordings", libri2mix.OFFICIAL),
    "ic": ("train has 70 of 23,132 utterances", {"train": 70, "dev": 14, "test": 28}),
    "sf": ("train has 6 of 104,672 utterances", {"train": 6, "valid": 6, "test": 6}),
    "er": (
        "Session1 has 30 of 1,085 utterances",
        {f"Session{number}": 30 for number in range(1, 6)},
    ),
}


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A synthetic QUESST 2014."""
    pytest.importorskip("espeakng_loader")
    folder = tmp_path_factory.mktemp("spoken")
    tasks.get("qbe").corpus.make_demo(folder)
    return folder


@pytest.fixture
def parts(spoken: Path, label_demos: Path, tmp_path: Path, make_split: Callable[..., list[Path]]) -> Path:
    """Small corpora of all ten tasks, without the marks of made ones."""
    data = tmp_path / "data"
    for made in (spoken, label_demos):
        shutil.copytree(made, data, dirs_exist_ok=True)
    for split, lengths in (("train-clean-100", (800, 2400, 1600)), ("dev-clean", (800, 900))):
        make_split(data / "LibriSpeech", split, lengths)
    make_split(data / "LibriSpeech", "test-clean", (800, 900))
    (data / "lexicon").mkdir()
    words = ("IT'S", "WORD", "A", "B", "C")
    for name, text in lexicon.lexicon_texts({word: ("AH1",) for word in words}).items():
        (data / "lexicon" / name).write_text(text)
    voxceleb1_files.make(data)
    libri2mix.make(data)
    snips_files.make(data)
    for mark in [*data.rglob("DEMO.txt"), *data.rglob("DEMO.json")]:
        mark.unlink()
    return data


@pytest.mark.parametrize("name", tasks.names())
def test_a_part_is_refused_alike_or_labelled_and_a_whole_corpus_is_neither(
    name: str, parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    task, (counted, whole) = tasks.get(name), COUNTS[name]
    config, cache = task.recipes["superb"].copy_config(), tmp_path / "cache"
    for check in (task.corpus.look, task.corpus.prepare):
        with pytest.raises(UsageError) as caught:
            check(parts, cache, config)
        said = str(caught.value)
        assert "is not the whole official corpus: " in said and counted in said
        assert said.endswith("or add --partial to use what is there, with results labelled partial")
    found, seen = (
        task.corpus.prepare(parts, cache, config, True),
        task.corpus.look(parts, cache, config, True),
    )
    assert found.labels == seen.labels and found.labels[0] == "partial"
    assert pickle.dumps(task.corpus), "runs are handed to processes"
    assert found.partial == seen.partial and found.partial
    listed = ", ".join(f"{part} has {count}" for part, count in found.partial.items())
    assert found.deviations[0] == f"the corpus is partial: {listed}"

    module = importlib.import_module(task.corpus.listed.__module__)
    small = dataclasses.replace(task.corpus, official=whole)
    monkeypatch.setattr(module, "CORPUS", small)
    trials = verification.read_trials(parts / "VoxCeleb1" / "veri_test.txt")
    official_list = hashlib.sha256(verification.text_of(trials).encode()).hexdigest()
    monkeypatch.setattr(verification, "TRIALS_SHA256", official_list)
    for partial in (False, True):
        official = small.prepare(parts, cache, config, partial)
        assert "partial" not in official.labels and not official.partial
        assert not any("partial" in sentence for sentence in official.deviations)
        assert official.sha256 == found.sha256


@pytest.mark.parametrize("name", ["ks", "ic", "er", "qbe"])
def test_made_corpora_keep_their_own_label(
    name: str, spoken: Path, label_demos: Path, tmp_path: Path
) -> None:
    task = tasks.get(name)
    data = spoken if name == "qbe" else label_demos
    found = task.corpus.prepare(data, tmp_path, task.recipes["superb"].copy_config(), True)
    assert found.labels == ("demo",) and not found.partial


@pytest.mark.parametrize("name", tasks.names())
def test_files_may_be_missing_from_a_part(name: str, parts: Path, tmp_path: Path) -> None:
    """As where a tenth of a corpus was copied and its lists were not shortened."""
    task = tasks.get(name)
    config, cache = task.recipes["superb"].copy_config(), tmp_path / "cache"
    before = task.corpus.prepare(parts, cache, config, True)
    places = {"qbe": "quesst14Database/Audio", "sd": "Libri2Mix/wav16k/max/train-100", "sf": "SNIPS/train"}
    gone = {
        "asv": "VoxCeleb1/test/wav/id10270/video-2/*.wav",
        "er": "IEMOCAP_full_release/Session3/sentences/wav/*/*F002.wav",
        "ic": "fluent_speech_commands_dataset/wavs/speakers/demoDevA/*.wav",
        "ks": "speech_commands_v0.01/bird/*.wav",
        "sid": "VoxCeleb1/dev/wav/id10008/video-2/*.wav",
    }
    pattern = gone.get(name, f"{places.get(name, 'LibriSpeech/train-clean-100')}/**/*")
    files = sorted(path for path in parts.glob(pattern) if path.suffix in (".wav", ".flac"))
    files[-1].unlink()
    after = task.corpus.prepare(parts, cache, config, True)
    assert after.labels == before.labels and after.partial != before.partial
    assert after.sha256 != before.sha256
    assert sum(after.utterances.values()) < sum(before.utterances.values())
