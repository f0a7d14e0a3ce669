"""Audio SNIPS: finding it, checking it, and the demo corpus in its layout."""

from __future__ import annotations

from pathlib import Path

import pytest
import snips_files
import soundfile

from downstream_runs.core.corpus import Standing
from downstream_runs.corpora import markers, snips
from downstream_runs.corpora.checks import Listing
from downstream_runs.corpora.demo import made as makers
from downstream_runs.corpora.demo import utterances as demo
from upstream_arm.common.errors import UsageError


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return snips_files.make(tmp_path)


def load(data: Path, decoded: int = 0) -> tuple[Listing[snips.Texts], Standing]:
    listing = snips.CORPUS.listed(snips.CORPUS.request(data, None, {}))
    return listing, snips.CORPUS.standing(listing, False, decoded)


def rewrite(root: Path, name: str, old: str, new: str) -> None:
    path = root / name
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_what_a_whole_corpus_holds(root: Path) -> None:
    # Voices of another split lie in the same folder in the real corpus, and are passed over.
    (root / "train" / "Amy-snips-train-0.wav").write_bytes(b"")
    found, standing = load(root.parent)
    assert found.content.slots == ("song", "city", "artist")
    assert found.counts == {"train": 6, "valid": 6, "test": 6}
    names = [snips.name_of(file.path) for file in found.audio["valid"]]
    assert names == sorted(names) and {snips.speaker(name) for name in names} == {"Aditi", "Amy"}
    assert standing.deviations == ()
    assert snips.CORPUS.find(root) == root


def test_the_split_of_the_speakers_and_the_characters() -> None:
    voices = [name for names in snips.SPEAKERS.values() for name in names]
    assert len(voices) == len(set(voices)) == 16
    assert snips.CORPUS.official == {"train": 104_672, "valid": 2800, "test": 2800}
    assert "".join(snips.CHARACTERS) == " ABCDEFGHIJKLMNOPQRSTUVWXYZ'"
    # s3prl compares the beginning of an id with the names.
    assert not any(a != b and a.startswith(b) for a in voices for b in voices)


def test_a_missing_corpus_says_where_it_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"looked for all.iob.snips.txt in .*SNIPS.*--demo"):
        snips.CORPUS.find(tmp_path)


@pytest.mark.parametrize(
    ("name", "old", "new", "expected"),
    [
        ("slots.txt", "O\nsong", "song", "begins with 'song', expected 'O'"),
        ("slots.txt", "city", "ci:ty", "has the slot 'ci:ty'"),
        ("slots.txt", "city", "song", "has the slot 'song'"),
        ("slots.txt", "city\n", "", "slot 'city', which slots.txt does not name"),
        (snips.TRANSCRIPTS, "\tO O song", " O O song", "not exactly one tab"),
        (snips.TRANSCRIPTS, "PLAY BLUE MOON", ".", "has no words between BOS and EOS"),
        (snips.TRANSCRIPTS, "O O song song", "O song", "has 3 words and 1 tags"),
        (snips.TRANSCRIPTS, "Amy-snips-valid-1 ", "Amy-snips-valid-9 ", "Amy-snips-valid-1.wav has no line"),
    ],
)
def test_what_is_wrong_in_the_texts_is_named(
    root: Path, name: str, old: str, new: str, expected: str
) -> None:
    rewrite(root, name, old, new)
    with pytest.raises(UsageError, match=expected):
        load(root)


def test_small_letters_and_a_split_without_slots(tmp_path: Path) -> None:
    small = tuple(line.replace("PLAY BLUE MOON", "play blue moon") for line in snips_files.LINES[:1])
    with pytest.raises(UsageError, match="write the words in capitals"):
        load(snips_files.make(tmp_path / "small", small))
    with pytest.raises(UsageError, match=r"no utterance of train .* has a slot"):
        load(snips_files.make(tmp_path / "none", ("BOS YES EOS\tO O Intent",)))


def test_unequal_words_and_tags_are_told(tmp_path: Path) -> None:
    lines = (*snips_files.LINES, "BOS PLAY IT EOS\tO O Intent")
    _, standing = load(snips_files.make(tmp_path, lines))
    assert standing.deviations[0] == "2 of 8 transcripts of train have unequal words and tags, cut by s3prl"


def test_missing_empty_and_wrong_audio(root: Path) -> None:
    wave = root / "valid" / "Amy-snips-valid-1.wav"
    soundfile.write(wave, [[0.1, 0.1]] * 8000, 16000)
    with pytest.raises(UsageError, match=r"Amy-snips-valid-1.wav has 2 channels"):
        load(root, snips.CORPUS.decoded)
    wave.write_bytes(b"")
    with pytest.raises(UsageError, match="is empty"):
        load(root)
    wave.unlink()
    with pytest.raises(UsageError, match=r"has 17 of 18 audio files: valid/Amy-snips-valid-1\.wav is not"):
        load(root)


def test_an_unmarked_corpus_must_be_the_official_one(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="train has 6 of 104,672 utterances"):
        load(snips_files.make(tmp_path, mark=False))


def test_an_empty_last_line_of_the_slots_adds_none(root: Path) -> None:
    rewrite(root, snips.SLOTS, "artist", "artist\r\n\n")
    slots = snips.read_slots(root / snips.SLOTS)
    assert slots == ("song", "city", "artist")
    assert snips.slots_text(slots) == "O\nsong\ncity\nartist"


def test_demo_sentences_differ_between_the_splits_and_hold_known_words() -> None:
    drawn = demo.orders(26)
    assert drawn == demo.orders(26) != demo.orders(26, 1)
    lines = [snips.split_line(line) for line in drawn]
    assert len({tuple(words) for words, _ in lines}) == 26
    for words, tags in lines:
        assert len(words) == len(tags) and {*tags} - {"O"} <= makers.data()["snips"]["slots"].keys()
        assert any(tag != "O" for tag in tags)
    # The first twelve are those of train.
    assert {tag for _, tags in lines[12:] for tag in tags} <= {tag for _, tags in lines[:12] for tag in tags}
    # All there are, although a pattern alone has few sentences; then a word instead of a loop without end.
    assert len(demo.orders(37, 1)) == 37
    with pytest.raises(ValueError, match="the patterns allow 37"):
        demo.orders(38, 1)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")
    return demo.snips(tmp_path_factory.mktemp("made"))


def test_the_demo_corpus_is_whole_small_and_labelled(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert load(made)[0].counts == {"train": 96, "valid": 12, "test": 16}
    assert markers.labels(made) == ("demo",) and "synthetic" in (made / "DEMO.txt").read_text()
    seconds = [soundfile.info(str(path)).duration for path in made.rglob("*.wav")]
    assert min(seconds) > 0.7 and max(seconds) < 3
    monkeypatch.setattr(makers, "synthesise", lambda lines: pytest.fail("a whole corpus was made again"))
    assert demo.snips(made.parent) == made
