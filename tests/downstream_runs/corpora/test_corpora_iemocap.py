"""IEMOCAP: s3prl's metadata derived from the corpus's own labels, and what is wrong with the corpus said."""

from __future__ import annotations

import dataclasses
import json
import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs import tasks
from downstream_runs.corpora import iemocap as corpus
from downstream_runs.corpora.pinned import bytes_id
from upstream_arm.common.errors import UsageError

TASK = tasks.get("er")


@pytest.fixture
def copy(label_demos: Path, tmp_path: Path) -> Path:
    """The synthetic corpus without marks: what a user may have."""
    root = shutil.copytree(label_demos / "IEMOCAP_full_release", tmp_path / "IEMOCAP_full_release")
    for mark in ("DEMO.txt", "DEMO.json"):
        (root / mark).unlink()
    return root


def prepare(data: Path, fold: str = "fold1", partial: bool = True) -> object:
    config = TASK.recipes["demo"].copy_config()
    config["downstream_expert"]["datarc"]["test_fold"] = fold
    return TASK.corpus.prepare(data, data.parent / "cache", config, partial)


def test_the_metadata_hold_four_classes_of_all_sessions(label_demos: Path) -> None:
    prepared = prepare(label_demos, "fold3")
    folder = Path(prepared.settings["datarc.meta_data"]) / "Session3"  # type: ignore[attr-defined]
    train, test = (json.loads((folder / f"{part}_meta_data.json").read_text()) for part in ("train", "test"))
    assert train["labels"] == test["labels"] == {"neu": 0, "hap": 1, "ang": 2, "sad": 3}
    sessions = Counter(item["path"].split("/")[0] for item in train["meta_data"])
    assert sessions == {f"Session{number}": 30 for number in (1, 2, 4, 5)}
    # Six emotions were spoken: excited counts as happy, frustrated is left out.
    assert Counter(item["label"] for item in test["meta_data"]) == {"neu": 6, "hap": 12, "ang": 6, "sad": 6}
    assert {item["speaker"] for item in test["meta_data"]} == {"Ses03F"}
    assert prepared.utterances == {"train": 96, "dev": 24, "test": 30}  # type: ignore[attr-defined]
    assert set(prepared.groups.values()) == {"Ses03F", "Ses03M"}  # type: ignore[attr-defined]


def test_s3prl_s_own_preparation_finds_the_same(label_demos: Path, tmp_path: Path) -> None:
    pytest.importorskip("s3prl")
    pytest.importorskip("librosa")
    from s3prl.downstream.emotion.IEMOCAP_preprocess import preprocess

    root = corpus.CORPUS.find(label_demos)
    sessions = corpus.CORPUS.listed(corpus.CORPUS.request(root, None, {})).content
    for fold in corpus.SESSIONS:
        preprocess(str(root), [f"Session{fold}"], str(tmp_path / "stock.json"))
        stock = json.loads((tmp_path / "stock.json").read_text())
        ours = json.loads(corpus.metadata(sessions, fold)[1])
        key = str
        assert sorted(stock.pop("meta_data"), key=key) == sorted(ours.pop("meta_data"), key=key)
        assert stock == ours


def test_dialogues_come_in_s3prl_s_order(label_demos: Path) -> None:
    dialogues = {number: corpus.order(number)["dialogues"] for number in corpus.SESSIONS}
    assert [len(names) for names in dialogues.values()] == [28, 30, 32, 30, 31]
    assert all(len(set(names)) == len(names) for names in dialogues.values())
    found = list(
        dict.fromkeys(
            one.name.rpartition("_")[0]
            for one in corpus.CORPUS.listed(corpus.CORPUS.request(label_demos, None, {})).content[1]
        )
    )
    assert found == [name for name in dialogues[1] if name in found]
    assert found != sorted(found)


def test_the_official_metadata_are_known_by_their_git_names() -> None:
    assert bytes_id(b"") == "e69de29bb2d1d6434b8b29ae775ad8c2e48c5391"
    assert sum(corpus.CORPUS.official.values()) == 5_531


