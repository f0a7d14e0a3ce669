"""QUESST 2014: finding it, and what is said about one that cannot be used."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from downstream_runs.corpora import markers, quesst14
from downstream_runs.corpora.demo import quesst14 as demo
from upstream_arm.common.errors import UsageError


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    return demo.make(tmp_path_factory.mktemp("made"))


@pytest.fixture
def made(whole: Path, tmp_path: Path) -> Path:
    """A copy that a test may spoil."""
    import shutil

    return Path(shutil.copytree(whole, tmp_path / whole.name))


def test_the_demo_is_a_good_corpus_with_other_languages_in_it(whole: Path) -> None:
    for data in (whole, whole.parent):
        assert quesst14.CORPUS.find(data) == whole
    corpus = quesst14.load(whole)
    assert len(corpus.documents) == demo.NUMBER
    assert {split: len(found) for split, found in corpus.queries.items()} == {"dev": 8, "eval": 8}
    assert markers.labels(whole) == ("demo",)
    seconds = [document.seconds for document in corpus.documents]
    assert min(seconds) > 1.5 and max(seconds) < 5
    assert soundfile.info(str(corpus.documents[0].path)).samplerate == 8000
    for split in quesst14.SPLITS:
        every, searched = corpus.truth[split], corpus.searched(split)
        assert (len(every.queries), len(every.documents)) == (10, demo.NUMBER + 5)
        targets = [len(searched.targets[query.name]) for query in corpus.queries[split]]
        assert targets[-1] == 0 and min(targets[:-1]) >= 4
        assert len(set(every.queries) - set(searched.queries)) == 2


def test_two_makes_are_the_same(whole: Path, tmp_path: Path) -> None:
    again = demo.make(tmp_path)
    assert (again / "DEMO.json").read_bytes() == (whole / "DEMO.json").read_bytes()


def test_a_spoilt_demo_is_made_again(made: Path) -> None:
    audio = next((made / "Audio").iterdir())
    wanted = audio.read_bytes()
    audio.write_bytes(wanted[:100])
    demo.make(made.parent)
    assert audio.read_bytes() == wanted


def edit(path: Path, change: Callable[[str], str]) -> None:
    path.write_text(change(path.read_text()))


def spoil_audio(root: Path) -> None:
    (root / "Audio" / "quesst14_00001.wav").write_bytes(b"RIFF")


def empty_audio(root: Path) -> None:
    (root / "dev_queries" / "quesst14_dev_0002.wav").write_bytes(b"")


def remove_audio(root: Path) -> None:
    (root / "eval_queries" / "quesst14_eval_0001.wav").unlink()


def list_twice(root: Path) -> None:
    edit(root / "scoring" / "language_key_dev.lst", lambda text: text + text.splitlines()[0] + "\n")


def list_a_stranger(root: Path) -> None:
    edit(
        root / "scoring" / "language_key_dev.lst",
        lambda text: text + "quesst14Database/eval_queries/quesst14_eval_0001.wav nnenglish\n",
    )


def break_a_line(root: Path) -> None:
    edit(root / "scoring" / "language_key_eval.lst", lambda text: "what is this\n" + text)


def leave_the_root(root: Path) -> None:
    edit(root / "scoring" / "language_key_eval.lst", lambda text: "x/../../secret.wav nnenglish\n" + text)


def no_english(root: Path) -> None:
    edit(root / "scoring" / "language_key_eval.lst", lambda text: text.replace("nnenglish", "basque"))


def no_targets(root: Path) -> None:
    edit(
        quesst14.truth_folder(root, "dev") / "quesst14_dev.rttm",
        lambda text: "".join(line for line in text.splitlines(True) if "quesst14_dev_" not in line),
    )


def no_truth(root: Path) -> None:
    (quesst14.truth_folder(root, "dev") / "quesst14_dev.ecf.xml").unlink()


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (spoil_audio, r"quesst14_00001\.wav is no audio, damaged"),
        (empty_audio, r"quesst14_dev_0002\.wav is empty \(0 bytes\)"),
        (remove_audio, r"has 72 of 73 audio files: eval_queries/quesst14_eval_0001\.wav is not there"),
        (list_twice, r"line 11: quesst14_dev_0001 is listed twice"),
        (list_a_stranger, r"1 queries are not in the ground truth .quesst14_eval_0001"),
        (break_a_line, r"language_key_eval\.lst line 1: found 'what is this', expected"),
        (leave_the_root, r"language_key_eval\.lst line 1: found 'x/\.\./\.\./secret"),
        (no_english, r"language_key_eval\.lst lists no file of the language nnenglish"),
        (no_targets, r"has no nnenglish query of dev in a document"),
        (no_truth, r"groundtruth_quesst14_dev holds none of \*\.ecf\.xml"),
    ],
)
def test_what_is_wrong_is_said(spoil: Callable[[Path], None], sentence: str, made: Path) -> None:
    spoil(made)
    with pytest.raises(UsageError, match=sentence) as told:
        quesst14.load(made)
    assert "\n" not in str(told.value)


def test_the_real_corpus_must_have_all_files(made: Path) -> None:
    for mark in ("DEMO.txt", "DEMO.json"):
        (made / mark).unlink()
    with pytest.raises(UsageError, match=r"dev has 8 of 138 queries.* or add --partial"):
        quesst14.load(made)


def test_no_corpus_at_all(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no QUESST 2014 in .*quesst14Database\.tgz there, or .* --demo"):
        quesst14.CORPUS.find(tmp_path)
