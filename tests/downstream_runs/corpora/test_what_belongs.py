"""What belongs to a corpus: what is counted and hashed, and what s3prl's data sets read, in all ten tasks.

Each row spoils a demo corpus as file managers, archives and users do. Either nothing changes (utterances,
hashes, the files of every one of s3prl's data sets), or one sentence comes before a run.
"""

from __future__ import annotations

import importlib
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from downstream_runs import bridge, tasks
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio
from upstream_arm.common.errors import UsageError

NAMES = ("asr", "pr", "ks", "sid", "asv", "sd", "ic", "sf", "er", "qbe")
FOLDERS: Mapping[str, tuple[str, ...]] = {
    "asr": ("LibriSpeech",),
    "pr": ("LibriSpeech",),
    "ks": ("speech_commands_v0.01", "speech_commands_test_set_v0.01"),
    "sid": ("VoxCeleb1",),
    "asv": ("VoxCeleb1",),
    "sd": ("Libri2Mix",),
    "ic": ("fluent_speech_commands_dataset",),
    "sf": ("SNIPS",),
    "er": ("IEMOCAP_full_release",),
    "qbe": ("quesst14Database",),
}
AUDIO = (".wav", ".flac")


@dataclass(frozen=True)
class Seen:
    """What the check found, and the files of each data set by their last three folders and names."""

    utterances: Mapping[str, int]
    sha256: str
    items: Mapping[str, list[tuple[str, ...]]]


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory, label_demos: Path) -> Callable[[str], Path]:
    """The demo corpus of a task, made when it is first asked for."""
    rest = tmp_path_factory.mktemp("rest")

    def make(name: str) -> Path:
        if name in ("ks", "ic", "er"):
            return label_demos
        tasks.get(name).corpus.make_demo(rest)
        return rest

    return make


