"""Noise at the time of the test: what it is, that it is no other training, and that no number mixes."""

from __future__ import annotations

import csv
import hashlib
import json
from pathlib import Path

import numpy as np
import own_corpus
import pytest
import soundfile

from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.core.run import Noise
from downstream_runs.corpora import noise
from upstream_arm.common.errors import UsageError

BANDS = f"py:{Path(__file__).parents[3] / 'examples' / 'my_upstream.py'}:make"
SHORT = ("--device", "cpu", "-o", "runner.total_steps=20", "-o", "runner.eval_step=10")


def make_noise(folder: Path) -> Path:
    """A long file and one that is shorter than any recording."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(5)
    for name, samples in (("long", 40_000), ("short", 2_000)):
        soundfile.write(folder / f"{name}.wav", random.normal(0, 0.1, samples), 16_000)
    return folder


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `tones.csv`, `noise/`, and in `runs` what clean and noisy runs left."""
    pytest.importorskip("s3prl")
    folder = tmp_path_factory.mktemp("noise")
    own_corpus.make(folder)
    make_noise(folder / "noise")
    assert run(folder) == 0
    return folder


def run(folder: Path, snr: str | None = None, *more: str, kind: str = "classification") -> int:
    table = {"classification": "tones.csv", "diarization": "talks.csv"}[kind]
    noisy = () if snr is None else ("--noise", snr, "--noise-dir", str(folder / "noise"))
    words = ["--table", str(folder / table), "--recipe", "small", "--out", str(folder / "runs")]
    return main([BANDS, kind, *words, *SHORT, *noisy, *more])


def found(place: Path, label: str | None, task: str = "tones") -> tuple[Result, Path]:
    """The result with this label of noise, or the one without noise, and its folder."""
    for path in (place / "runs").glob(f"*/{task}/*/result.json"):
        one = results.read(path)
        if next((x for x in one.labels if x.startswith("noise-")), "")[:-7] == (label or ""):
            return one, path.parent
    raise AssertionError(label)


def contents(folder: Path) -> dict[str, str]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