def test_another_content_is_partial_or_a_deviation(copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    prepared = prepare(copy)
    assert prepared.labels == ("partial",)  # type: ignore[attr-defined]
    assert "Session1 has 30 of 1,085 utterances" in prepared.deviations[0]  # type: ignore[attr-defined]
    thirty = dict.fromkeys(corpus.CORPUS.official, 30)
    monkeypatch.setattr(corpus, "CORPUS", dataclasses.replace(corpus.CORPUS, official=thirty))
    found = corpus.CORPUS.look(copy, None, {})
    assert "differ from s3prl's" in found.deviations[0] and found.labels == ()


def test_two_sessions_make_two_folds_and_one_none(copy: Path) -> None:
    for number in (1, 3, 4):
        shutil.rmtree(copy / f"Session{number}")
    assert TASK.folds_of is not None and TASK.folds_of(copy) == ("fold2", "fold5")
    prepared = prepare(copy, "fold5")
    assert prepared.utterances == {"train": 24, "dev": 6, "test": 30}  # type: ignore[attr-defined]
    assert prepared.deviations[1] == "the mean is over 2 of 5 folds"  # type: ignore[attr-defined]
    sorted((copy / "Session5/sentences/wav").rglob("*F000.wav"))[0].unlink()
    assert prepare(copy, "fold5").utterances["test"] == 29  # type: ignore[attr-defined]
    shutil.rmtree(copy / "Session5")
    assert TASK.folds_of(copy) == TASK.folds
    with pytest.raises(UsageError, match="has 1 of 5 sessions, at least two were expected"):
        prepare(copy, "fold2")


def _no_session(root: Path) -> None:
    shutil.rmtree(root / "Session4")


def _no_audio(root: Path) -> None:
    sorted((root / "Session2/sentences/wav").rglob("*F000.wav"))[0].unlink()


def _bad_line(root: Path) -> None:
    _change(root, "\tneu\t", "")


def _twice(root: Path) -> None:
    _change(root, "F001", "F000")


def _one_class_less(root: Path) -> None:
    for path in (root / "Session1/dialog/EmoEvaluation").glob("*.txt"):
        path.write_text(path.read_text().replace("\tsad\t", "\txxx\t"))


def _no_labels(root: Path) -> None:
    for path in (root / "Session1/dialog/EmoEvaluation").glob("*.txt"):
        path.unlink()


def _binary(root: Path) -> None:
    (root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt").write_bytes(b"\xff\xfe")


def _change(root: Path, old: str, new: str) -> None:
    path = root / "Session1/dialog/EmoEvaluation/Ses01F_impro01.txt"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("spoil", "partial", "says"),
    [
        (_no_session, False, r"Session4 has 0 of 1,031 utterances.* unpack .* or add --partial"),
        (_no_audio, False, r"labels Ses02F_impro01_F000, and there is no .*Ses02F_impro01_F000.wav; unpack"),
        (_bad_line, True, "impro01.txt line 3 is .* expected .start - end., an utterance such as"),
        (_twice, True, "line 6 labels Ses01F_impro01_F000 a second time"),
        (_one_class_less, True, "Session1.* labels no utterance as sad; unpack"),
        (_no_labels, True, "labels no utterance as one of neu, hap, ang, sad, exc"),
        (_binary, True, "Ses01F_impro01.txt cannot be read as text"),
    ],
)
@pytest.mark.parametrize("fold", ["fold1", "fold5"])
def test_what_is_wrong_is_said_whatever_the_fold(
    copy: Path, spoil: Callable[[Path], None], partial: bool, says: str, fold: str
) -> None:
    spoil(copy)
    with pytest.raises(UsageError, match=says):
        prepare(copy, fold, partial)


def test_files_of_macos_are_passed_over(copy: Path) -> None:
    before = prepare(copy)
    (copy / "Session1/dialog/EmoEvaluation/._Ses01F_impro01.txt").write_bytes(b"\xff\x00")
    assert prepare(copy) == before
