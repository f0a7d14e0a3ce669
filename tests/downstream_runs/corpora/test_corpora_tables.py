"""Tables of one's own: what each check says, how a table is divided, and what s3prl is given of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import own_corpus
import pytest

from downstream_runs.corpora import table_view, tables
from downstream_runs.tasks import own
from upstream_arm.common.errors import UsageError

Rows = list[dict[str, str]]


def without(column: str) -> Callable[[Rows], Rows]:
    return lambda rows: [{name: cell for name, cell in row.items() if name != column} for row in rows]


def where(**cells: str) -> Callable[[Rows], Rows]:
    """All rows with these cells."""
    return lambda rows: [{**row, **cells} for row in rows]


def first(**cells: str) -> Callable[[Rows], Rows]:
    """The first row with these cells, the others as they are."""
    return lambda rows: [{**rows[0], **cells}, *rows[1:]]


def prepared(table: Path, **options: object) -> object:
    task = own.define("classification", table, **options)  # type: ignore[arg-type]
    config = task.recipes["small"].copy_config()
    return task.corpus.prepare(table.parent, table.parent / "cache", config)


BAD: Sequence[tuple[str, Callable[[Rows], Rows], str]] = [
    (
        "no path",
        without("path"),
        r"tones.csv has no column path; its first line is label, split, sp",
    ),
    ("no label", without("label"), r"has no column label"),
    ("no split", without("split"), r"neither a column split nor fold; .* --split-by speaker"),
    ("both", where(fold="1"), r"both a column split and fold"),
    ("other split", first(split="eval1"), r"line 2 has the split 'eval1', expected train, dev"),
    ("empty cell", first(label=" "), r"line 2 has no label; fill it in"),
    ("empty split", lambda rows: [row for row in rows if row["split"] != "valid"], r"no row of dev"),
    ("missing", first(path="audio/gone.wav"), r"line 2 names audio/gone.wav, and there is no such file in"),
    (
        "twice",
        lambda rows: [*rows, {**rows[0], "path": "./" + rows[0]["path"]}],
        r"line 32 .* as line 2",
    ),
    ("one class", where(label="low"), r"has the label 'low' only, at least two"),
    (
        "not trained",
        lambda rows: [*rows[:-1], {**rows[-1], "label": "new"}],
        r"line 31 has the label 'new'",
    ),
    ("control", first(label="a\x07b"), r"control character"),
]


@pytest.mark.parametrize(("change", "message"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_a_table_that_cannot_be_used(change: Callable[[Rows], Rows], message: str, tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    table = own_corpus.write(tmp_path / "tones.csv", change(own_corpus.rows()))
    with pytest.raises(UsageError, match=message):
        prepared(table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, r"cannot be read \(no such file"),
        (b"", r"is no table \(it is empty\)"),
        (b"\xff\xfe", r"not utf-8"),
        (b"path,label,split\n", r"no rows below its names"),
        (b"path,label,label,split\na,b,c,train\n", r"two columns 'label'"),
        (b"path,label,split\na.wav,low\n", r"line 2 has 2 cells, 3 were expected"),
        (b'path,label,split\na.wav,"low\n', r"is no table \("),
    ],
)
def test_a_file_that_is_no_table(text: bytes | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "tones.csv"
    if text is not None:
        path.write_bytes(text)
    with pytest.raises(UsageError, match=f"(?i){message}"):
        own.define("classification", path)


def test_audio_that_is_none(tmp_path: Path) -> None:
    table = own_corpus.make(tmp_path)
    (tmp_path / own_corpus.rows()[3]["path"]).write_text("no audio at all")
    with pytest.raises(UsageError, match=r"middle 1\.wav .*16 kHz and one channel, or remove its line"):
        prepared(table)


@pytest.mark.parametrize(
    ("name", "message"),
    [("asr", "one of SUPERB's"), ("emotion", "one of SUPERB's"), ("a b", "would be called 'a b'")],
)
def test_names_of_tasks(name: str, message: str, tmp_path: Path) -> None:
    table = own_corpus.make(tmp_path)
    with pytest.raises(UsageError, match=message):
        own.define("classification", table, name)
    assert own.define("classification", table).name == "tones"
    with pytest.raises(UsageError, match="did you mean 'classification'"):
        own.define("classificaton", table)


def test_what_is_said_aloud(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    own_corpus.make(tmp_path)
    rows = own_corpus.rows()
    leaking = [{**row, "speaker": "anna"} if row["split"] == "test" else row for row in rows]
    said = prepared(own_corpus.write(tmp_path / "tones.csv", leaking)).deviations  # type: ignore[attr-defined]
    assert [sentence[:60] for sentence in said] == [
        "1 of 1 speakers are in several of test and train (anna): the"
    ]
    assert "WARNING: tones.csv: 1 of 1 speakers are in several of test" in capsys.readouterr().err
    left_out = ("audio/anna/high", "audio/bert/high 0")
    few = without("speaker")([row for row in rows if not row["path"].startswith(left_out)])
    said = prepared(own_corpus.write(tmp_path / "few.csv", few)).deviations  # type: ignore[attr-defined]
    assert said == (
        "the classes are unbalanced: 4 utterances to train on are 'low', 1 are 'high'",
        "the table names no speakers, so that none is known to be in one split only",
    )


def test_speakers_as_classes_leak_nothing(tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    parts = {"low": "train", "middle": "dev", "high": "test"}
    rows = [{**row, "split": parts[row["label"]], "label": row["speaker"]} for row in own_corpus.rows()]
    assert prepared(own_corpus.write(tmp_path / "who.csv", rows)).deviations == ()  # type: ignore[attr-defined]


def test_division_keeps_speakers_together_and_is_the_same_each_time(tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    table = own_corpus.write(tmp_path / "tones.csv", without("split")(own_corpus.rows()))

    def division(seed: int) -> dict[str, str]:
        read = tables.read(tables.Source(table, "label", "speaker", seed))
        found = {(row.speaker, row.split) for row in read.rows}
        assert len(found) == 5, "a speaker is in two splits"
        return dict(sorted(found))

    assert division(0) == division(0)
    for seed in range(20):
        assert sorted(division(seed).values()) == ["dev", "test", "train", "train", "train"]
    assert len({json.dumps(division(seed)) for seed in range(20)}) > 5
    with pytest.raises(UsageError, match="1 different values in label"):
        tables.read(
            tables.Source(own_corpus.write(table, where(label="a")(own_corpus.rows())), "label", "label")
        )


def test_what_s3prl_is_given(tmp_path: Path) -> None:
    found = prepared(own_corpus.make(tmp_path))
    folder = Path(found.settings["datarc.meta_data"])  # type: ignore[attr-defined]
    train = json.loads((folder / "Session1" / "train_meta_data.json").read_text())
    assert train["labels"] == {"high": 0, "low": 1, "middle": 2}
    assert [one["split"] for one in train["meta_data"]] == ["train"] * 12 + ["dev"] * 6
    link = Path(train["meta_data"][0]["path"])
    assert link.name == "audio-anna-low-0.wav" and link.resolve() == tmp_path / "audio/anna/low 0.wav"
    assert found.utterances == {"train": 12, "dev": 6, "test": 12}  # type: ignore[attr-defined]
    assert found.groups["audio-dora-low-0"] == "dora"  # type: ignore[attr-defined]


def test_folds_in_the_order_of_their_numbers(tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    number = {"anna": "10", "bert": "9", "cleo": "2", "dora": "1", "emil": "10"}
    rows = [{**row, "fold": number[row["speaker"]]} for row in own_corpus.rows()]
    table = own_corpus.write(tmp_path / "tones.csv", without("split")(rows))
    task = own.define("classification", table)
    assert task.folds == ("fold1", "fold2", "fold3", "fold4")
    config = task.recipes["small"].copy_config()
    config["downstream_expert"]["datarc"]["test_fold"] = "fold4"
    found = task.corpus.prepare(tmp_path, tmp_path / "cache", config)
    assert found.utterances == {"train": 14, "dev": 4, "test": 12}
    folder = Path(str(found.settings["datarc.meta_data"]))
    test = json.loads((folder / "Session4" / "test_meta_data.json").read_text())["meta_data"]
    assert {one["speaker"] for one in test} == {"anna", "emil"}


def test_names_for_s3prl_are_there_once() -> None:
    paths = ("a/b.wav", "a-b.flac", "a b.wav", "é.wav", "ü.wav")
    assert list(table_view.named(paths).values()) == ["a-b", "a-b-2", "a-b-3", "audio", "audio-2"]


@pytest.mark.parametrize(
    ("kind", "cells", "message"),
    [
        ("transcription", {"transcript": "TWO  BLANKS"}, r"line 2 has two blanks in a row in its transcript"),
        ("units", {"units": "a <unk>"}, r"line 2 has the unit <unk>, which is s3prl's own"),
        ("units", {"units": ""}, r"line 2 has no units"),
    ],
)
def test_transcripts_that_cannot_be_used(
    kind: str, cells: dict[str, str], message: str, tmp_path: Path
) -> None:
    own_corpus.make(tmp_path)
    table = own_corpus.write(tmp_path / "tones.csv", first(**cells)(own_corpus.rows()))
    with pytest.raises(UsageError, match=message):
        task = own.define(kind, table)
        task.corpus.look(tmp_path, None, {})


def test_units_that_no_head_learns_are_said(tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    rows = own_corpus.rows()
    rows[-1]["transcript"] = "NEXT"
    table = own_corpus.write(tmp_path / "tones.csv", rows)
    said = own.define("transcription", table).corpus.look(tmp_path, None, {}).deviations
    assert said == ("no transcript of train has these units of test, so that no head learns them: X",)
    folded = where(fold="1")(without("split")(own_corpus.rows()))
    folded[0]["fold"] = "2"
    with pytest.raises(
        UsageError, match=r"transcription has no cross-validation: give the table a column spl"
    ):
        own.define("transcription", own_corpus.write(table, folded))