def test_a_noisy_run_is_one_of_its_own_and_trains_nothing(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    clean, folder = found(place, None)
    before = contents(folder)
    assert run(place, "-20") == run(place, "60") == 0
    assert contents(folder) == before
    loud, there = found(place, "noise-minus20db")
    quiet, _ = found(place, "noise-60db")
    values = [one.headline("acc").value for one in (clean, quiet, loud)]  # type: ignore[union-attr]
    assert values[0] == values[1] > values[2]
    assert not any(metric.official for metric in loud.metrics)
    assert any("was added to the recordings of the test at -20 dB" in text for text in loud.deviations)
    assert set(loud.config["noise"]) == {"snr", "sha256", "folder"}
    assert json.loads((there / "plan.json").read_text())["noise"]["snr"] == -20
    for name in ("dev-best.ckpt", "metrics.jsonl", "checkpoints/step-00000020.pt"):
        assert (there / name).read_bytes() == (folder / name).read_bytes()
    dev = [[m.value for m in one.metrics if m.split == "dev"] for one in (clean, loud)]
    assert dev[0] == dev[1]
    with (there / "items.csv").open() as file:
        assert {row["labels"] for row in csv.DictReader(file)} == {next(iter(set(loud.labels) & noisy(loud)))}
    capsys.readouterr()
    assert main(["verify", str(there)]) == 0
    assert main(["report", str(place / "runs"), "--to", str(place / "report")]) == 0
    with (place / "report" / "tables" / "own.csv").open() as file:
        rows = {row["Run"]: row["Value"] for row in csv.DictReader(file)}
    assert len(rows) == 3 and sum("noise-" in name for name in rows) == 2


def noisy(one: Result) -> set[str]:
    return {label for label in one.labels if label.startswith("noise-")}


def test_the_clean_run_is_made_first_where_there_is_none(place: Path, tmp_path: Path) -> None:
    own_corpus.make(tmp_path)
    make_noise(tmp_path / "noise")
    assert run(tmp_path, "60") == 0
    values = [found(tmp_path, label)[0].metrics for label in (None, "noise-60db")]
    assert values[0][0].value == values[1][0].value
    assert found(place, None)[0].metrics == values[0]
    plain, noisy_one = (found(tmp_path, label)[0].command for label in (None, "noise-60db"))
    assert "--noise" in noisy_one and [word for word in noisy_one if word in plain] == list(plain)
    assert not any("noise" in word for word in plain)


def test_repeat_adds_the_same_noise(place: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(place, "-20") == 0
    folder = found(place, "noise-minus20db")[1]
    capsys.readouterr()
    assert main(["repeat", str(folder), "--out", str(tmp_path / "again")]) == 0
    assert "the same result" in capsys.readouterr().out
    with (place / "noise" / "long.wav").open("r+b") as file:
        before = file.read()
        file.seek(1000)
        file.write(b"0123456789")
    try:
        assert main(["repeat", str(folder), "--out", str(tmp_path / "other")]) == 2
        assert "is not the noise that it was" in capsys.readouterr().err
    finally:
        (place / "noise" / "long.wav").write_bytes(before)


def test_dev_of_diarization_has_none(place: Path) -> None:
    own_corpus.write(place / "talks.csv", own_corpus.turns(place))
    assert run(place, None, kind="diarization") == run(place, "-20", kind="diarization") == 0
    clean, noisy_one = (found(place, label, "talks")[0] for label in (None, "noise-minus20db"))
    assert of(clean, "dev") == of(noisy_one, "dev") and of(clean, "test") != of(noisy_one, "test")


def of(one: Result, split: str) -> list[object]:
    return [metric.counts for metric in one.metrics if metric.split == split and metric.name == "der"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--noise", "10"), "--noise DB and --noise-dir DIR belong together"),
        (("--noise-dir", "x"), "--noise DB and --noise-dir DIR belong together"),
        (("--noise", "10", "--noise-dir", "nowhere"), "nowhere is no folder"),
        (("--noise", "500", "--noise-dir", "noise"), "--noise 500 cannot be used, expected a signal"),
        (("--noise", "10", "--noise-dir", "noise", "--lr", "1e-3,1e-2"), "--noise is for one learning rate"),
        (("--noise", "10", "--noise-dir", "slow"), "is sampled at 8,000 Hz"),
        (("--noise", "10", "--noise-dir", "empty"), "has no audio"),
    ],
)
def test_options_that_cannot_be_used(
    words: tuple[str, ...],
    message: str,
    place: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(place)
    (place / "empty").mkdir(exist_ok=True)
    (place / "slow").mkdir(exist_ok=True)
    soundfile.write(place / "slow" / "slow.wav", np.ones(8000), 8000)
    assert run(place, None, *words) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("snr", [-10.0, 0.0, 7.5, 30.0])
@pytest.mark.parametrize("scale", [1.0, 1e-4])
def test_the_ratio_of_the_powers(snr: float, scale: float, tmp_path: Path) -> None:
    mixer = noise.Mixer(noise.in_folder(make_noise(tmp_path / "noise"), snr))
    for seed in range(6):  # of both files, whose shorter one comes again and again
        wave = (scale * np.random.default_rng(seed).normal(0, 1, 24_000)).astype(np.float32)
        mixed = mixer(wave)
        assert mixed.dtype == np.float32 and mixed.shape == wave.shape
        added = mixed.astype(np.float64) - wave
        assert 10 * np.log10(np.mean(np.square(wave, dtype=float)) / np.mean(added**2)) == pytest.approx(
            snr, abs=0.01
        )
        assert np.array_equal(mixer(wave), mixed)


def test_silence_stays_and_silent_noise_is_refused(tmp_path: Path) -> None:
    made = noise.in_folder(make_noise(tmp_path / "noise"), 0.0)
    assert not noise.Mixer(made)(np.zeros(1000)).any()
    for name in ("long", "short"):
        soundfile.write(tmp_path / "noise" / f"{name}.wav", np.zeros(4000), 16_000)
    with pytest.raises(UsageError, match="is silent in 32 places"):
        noise.Mixer(noise.in_folder(tmp_path / "noise", 0.0))(np.ones(1000))


def test_labels_are_words() -> None:
    labels = [Noise(snr, Path("x"), "0123456789").label for snr in (20.0, -5.0, 7.5)]
    assert labels == ["noise-20db-012345", "noise-minus5db-012345", "noise-7p5db-012345"]
    assert results.reason(labels[0]) == "noise was added to the recordings of the test"


@pytest.mark.parametrize("task, runs", [("ks", 2), ("er", 10), ("qbe", 1)])
def test_a_plan_trains_once_and_tests_in_noise_afterwards(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], task: str, runs: int
) -> None:
    folder = make_noise(tmp_path / "noise")
    words = ["--demo", "--out", str(tmp_path / "runs"), "--noise", "10", "--noise-dir", str(folder)]
    assert main(["plan", "fbank", task, *words]) == 0
    text = capsys.readouterr().out
    assert f"0 of {runs} runs are done" in text
    noisy = [line.split() for line in text.splitlines() if "noise-10db" in line and "mean over" not in line]
    assert len(noisy) == max(runs // 2, 1)
    for number, *_, folder_of_run in noisy if runs > 1 else ():
        before = next(line.split() for line in text.splitlines() if line.startswith(f"{int(number) - 1} "))
        assert "noise" not in " ".join(before) and before[-1] != folder_of_run
        assert any(line.split()[0] == number and "test only" in line for line in text.splitlines() if line)
