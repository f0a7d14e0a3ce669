"""VoxCeleb1's layouts, lists, trims and what is said about a corpus that cannot be used."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import pytest
import soundfile
import voxceleb1_files as tiny

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.corpora import audio, pinned, voxceleb1
from downstream_runs.corpora import voxceleb1_verification as verification
from downstream_runs.corpora.checks import Request
from upstream_arm.common.errors import UsageError


def prepare(task: str, data: Path, cache: Path):
    spec = tasks.get(task)
    return spec.corpus.prepare(data, cache, spec.recipes["superb"].copy_config())


@pytest.mark.parametrize("places", [("dev/wav", "test/wav"), ("wav", "wav"), ("dev", "test")])
def test_every_layout_is_shown_to_s3prl_in_its_own(tmp_path: Path, places: tuple[str, str]) -> None:
    tiny.make(tmp_path, places)
    data = prepare("asv", tmp_path, tmp_path / "cache")
    view = Path(data.settings["datarc.file_path"])
    assert sorted(path.name for path in (view / "dev" / "wav").iterdir()) == sorted(tiny.DEV)
    assert sorted(path.name for path in (view / "test" / "wav").iterdir()) == sorted(tiny.TEST)
    assert data.utterances == {"train": 16, "dev": 8, "test": 9} and data.labels == ("demo",)
    again = prepare("sid", tmp_path, tmp_path / "cache")
    assert len(list(Path(again.settings["datarc.file_path"]).glob("*/wav/*/*/*.wav"))) == 28
    assert again.utterances == {"train": 14, "dev": 7, "test": 7}


def test_the_hash_follows_files_and_lists(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    before = [prepare(task, tmp_path, tmp_path / "cache").sha256 for task in ("sid", "asv")]
    assert before == [prepare(task, tmp_path, tmp_path / "other").sha256 for task in ("sid", "asv")]
    trials = (root / "veri_test.txt").read_text().splitlines()
    (root / "veri_test.txt").write_text("\n".join(trials[1:]) + "\n\n")
    splits = (root / "iden_split.txt").read_text()
    (root / "iden_split.txt").write_text("\n" + splits.replace("2 id10008", "1 id10008"))
    after = [prepare(task, tmp_path, tmp_path / "cache").sha256 for task in ("sid", "asv")]
    assert before[0] != after[0] and before[1] != after[1]


@pytest.mark.parametrize(
    ("task", "file", "old", "new", "words"),
    [
        ("sid", "iden_split.txt", "1 id10008", "4 id10008", r"iden_split\.txt line 1 is '4 id10008/"),
        (
            "sid",
            "iden_split.txt",
            "video-1/00001",
            "video-9/00001",
            r"lists id10008/video-9/00001\.wav, .* \(and 6",
        ),
        ("sid", "iden_split.txt", "1 id10008/video-2/00002", "1 id10008/video-1/00001", "a second time"),
        ("sid", "iden_split.txt", "2 ", "1 ", "has no utterance for dev"),
        ("sid", "iden_split.txt", "1 id10101", "2 id10101", "nothing of its speaker in train"),
        ("asv", "veri_test.txt", "1 id10270/video-1", "x id10270/video-1", r"veri_test\.txt line 1 is 'x "),
        ("asv", "veri_test.txt", "id10272/video-3/", "id10273/video-3/", r"lists id10273/video-3/00003\.wav"),
        (
            "asv",
            "veri_test.txt",
            "id10272/video-3/",
            "id10008/video-1/",
            r"has a trial of id10008/video-1/00003\.wav, whose speaker is trained on",
        ),
        ("asv", "veri_test.txt", "0 id", "1 id", "36 trials of one speaker and 0 of two"),
    ],
)
def test_a_bad_list_is_named(tmp_path: Path, task: str, file: str, old: str, new: str, words: str) -> None:
    root = tiny.make(tmp_path)
    path = root / file
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(UsageError, match=words):
        prepare(task, tmp_path, tmp_path / "cache")


def test_speakers_without_a_class_are_refused(tmp_path: Path) -> None:
    splits = {split: ["id11252/a/1.wav"] for split in ("train", "dev", "test")}
    with pytest.raises(UsageError, match=r"none of id10001 to id11251"):
        voxceleb1.require_classes(splits, tmp_path)


def test_a_missing_file_an_empty_one_and_a_wrong_rate_are_named(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    wav = root / "dev/wav" / tiny.name("id10008", 1)
    samples, _ = soundfile.read(wav)
    soundfile.write(wav, samples, 8000)
    with pytest.raises(UsageError, match="sampled at 8,000 Hz"):
        prepare("sid", tmp_path, tmp_path / "cache")
    wav.write_bytes(b"")
    with pytest.raises(UsageError, match=r"00001\.wav is empty"):
        prepare("sid", tmp_path, tmp_path / "cache")
    wav.unlink()
    with pytest.raises(UsageError, match=r"has 27 of 28 audio files: .*00001.wav is not there"):
        prepare("sid", tmp_path, tmp_path / "cache")


def test_a_speaker_in_two_folders_is_named(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    (root / "wav" / "id10008" / "video-1").mkdir(parents=True)
    with pytest.raises(UsageError, match="id10008 has two folders"):
        voxceleb1.speakers(root)


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no VoxCeleb1 in .*--demo"):
        voxceleb1.CORPUS.find(tmp_path)


def test_short_utterances_are_not_trained_on_and_none_left_is_an_error(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    wav = root / "dev/wav" / tiny.name("id10102", 1)
    samples, rate = soundfile.read(wav)
    soundfile.write(wav, samples[:16000], rate)
    data = prepare("asv", tmp_path, tmp_path / "cache")
    assert data.utterances["train"] == 15
    assert data.deviations == (
        "1 of 16 training utterances are not used: s3prl keeps those of more than 2 s after its cut of "
        "silence",
    )
    tiny.make(tmp_path / "short", seconds=1.0)
    with pytest.raises(UsageError, match=r"0 of 16 training utterances .* two speakers at least"):
        prepare("asv", tmp_path / "short", tmp_path / "cache")


def test_a_test_utterance_that_the_head_cannot_take_is_named(tmp_path: Path) -> None:
    root = tiny.make(tmp_path)
    wav = root / "test/wav" / tiny.name("id10271", 2)
    samples, rate = soundfile.read(wav)
    soundfile.write(wav, samples[:5000], rate)
    with pytest.raises(UsageError, match=r"id10271/video-2/00002\.wav has 4,999 samples left"):
        prepare("asv", tmp_path, tmp_path / "cache")


def test_trims_are_kept_by_size_and_time_and_survive_a_kill(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tiny.make(tmp_path)
    files = voxceleb1.recordings(voxceleb1.speakers(root))
    table = tmp_path / "cache" / "trimmed-lengths.txt"
    first = audio.measure(files, verification.trim, table, "trim")[0]
    text = table.read_text()
    lost = text.rstrip("\n").rsplit("\n", 1)[1].rsplit(" ", 1)[1]
    table.write_text(text[:-6])  # the last line without its end
    trimmed = []

    def trim(path: Path) -> int:
        trimmed.append(path)
        return 7

    monkeypatch.setattr(verification, "trim", trim)
    second = audio.measure(files, verification.trim, table, "trim")[0]
    assert [str(path).endswith(lost) for path in trimmed] == [True] and second == {**first, lost: 7}
    changed = dataclasses.replace(files[0], changed_ns=1)
    assert audio.measure([changed], verification.trim, table, "trim")[0] == {changed.name: 7}


def test_the_closing_check_of_data_leaves_the_trims_to_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    trimmed = []
    trim = verification.trim
    monkeypatch.setattr(verification, "trim", lambda path: trimmed.append(path) or trim(path))
    places = ["asv", "--data", str(tiny.make(tmp_path / "data").parent), "--out", str(tmp_path / "out")]
    assert cli.main(["data", *places, "--verify"]) == cli.main(["data", *places]) == 0
    assert "the rest takes long, and is done once" in capsys.readouterr().out and not trimmed
    assert cli.main(["check", *places]) == 0
    said = capsys.readouterr().out
    assert "audio files were decoded to their ends on " in said and "the rest" not in said and trimmed


def test_dev_trials_are_seeded_balanced_and_of_dev_speakers() -> None:
    names = [tiny.name(speaker, clip) for speaker in (*tiny.DEV, *tiny.TEST) for clip in range(1, 31)]
    trials = verification.draw_dev_trials(names)
    assert trials == verification.draw_dev_trials(names[::-1]) != verification.draw_dev_trials(names, 1)
    assert len(set(trials)) == len(trials) == 2 * 380
    assert sum(trial.label for trial in trials) == 380
    assert all(trial.label == (trial.enrol[:7] == trial.test[:7]) for trial in trials)
    assert {name[:7] for name in verification.utterances(trials)} == {"id10008", "id10025"}
    assert verification.draw_dev_trials(names[60:]) == []
    assert len(verification.DEV_SPEAKERS) == 40


def test_only_superbs_trials_serve_a_real_corpus(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "veri_test2.txt").write_text("".join(f"{line}\n" for line in tiny.trials()))

    def refuse(file: pinned.PinnedFile, cache: Path) -> Path:
        raise UsageError("no network")

    monkeypatch.setattr(voxceleb1, "obtain", refuse)
    request = Request(tmp_path, tmp_path, tmp_path / "cache", {}, False)

    def find() -> Path | None:
        return voxceleb1.find_list(
            request,
            False,
            verification.TRIAL_LIST,
            "veri_test.txt",
            verification.PINNED,
            lambda path: verification.is_official(verification.read_trials(path)),
        )

    with pytest.raises(UsageError, match=r"veri_test2\.txt is another one.*no network.*download"):
        find()
    text = (tmp_path / "veri_test2.txt").read_text()
    trials = verification.read_trials(tmp_path / "veri_test2.txt")
    official = hashlib.sha256(verification.text_of(trials).encode()).hexdigest()
    monkeypatch.setattr(verification, "TRIALS_SHA256", official)
    (tmp_path / "veri_test.txt").write_bytes(text.replace("\n", "\r\n").encode())
    assert find() == tmp_path / "veri_test.txt"


def test_the_demo_corpus_is_whole_and_long_enough_for_every_task(tmp_path: Path) -> None:
    pytest.importorskip("espeakng_loader")
    root = tasks.get("asv").corpus.make_demo(tmp_path)
    asv, sid = (prepare(task, tmp_path, tmp_path / "cache") for task in ("asv", "sid"))
    assert asv.utterances == {"train": 64, "dev": 16, "test": 20} and asv.deviations == ()
    assert sid.utterances == {"train": 48, "dev": 24, "test": 24}
    assert asv.labels == sid.labels == ("demo",)
    stamp = (root / "DEMO.json").stat().st_mtime_ns
    assert (
        tasks.get("sid").corpus.make_demo(tmp_path) == root
        and (root / "DEMO.json").stat().st_mtime_ns == stamp
    )


def test_the_list_of_identification_is_held_against_s3prl_s(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "1 id10003/na8-QEFmj44/00003.wav\n2 id10003/na8-QEFmj44/00004.wav\n"
    official = pinned.PinnedFile("veri_test_class.txt", pinned.bytes_id(text.encode()))
    monkeypatch.setattr(voxceleb1, "PINNED", official)
    path = tmp_path / "iden_split.txt"
    for same in (text, text.replace("\n", "\r\n"), text.rstrip("\n")):
        path.write_bytes(same.encode())
        assert voxceleb1.other_list(tmp_path, path) == ()
    path.write_text(text.replace("2 ", "3 "))
    [sentence] = voxceleb1.other_list(tmp_path, path)
    assert sentence == (
        "the speaker identification list iden_split.txt is not SUPERB's: its git hash is "
        f"{pinned.blob_id(path)[:8]}, {official.blob[:8]} was expected"
    )
    (tmp_path / "DEMO.txt").write_text("made\n")
    assert voxceleb1.other_list(tmp_path, path) == ()


def test_a_name_that_s3prl_would_take_for_a_pattern(tmp_path: Path) -> None:
    path = tmp_path / "iden_split.txt"
    path.write_text("1 id10003/na8-[QE]mj44/00003.wav\n")
    with pytest.raises(UsageError, match="line 1 is"):
        voxceleb1.read_list(path)
