"""Layouts in which people keep the corpora, and the links that are made to them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from downstream_runs import tasks
from downstream_runs.corpora.fetching import linking, sources
from upstream_arm.common.errors import UsageError

DEV, TEST = "id10001/video/00001.wav", "id10270/video/00001.wav"
TEXT = "84/121123/84-121123.trans.txt"
PARTS = ("train-clean-100", "dev-clean", "test-clean")

LAYOUTS: Mapping[str, tuple[str, Mapping[str, str], Mapping[str, str]]] = {
    "our own": (
        "librispeech",
        {part: f"LibriSpeech/{part}/{TEXT}" for part in PARTS},
        {f"LibriSpeech/{part}": f"LibriSpeech/{part}" for part in PARTS},
    ),
    "a folder for each archive": (
        "librispeech",
        {part: f"slr12/{part}/LibriSpeech/{part}/{TEXT}" for part in PARTS},
        {f"LibriSpeech/{part}": f"slr12/{part}/LibriSpeech/{part}" for part in PARTS},
    ),
    "both archives of VoxCeleb1 in one folder": (
        "voxceleb1",
        {"a": f"voxceleb/vox1/wav/{DEV}", "b": f"voxceleb/vox1/wav/{TEST}"},
        {"VoxCeleb1/dev/wav": "voxceleb/vox1/wav", "VoxCeleb1/test/wav": "voxceleb/vox1/wav"},
    ),
    "the archives of VoxCeleb1 as they unpack": (
        "voxceleb1",
        {
            "a": f"v1/vox1_dev_wav/wav/{DEV}",
            "b": f"v1/vox1_test_wav/wav/{TEST}",
            "c": "v2/dev/aac/id00012/x/1.m4a",
        },
        {"VoxCeleb1/dev/wav": "v1/vox1_dev_wav/wav", "VoxCeleb1/test/wav": "v1/vox1_test_wav/wav"},
    ),
    "IEMOCAP without videos": (
        "iemocap",
        {"a": "emotion/IEMOCAP_full_release/Session1/dialog/EmoEvaluation/x.txt"},
        {"IEMOCAP_full_release": "emotion/IEMOCAP_full_release"},
    ),
    "the folder itself is named": (
        "quesst14",
        {"a": "scoring/language_key_utterances.lst"},
        {"quesst14Database": "."},
    ),
    "Speech Commands under other names, and its second version": (
        "speech_commands",
        {
            "0": "gsc/a_v2/_background_noise_/n.wav",
            "1": "gsc/a_v2/backward/n.wav",
            "a": "gsc/v1/_background_noise_/n.wav",
            "b": "gsc/v1_test/_silence_/n.wav",
        },
        {"speech_commands_v0.01": "gsc/v1", "speech_commands_test_set_v0.01": "gsc/v1_test"},
    ),
    "Libri2Mix beside its sources": (
        "wham",
        {
            "a": "mix/Libri2Mix/wav16k/max/metadata/x.csv",
            "b": "mix/storage/wham_noise/tt/n.wav",
            "c": "mix/code/metadata/LibriSpeech/test_clean.rttm",
        },
        {"Libri2Mix": "mix/Libri2Mix", "wham_noise": "mix/storage/wham_noise", "LibriMix": "mix/code"},
    ),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(layout: str, tmp_path: Path) -> None:
    name, files, expected = LAYOUTS[layout]
    lab, data = tmp_path / "lab", tmp_path / "lab" / "mine"  # not found again in what is made
    for file in files.values():
        (lab / file).parent.mkdir(parents=True, exist_ok=True)
        (lab / file).touch()
    source = next(one for one in sources.load() if one.name == name)
    lines = list(linking.link([source], lab, data))
    made = {str(path.relative_to(data)): path.resolve() for path in data.rglob("*") if path.is_symlink()}
    assert made == {to: (lab / where).resolve() for to, where in expected.items()}
    assert sum(" -> " in line for line in lines) == len(expected)
    again = list(linking.link([source], lab, data))
    assert sum(line.endswith(": there") for line in again) == len(expected)


def test_nothing_is_linked_inside_a_corpus(tmp_path: Path) -> None:
    (tmp_path / "theirs").mkdir()
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "VoxCeleb1").symlink_to(tmp_path / "theirs")
    source = next(one for one in sources.load() if one.name == "voxceleb1")
    with pytest.raises(UsageError, match="nothing is written into a corpus"):
        list(linking.link([source], tmp_path, tmp_path / "data"))
    assert not list((tmp_path / "theirs").iterdir())


def test_what_is_published_is_complete() -> None:
    """Against slips in sources.json: an address that is not https, a hash of another length, and so on."""
    listed = list(sources.load())
    files = [file for source in listed for archive in source.archives for file in archive.files]
    assert all(url.startswith("https://") and url.endswith(file.name) for file in files for url in file.urls)
    assert all(len(file.sha256) in (0, 64) and set(file.sha256) <= set("0123456789abcdef") for file in files)
    assert len({file.name for file in files}) == len(files)
    assert {task for source in listed for task in source.tasks} == set(tasks.names())
    for source in listed:
        assert source.request or all(archive.is_served for archive in source.archives)
        assert all(archive.bytes and archive.unpacked_gb for archive in source.archives)
