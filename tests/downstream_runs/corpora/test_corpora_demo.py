"""The synthetic corpus, made for real."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile

from downstream_runs import tasks
from downstream_runs.core.corpus import Standing
from downstream_runs.corpora import markers
from downstream_runs.corpora.demo import made as makers
from downstream_runs.corpora.demo import utterances as demo
from downstream_runs.corpora.demo.speech import PEAK, Line, Voice, synthesise
from downstream_runs.corpora.transcripts import LETTERS
from upstream_arm.common.errors import RunFailed, UsageError

SPEAKERS = makers.voices("librispeech")


@pytest.fixture(scope="module")
def espeak() -> None:
    pytest.importorskip("espeakng_loader", reason="needs the demo extra: pip install 'superb-arm[demo]'")


@pytest.fixture(scope="module")
def made(espeak: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return demo.librispeech(tmp_path_factory.mktemp("made"))


def look(root: Path) -> Standing:
    asr = tasks.get("asr")
    return asr.corpus.look(root, None, asr.recipes["demo"].config)


def audio(root: Path) -> dict[str, bytes]:
    paths = sorted(root.rglob("*.flac"))
    return {
        path.relative_to(root).as_posix(): soundfile.read(str(path), dtype="int16")[0].tobytes()
        for path in paths
    }


def test_it_is_a_good_librispeech_with_a_label(made: Path) -> None:
    assert look(made).labels == markers.labels(made) == ("demo",)
    counts = {split: len(list((made / split).rglob("*.flac"))) for split in SPEAKERS}
    assert counts == {"train-clean-100": 60, "dev-clean": 12, "test-clean": 12}
    seconds = [soundfile.info(str(path)).duration for path in made.rglob("*.flac")]
    assert min(seconds) >= 1 and max(seconds) <= 3
    assert "synthetic" in (made / "DEMO.txt").read_text()


def test_two_makes_are_the_same(made: Path, tmp_path: Path) -> None:
    again = demo.librispeech(tmp_path)
    assert audio(again) == audio(made)
    assert (again / "DEMO.json").read_bytes() == (made / "DEMO.json").read_bytes()


def test_a_whole_corpus_is_left_alone_and_a_spoilt_one_is_made_again(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = demo.librispeech(tmp_path)
    wanted = audio(root)
    first = root / sorted(wanted)[0]
    first.write_bytes(first.read_bytes()[:100])
    (root / "train-clean-100" / "90001" / "1" / "90001-1-9999.flac").write_bytes(b"stray")
    demo.librispeech(tmp_path)
    assert audio(root) == wanted

    (root / "DEMO.json").unlink()
    first.unlink()
    demo.librispeech(tmp_path)
    assert audio(root) == wanted

    monkeypatch.setattr(makers, "synthesise", lambda lines: pytest.fail("a whole corpus was made again"))
    demo.librispeech(tmp_path)


def test_a_make_that_is_killed_leaves_a_marked_half(
    espeak: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(path: Path, wave: object, rate: int) -> int:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(makers, "write_audio", killed)
        with pytest.raises(KeyboardInterrupt):
            demo.librispeech(tmp_path)
    root = tmp_path / "LibriSpeech"
    assert markers.labels(root) == ("demo",) and not (root / "DEMO.json").exists()
    assert look(demo.librispeech(tmp_path)).labels == ("demo",)


def test_a_real_librispeech_is_never_written_over(espeak: None, tmp_path: Path, make_split) -> None:
    make_split(tmp_path / "LibriSpeech", "train-clean-100")
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="nothing is written over them"):
        demo.librispeech(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before


def test_no_place_to_write(espeak: None, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="cannot write"):
        demo.librispeech(tmp_path / "file")


def test_without_the_synthesiser_the_command_is_named_and_nothing_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)
    with pytest.raises(UsageError, match=r"pip install 'superb-arm\[demo\]'"):
        demo.librispeech(tmp_path / "new")
    assert not (tmp_path / "new").exists()


def test_what_a_line_sounds_like_does_not_depend_on_the_lines_before(espeak: None) -> None:
    line = Line("turn left", Voice("en-us", "f3"))
    other = Line("close the yellow box", Voice("en-gb-x-rp", "m7", pitch=20))
    [alone] = synthesise([line])
    after = synthesise([other, line])[1]
    assert alone.dtype == np.float32 and alone.ndim == 1
    assert np.array_equal(alone, after)
    assert np.abs(alone).max() == pytest.approx(PEAK)


def test_voices_differ_and_missing_ones_are_refused(espeak: None) -> None:
    voices = [voice for speakers in SPEAKERS.values() for voice in speakers.values()]
    waves = synthesise([Line("seven", voice) for voice in voices])
    assert len({wave.tobytes() for wave in waves}) == len(voices) == len(set(voices))
    with pytest.raises(UsageError, match="no voice variant nobody"):
        synthesise([Line("seven", Voice("en-us", "nobody"))])
    with pytest.raises(RunFailed, match=r"no voice xx-yy\+m1"):
        synthesise([Line("seven", Voice("xx-yy", "m1"))])


def test_sentences_are_few_words_that_come_back() -> None:
    patterns = makers.data()["sentences"]["patterns"]
    drawn = makers.sentences(84, patterns)
    assert drawn == makers.sentences(84, patterns) != makers.sentences(84, patterns, 1)
    assert len(set(drawn)) == 84
    known = demo.vocabulary()
    assert len(known) == 40 and set("".join(known)) <= LETTERS
    train, held_out = drawn[:60], drawn[60:]
    assert {word for sentence in drawn for word in sentence.split()} <= known
    # What dev and test say has been said in training, word by word.
    assert {word for s in held_out for word in s.split()} <= {word for s in train for word in s.split()}


def test_a_kill_while_the_mark_is_written_spoils_no_folder(tmp_path: Path) -> None:
    (tmp_path / ".DEMO.txt.hbeu56x7.tmp").write_text("half of")
    markers.begin(tmp_path, markers.DEMO, "speech for tests\n")
    assert markers.DEMO in markers.labels(tmp_path)
