"""s3prl's lists that `data` puts beside the corpora."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs.corpora import libriphone, voxceleb1
from downstream_runs.corpora import voxceleb1_verification as verification
from downstream_runs.corpora.fetching import lists
from downstream_runs.corpora.pinned import PinnedFile
from upstream_arm.common.errors import UsageError

NAMES = [file.name for file in libriphone.FILES]


def bring(tasks: list[str], data: Path, work: Path) -> list[Path]:
    return list(lists.bring(lists.missing(tasks, data), work))


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were asked for; one called `refused` cannot be had."""
    names: list[str] = []

    def obtain(file: PinnedFile, cache: Path) -> Path:
        names.append(file.name)
        if file.name == "refused" or names.count(file.name) > 1:
            raise UsageError(f"{file.name} cannot be had")
        path = cache / "s3prl" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(file.path)
        return path

    monkeypatch.setattr(lists, "obtain", obtain)
    (tmp_path / "data" / "VoxCeleb1").mkdir(parents=True)
    return names


def test_each_task_has_its_own(asked: list[str], tmp_path: Path) -> None:
    data, work = tmp_path / "data", tmp_path / "data" / ".work"
    assert bring(["ks", "asr"], data, work) == [] and not asked
    made = [data / libriphone.FOLDER, data / voxceleb1.PINNED.name, data / verification.PINNED.name]
    assert bring(["pr", "sid", "asv"], data, work) == made
    assert sorted(path.name for path in made[0].iterdir()) == sorted(NAMES)
    assert made[1].read_text() == voxceleb1.PINNED.path and made[1].name in voxceleb1.SPLIT_LIST
    assert made[2].name in verification.TRIAL_LIST
    assert bring(["pr", "sid", "asv"], data, work) == []


def test_lists_of_the_corpus_itself_will_do(asked: list[str], tmp_path: Path) -> None:
    (tmp_path / "data" / "VoxCeleb1" / "iden_split.txt").touch()
    (tmp_path / "data" / "veri_test.txt").touch()
    (tmp_path / "data" / "LibriSpeech" / libriphone.FOLDER).mkdir(parents=True)
    assert bring(["pr", "sid", "asv"], tmp_path / "data", tmp_path / "work") == [] and not asked


def test_half_a_lexicon_is_none(asked: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tmp_path / "data"
    refused = (libriphone.FILES[0], PinnedFile("a/refused", "0" * 40))
    with monkeypatch.context() as patch, pytest.raises(UsageError, match="refused cannot be had"):
        patch.setattr(libriphone, "FILES", refused)
        bring(["pr"], data, data / ".work")
    assert not (data / libriphone.FOLDER).exists()
    asked.clear()
    assert bring(["pr"], data, data / ".work") == [data / libriphone.FOLDER]
    assert sorted(path.name for path in (data / libriphone.FOLDER).iterdir()) == sorted(NAMES)
