"""Diarization of a table of one's own: equal to SUPERB's task on the same recordings, and what is refused."""

from __future__ import annotations

import csv
import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import own_corpus
import pytest
import yaml

from downstream_runs import tasks
from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.corpora import table_turns
from downstream_runs.scoring import rttm
from downstream_runs.scoring.rttm import Turn
from downstream_runs.tasks import own
from upstream_arm.common.errors import UsageError

BANDS = f"py:{Path(__file__).parents[3] / 'examples' / 'my_upstream.py'}:make"
SMALL = {"runner.total_steps": 6, "runner.eval_step": 3, "downstream_expert.modelrc.hidden_size": 16}
# Chunks of 0.8 s: the turn of 1.7 s begins before one of them and ends after it.
SMALL |= {"downstream_expert.datarc.chunk_size": 40}
SHORT = ["--device", "cpu", *(word for key, value in SMALL.items() for word in ("-o", f"{key}={value}"))]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the table `talks.csv`, and in `runs` what a run of it left."""
    pytest.importorskip("s3prl")
    folder = tmp_path_factory.mktemp("turns")
    own_corpus.write(folder / "talks.csv", own_corpus.turns(folder))
    words = ["--table", str(folder / "talks.csv"), "--recipe", "small", "--out", str(folder / "runs")]
    assert main([BANDS, "diarization", *words, *SHORT]) == 0
    return folder


def result(place: Path, task: str) -> tuple[Result, Path]:
    (path,) = (place / "runs").glob(f"*/{task}/*/result.json")
    return results.read(path), path.parent


def kaldi_folders(place: Path, cut: bool) -> Path:
    """What a user of s3prl lays out of the same recordings; cut: with long turns in pieces."""
    turns = rttm.read(place / "all.rttm")
    with (place / "talks.csv").open() as file:
        rows = list(csv.DictReader(file))
    root = place / f"data-{cut}"
    for split in ("train", "dev", "test"):
        folder = root / "diarization" / split
        folder.mkdir(parents=True)
        here = [row["path"] for row in rows if row["split"] == split]
        names = {Path(path).stem: place / path for path in here}
        lines: dict[str, list[str]] = {name: [] for name in ("wav.scp", "reco2dur", "segments", "utt2spk")}
        for name, path in names.items():
            lines["wav.scp"].append(f"{name} {path}")
            lines["reco2dur"].append(f"{name} 3.0")
            for number, turn in enumerate(turns[name]):
                within = [turn.start + 0.5, turn.start + 1] if cut and number == 1 else []
                for first, last in itertools.pairwise([turn.start, *within, turn.end]):
                    lines["segments"].append(f"{name}-{number}-{first} {name} {first} {last}")
                    lines["utt2spk"].append(f"{name}-{number}-{first} {turn.speaker}")
        for table, text in lines.items():
            (folder / table).write_text("".join(f"{line}\n" for line in text))
        rttm.write(folder / "rttm", {name: turns[name] for name in names})
    return root


def superb(place: Path, cut: bool) -> tuple[Result, Path]:
    """SUPERB's task on the same, by a recipe of the same settings."""
    recipe = tasks.get("sd").recipes["superb"].copy_config()
    small = own.bare("diarization").recipes["small"].copy_config()
    small["downstream_expert"]["datarc"]["num_speakers"] = recipe["downstream_expert"]["datarc"][
        "num_speakers"
    ]
    path = place / f"same{cut}.yaml"
    path.write_text(yaml.safe_dump({"note": "x", "source": "x", "labels": [], **small}))
    words = ["--recipe", str(path), "--data", str(kaldi_folders(place, cut)), "--partial"]
    assert main([BANDS, "sd", *words, "--out", str(place / f"sd-{cut}"), *SHORT]) == 0
    (found,) = (place / f"sd-{cut}").glob("*/sd/*/result.json")
    return results.read(found), found.parent


def predictions(folder: Path) -> dict[str, np.ndarray]:
    found = {}
    for path in sorted((folder / "scoring" / "predictions").glob("*.h5")):
        with h5py.File(path, "r") as file:
            found[path.stem.removeprefix("talks-")] = np.asarray(file["T_hat"])
    return found


def test_it_is_the_task_of_superb_on_the_same_recordings(place: Path) -> None:
    mine, folder = result(place, "talks")
    other, there = superb(place, cut=True)
    ours, theirs = predictions(folder), predictions(there)
    assert sorted(ours) == sorted(theirs) == ["talk6", "talk7"]
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)
    numbers = [[(one.name, one.split, one.value) for one in found.metrics] for found in (mine, other)]
    assert numbers[0] == numbers[1]
    # Whole, the turn that is longer than a chunk is silence to s3prl in the middle of itself.
    assert not np.array_equal(ours["talk6"], predictions(superb(place, cut=False)[1])["talk6"])