@pytest.fixture(scope="module")
def clean(demos: Callable[[str], Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Seen]:
    known: dict[str, Seen] = {}

    def look(name: str) -> Seen:
        if name not in known:
            known[name] = see(name, demos(name), tmp_path_factory.mktemp(f"clean-{name}"))
        return known[name]

    return look


@pytest.fixture
def copy(demos: Callable[[str], Path], tmp_path: Path) -> Callable[[str], Path]:
    """A copy of a task's demo corpus that may be spoilt."""

    def make(name: str) -> Path:
        data = tmp_path / "data"
        for folder in (*FOLDERS[name], *(("lexicon",) if name == "pr" else ())):
            shutil.copytree(demos(name) / folder, data / folder, copy_function=os.link)
        return data

    return make


def see(name: str, data: Path, place: Path) -> Seen:
    task = tasks.get(name)
    prepared = audio.sampled(task.corpus.prepare(data, place / "cache", task.recipes["demo"].copy_config()))
    return Seen(prepared.utterances, prepared.sha256, dict(data_sets(name, prepared, place)))


def data_sets(name: str, prepared: PreparedData, place: Path) -> Iterator[tuple[str, list[tuple[str, ...]]]]:
    """The files of each of s3prl's data sets."""
    bridge.apply()
    task = tasks.get(name)
    if name == "qbe":
        from s3prl.downstream.quesst14_dtw.dataset import QUESST14Dataset

        for split in ("dev", "eval"):
            yield split, ends(QUESST14Dataset(split, dataset_root=str(prepared.root)).data)
        return
    from downstream_runs.estimate.heads import expert_config

    config = expert_config(task.recipes["demo"].copy_config(), prepared)
    expert = importlib.import_module(f"s3prl.downstream.{task.s3prl_name}.expert").DownstreamExpert(
        upstream_dim=8, upstream_rate=160, **config, expdir=str(place), seed=1, device="cpu", upstream="",
        downstream=task.s3prl_name, downstream_variant=None,
    )  # fmt: skip
    if task.adjust is not None:
        task.adjust(expert)
    assert task.train_split is not None
    for split in (task.train_split, *task.dev_splits, *task.test_splits):
        try:
            loader = expert.get_dataloader(split, epoch=0)
        except TypeError:
            loader = expert.get_dataloader(split)
        yield split, ends(files_of(loader.dataset))


def files_of(dataset: Any) -> list[Any]:
    if hasattr(dataset, "indices"):  # one of the two parts that ER draws
        return [files_of(dataset.dataset)[index] for index in dataset.indices]
    if hasattr(dataset, "file_list"):
        return list(dataset.file_list)
    if hasattr(dataset, "X"):
        return [file for bucket in dataset.X for file in bucket]
    if hasattr(dataset, "df"):
        return list(dataset.df["path"])
    if hasattr(dataset, "meta_data") and isinstance(dataset.meta_data, list):
        return [one["path"] for one in dataset.meta_data]
    if hasattr(dataset, "chunk_indices"):
        return list(dataset.data.wavs.values())
    found = dataset.data if hasattr(dataset, "data") else dataset.dataset
    return [one[1] if isinstance(one, tuple) else one for one in found]


def ends(files: list[Any]) -> list[tuple[str, ...]]:
    return sorted(Path(file).parts[-3:] for file in files)


def places(data: Path, name: str) -> list[Path]:
    """The first and the last file of each kind in each corpus folder."""
    found: dict[tuple[str, str], list[Path]] = {}
    for folder in FOLDERS[name]:
        for path in sorted((data / folder).rglob("*")):
            if path.is_file():
                found.setdefault((folder, "".join(path.suffixes)), []).append(path)
    return sorted({path for files in found.values() for path in (files[0], files[-1])})


def spoil_hidden(data: Path, name: str) -> None:
    for path in places(data, name):
        os.link(path, path.with_name(f".{path.name}"))


def spoil_forks(data: Path, name: str) -> None:
    for path in places(data, name):
        path.with_name(f"._{path.name}").write_bytes(b"\0\5\x16\7\0\2\0\0Mac OS X")


def spoil_hidden_folders(data: Path, name: str) -> None:
    for path in places(data, name):
        for hidden in (".ipynb_checkpoints", ".AppleDouble", "__MACOSX"):
            for place in {path.parent, path.parent.parent} - {data}:
                (place / hidden).mkdir(exist_ok=True)
                if not (place / hidden / path.name).exists():
                    os.link(path, place / hidden / path.name)


def link_corpus(data: Path, name: str) -> None:
    for folder in FOLDERS[name]:
        (data.parent / "elsewhere").mkdir(exist_ok=True)
        (data / folder).rename(data.parent / "elsewhere" / folder)
        (data / folder).symlink_to(data.parent / "elsewhere" / folder)


def link_folders(data: Path, name: str) -> None:
    """Every folder that holds audio lies elsewhere."""
    holders = {
        path.parent for folder in FOLDERS[name] for path in (data / folder).rglob("*") if path.suffix in AUDIO
    }
    for number, folder in enumerate(sorted(holders)):
        target = data.parent / "elsewhere" / str(number)
        target.parent.mkdir(exist_ok=True)
        folder.rename(target)
        folder.symlink_to(target)


def link_files(data: Path, name: str) -> None:
    files = [path for folder in FOLDERS[name] for path in (data / folder).rglob("*") if path.suffix in AUDIO]
    for number, path in enumerate(sorted(files)):
        target = data.parent / "elsewhere" / f"{number}{path.suffix}"
        target.parent.mkdir(exist_ok=True)
        path.rename(target)
        path.symlink_to(target)


def link_loop(data: Path, name: str) -> None:
    for path in places(data, name):
        if not (path.parent / "loop").is_symlink():
            (path.parent / "loop").symlink_to(".")
            (path.parent / "itself").symlink_to("itself")


def folder_like_a_file(data: Path, name: str) -> None:
    for path in places(data, name):
        if path.suffix in AUDIO:
            (path.parent / f"folder{path.suffix}").mkdir()


def beside(new: bytes) -> Callable[[Path, str], None]:
    def add(data: Path, name: str) -> None:
        for path in places(data, name):
            if path.suffix in AUDIO:
                # Audio SNIPS's voices are the beginnings of names.
                os.link(
                    path,
                    os.fsencode(path.parent) + b"/" + os.fsencode(path.stem) + new + os.fsencode(path.suffix),
                )

    return add


def odd_data_folder(data: Path, name: str) -> None:
    odd = Path(os.fsdecode(os.fsencode(data.parent) + b"/caf\xe9"))
    data.rename(odd)
    data.symlink_to(odd)


def second_copy(data: Path, name: str) -> None:
    """A file that s3prl would take for another one of the same utterance."""
    for path in places(data, name):
        if path.suffix in AUDIO and name in ("asr", "pr"):
            os.link(path, path.with_name(f"{path.stem}.1{path.suffix}"))
        elif path.suffix in AUDIO and name == "sf":
            (path.parent / "again").mkdir(exist_ok=True)
            os.link(path, path.parent / "again" / path.name)


LISTED = {"ic", "sd", "er", "qbe"}
"""Corpora whose own tables name the files: one more is not looked at."""

DAMAGES: Mapping[str, tuple[Callable[[Path, str], None], set[str], str]] = {
    "hidden files": (spoil_hidden, set(), ""),
    "forks": (spoil_forks, set(), ""),
    "hidden folders": (spoil_hidden_folders, set(), ""),
    "corpus behind a link": (link_corpus, set(), ""),
    "folders behind links": (link_folders, set(), ""),
    "files behind links": (link_files, set(), ""),
    "a link to itself": (link_loop, {"ks"}, "loop is not one of the (folders|twelve)"),
    "a folder named .wav": (folder_like_a_file, set(), ""),
    "a data folder that is not UTF-8": (odd_data_folder, set(NAMES), r"caf\\udce9', which is not UTF-8"),
    "a second copy": (
        second_copy,
        {"asr", "pr", "sf"},
        "another copy of that utterance|are both .*, one was",
    ),
    "not UTF-8": (
        beside(b"\xe9"),
        set(NAMES) - LISTED,
        r"\\xe9.* in .*has a name that no result file can hold",
    ),
    "a line break": (
        beside(b"\n"),
        set(NAMES) - LISTED,
        r"\\n.* in .*has a name that no result file can hold",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", NAMES)
def test_all_readers_see_the_same_files(
    name: str,
    damage: str,
    copy: Callable[[str], Path],
    clean: Callable[[str], Seen],
    tmp_path: Path,
) -> None:
    data = copy(name)
    spoil, refused, words = DAMAGES[damage]
    spoil(data, name)
    if name in refused:
        with pytest.raises(UsageError, match=words) as caught:
            see(name, data, tmp_path / "place")
        assert "\n" not in str(caught.value)
        str(caught.value).encode()
        return
    assert see(name, data, tmp_path / "place") == clean(name)