def test_what_a_result_says(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found, folder = result(place, "talks")
    headline = found.headline("der")
    assert headline is not None and headline.split == "test"
    assert not any(metric.official for metric in found.metrics)
    assert {"own-corpus", "shortened"} <= set(found.labels)
    assert set(found.config["own_task"]) == {"kind", "table", "table_sha256", "rttm_sha256"}
    plan = json.loads((folder / "plan.json").read_text())
    assert plan["own_task"]["rttm_sha256"] == found.config["own_task"]["rttm_sha256"]
    with (folder / "items.csv").open() as file:
        assert {row["group"] for row in csv.DictReader(file)} == {"talks-talk6", "talks-talk7"}
    assert main(["verify", str(folder)]) == 0
    assert "der of test is" in capsys.readouterr().out
    assert main(["report", str(place / "runs"), "--to", str(place / "report")]) == 0
    with (place / "report" / "tables" / "own.csv").open() as file:
        (row,) = csv.DictReader(file)
    assert row["Metric"] == "der ↓" and "recording" in row["Resampled"]


def test_turns_that_have_changed_make_another_run(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["plan", BANDS, "diarization", "--table", str(place / "talks.csv"), "--out", str(place / "runs")]
    before = own.define("diarization", place / "talks.csv")
    text = (place / "all.rttm").read_text()
    names = []
    for change in (text, text.replace("0.250 0.750", "0.250 0.700")):
        (place / "all.rttm").write_text(change)
        assert main(words) == 0
        names.append(re.findall(r"talks/(superb-\w+)", capsys.readouterr().out)[0])
    with pytest.raises(UsageError, match="are not what they were; start the run anew"):
        before.corpus.look(place, None, {})
    (place / "all.rttm").write_text(text)
    assert names[0] != names[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda text: text.replace(" talk0 ", " other "),
            r"line 2: all.rttm has no turn of talk0, it has those",
        ),
        (lambda text: "nothing\n", r"line 2 names the RTTM file all.rttm: .* no SPEAKER line"),
        (
            lambda text: text.replace("0.800 1.700", "0.800 2.400", 1),
            r"ends at 3.200 s, and talk0 lasts 3.000",
        ),
        (
            lambda text: (
                text
                + "".join(f"SPEAKER talk0 1 0.1 0.1 <NA> <NA> x{number} <NA> <NA>\n" for number in range(5))
            ),
            r"talk0 has 7 speakers in all.rttm, at most 6",
        ),
        (lambda text: None, r"names the RTTM file all.rttm: "),
    ],
)
def test_turns_that_cannot_be_used(
    change: Callable[[str], str | None], message: str, place: Path, tmp_path: Path
) -> None:
    table = own_corpus.write(tmp_path / "talks.csv", own_corpus.turns(tmp_path))
    text = change((tmp_path / "all.rttm").read_text())
    (tmp_path / "all.rttm").write_text(text) if text is not None else (tmp_path / "all.rttm").unlink()
    with pytest.raises(UsageError, match=message):
        own.define("diarization", table).corpus.look(tmp_path, None, {})


def test_what_is_said_of_speakers(tmp_path: Path) -> None:
    table = own_corpus.write(tmp_path / "talks.csv", own_corpus.turns(tmp_path))
    text = (tmp_path / "all.rttm").read_text()
    (tmp_path / "all.rttm").write_text(re.sub("(train|dev|test)0", "anna", text))
    said = own.define("diarization", table).corpus.look(tmp_path, None, {}).deviations
    assert [one.partition(" (")[0] for one in said] == [
        "1 of 2 speakers are in several of dev and train",
        "1 of 2 speakers are in several of test and train",
    ]
    (tmp_path / "all.rttm").write_text(re.sub("(train|dev|test)[01]", "anna", text))
    (*_, last) = own.define("diarization", table).corpus.look(tmp_path, None, {}).deviations
    assert last == "no recording has two speakers: this is the detection of speech"


def test_as_many_outputs_as_one_recording_has_speakers(tmp_path: Path) -> None:
    table = own_corpus.write(tmp_path / "talks.csv", own_corpus.turns(tmp_path))
    with (tmp_path / "all.rttm").open("a") as file:
        file.write("SPEAKER talk0 1 0.1 0.1 <NA> <NA> third <NA> <NA>\n")
    task = own.define("diarization", table)
    data = task.corpus.prepare(tmp_path, tmp_path / "cache", task.recipes["small"].copy_config())
    assert data.settings["datarc.num_speakers"] == 3
    assert data.utterances == {"train": 4, "dev": 2, "test": 2}


def test_recipes_of_the_kind_are_not_those_of_superbs_task(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "diarization", "superb"]) == 0
    printed = capsys.readouterr()
    assert "num_speakers" not in printed.out and "SUPERB's task is `recipe sd`" in printed.err
    assert main(["recipe", "sd", "superb"]) == 0
    printed = capsys.readouterr()
    assert "num_speakers: 2" in printed.out and "note:" not in printed.err


def test_pieces_touch_and_cover_a_turn() -> None:
    pieces = list(table_turns._pieces(Turn("a", 0.3, 3.4)))
    assert pieces[0][0] == 0.3 and pieces[-1][1] == 3.4 and len(pieces) == 4
    assert all(one[1] == other[0] for one, other in itertools.pairwise(pieces))
    assert list(table_turns._pieces(Turn("a", 0.5, 1.5))) == [(0.5, 1.5)]


@pytest.mark.slow
def test_real_meetings_and_mixtures(shared_dir: Path, tmp_path: Path) -> None:
    """Two to four speakers, and mixtures of two: both are trained, and their turns are those of the file."""
    for name, listed, counts in (
        ("ami_pyannote", "clips.tsv", {"train": 4, "dev": 2, "test": 2}),
        ("librispeech_mix2", "mixtures.tsv", {"train": 6, "dev": 3, "test": 3}),
    ):
        source, folder = shared_dir / "data" / name, tmp_path / name
        folder.mkdir()
        for one in ("audio", "ref.rttm"):
            (folder / one).symlink_to(source / one)
        with (source / listed).open() as file:
            rows = [
                {"path": row["file"], "rttm": "ref.rttm", "split": row["split"]}
                for row in csv.DictReader(file, delimiter="\t")
            ]
        table = own_corpus.write(folder / f"{name.replace('_', '-')}.csv", rows)
        words = ["--table", str(table), "--recipe", "small", "--out", str(tmp_path / "runs")]
        steps = ["--device", "cpu", "-o", "runner.total_steps=4", "-o", "runner.eval_step=2"]
        assert main(["fbank", "diarization", *words, *steps]) == 0
        found, _ = result(tmp_path, table.stem)
        assert found.corpus.counts == counts
