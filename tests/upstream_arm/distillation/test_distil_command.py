"""Options, defaults, plans, corpus and the sentences for what cannot be used."""

from __future__ import annotations

import argparse
import itertools
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from upstream_arm.cli import main
from upstream_arm.common.errors import UpstreamError
from upstream_arm.distillation import data
from upstream_arm.distillation.command import add_arguments, default_folder, settings_of
from upstream_arm.distillation.plans import ABLATIONS, TABLES, plan
from upstream_arm.distillation.settings import HOURS, Settings, recipe
from upstream_arm.distillation.training import fitted
from upstream_arm.presets import PRESETS


def parse(text: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    return parser.parse_args(["--teacher", "random:hubert", "--data", "D", *shlex.split(text)])


@pytest.mark.parametrize(
    ("options", "name", "hours", "epochs", "rate", "ratio"),
    [
        ("--preset armhubert", "armhubert", 960, 200, 5e-3, "0.8"),
        ("--preset armhubert_s", "armhubert_s_960h", 960, 100, 5e-3, "0.8"),
        ("--preset armhubert_s --hours 100", "armhubert_s_100h", 100, 200, 5e-3, "0.4"),
        ("--preset armwavlm_s_100h", "armwavlm_s_100h", 100, 200, 5e-3, "0.4"),
        ("--preset maskhubert", "maskhubert", 960, 200, 5e-4, "0.8"),
        ("--preset maskhubert --mask-ratio 0.4:0.8", "maskhubert", 960, 200, 5e-4, "0.4:0.8"),
        ("--preset table2_none", "table2_none", 100, 200, 5e-3, "0.4"),
    ],
)
def test_defaults_are_the_papers(
    options: str, name: str, hours: int, epochs: int, rate: float, ratio: str
) -> None:
    settings = settings_of(parse(options))
    assert (settings.preset, settings.epochs, settings.learning_rate) == (name, epochs, rate)
    assert settings.train == HOURS[hours] and settings.dev == ("dev-clean",)
    assert str(settings.ratio) == ratio and settings.effective_batch == 72
    assert (settings.form, settings.objective, settings.student.reuse_softmax) == ("paper", "full", "single")
    assert [settings.accumulation(devices) for devices in (1, 2, 4)] == [4, 2, 1]


def test_any_reuse_pattern_and_the_released_behaviour() -> None:
    options = "--preset maskhubert --reuse-pattern 3by4 --reuse-softmax double --batching released --dev ''"
    settings = settings_of(parse(options + " --loss released"))
    assert settings.student.reuse_pattern == (True, False, False) * 4 and settings.dev == ()
    assert settings.student.switches == {"reuse_softmax": "double", "batching": "released"}
    assert settings.form == "released" and settings.student.ffn_dim == PRESETS["maskhubert"].ffn_dim


@pytest.mark.parametrize("table", TABLES)
def test_plans_are_commands_that_parse(table: str, shared_dir: Path) -> None:
    text = plan(table, shlex.split(f"--teacher T --data 'my data' --ablation={table} --epochs 3 --out o"))
    commands = [shlex.split(line) for line in text.splitlines() if line.startswith("python -m upstream_arm")]
    rows = (shared_dir / "paper" / f"{table}.csv").read_text().splitlines()[1:]
    assert len(commands) == len(rows) == len(ABLATIONS[table])
    folders = set()
    for words in commands:
        parser = argparse.ArgumentParser()
        add_arguments(parser)
        options = parser.parse_args(words[4:])
        settings = settings_of(options)
        assert (settings.data, settings.epochs, options.ablation) == ("my data", 3, None)
        assert (settings.objective == "layer_to_layer") == (table == "table2")
        folders.add(options.out)
        assert text.count(f"--ckpt {options.out}/student.safetensors") == 3
    assert len(folders) == len(rows)
    for row, (name, _, _) in zip(rows, ABLATIONS[table], strict=True):
        if table != "table4":
            assert row.replace('"', "").startswith(name)


@pytest.mark.parametrize("table", TABLES)
def test_plans_end_with_the_papers_tables_of_their_students(table: str, tmp_path: Path) -> None:
    from reports.__main__ import main as report

    text = plan(table, ["--teacher", "T", "--out", str(tmp_path)])
    words = shlex.split(text.splitlines()[-1])
    assert words[:4] == ["python", "-m", "reports", "paper"]
    for _, name, _ in ABLATIONS[table]:
        folder = tmp_path / table / name / "superb"
        assert str(folder) in words and text.count(f"--out {folder}") == 3
        folder.mkdir(parents=True)
    assert report(words[3:]) == 0
    assert list((tmp_path / table / "report").rglob(f"{table}.md"))


@pytest.mark.parametrize(("devices", "size"), [(1, 18), (2, 18), (3, 12), (4, 18), (6, 12), (8, 9), (9, 8)])
def test_the_effective_batch_is_kept_on_any_number_of_devices(
    devices: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(devices))
    settings = settings_of(parse("--preset armhubert"))
    assert settings.batch_size == size and settings.effective_batch == 72
    assert settings.accumulation(devices) * size * devices == 72


def test_devices_that_72_cannot_be_shared_out_among_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "5")
    with pytest.raises(UpstreamError, match=r"72 is no multiple of 18 utterances on 5 device"):
        settings_of(parse("--preset armhubert")).accumulation(5)
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert settings_of(parse("--preset armhubert --effective-batch 70")).batch_size == 14


def test_deeper_teachers_are_shared_out_evenly() -> None:
    config = recipe("tiny").config
    assert fitted(config, 99, 12).projection_dim == 99
    with pytest.raises(UpstreamError, match="7 layers and the student 6, expected a multiple"):
        fitted(config, 99, 7)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--preset tiny --data nowhere", "nowhere is no folder"),
        ("--preset tinny --data .", "no student preset 'tinny'"),
        ("--data .", "no student is named"),
        ("--preset tiny --data DATA --train train-other-500", "train-other-500 does not exist"),
        ("--preset tiny --data DATA --mask-ratio 2", "mask ratio"),
        ("--preset tiny --data DATA --objective layer_to_layer --mask-ratio 0.4", "contradict each other"),
        ("--preset tiny --data DATA --batch-size 7", "no multiple of 7"),
        ("--preset tiny --data DATA --epochs 0", "epochs is 0"),
        ("--preset tiny --data DATA --learning-rate -1", "learning rate"),
        ("--preset tiny --data DATA --save-every 0", "--save-every: 0 was given, expected at least 1"),
        ("--preset tiny --data DATA --workers -1", "--workers: -1 was given, expected at least 0"),
        ("--preset tiny --data DATA --seed -1", "--seed: -1 was given, expected at least 0"),
        (f"--preset tiny --data DATA --seed {10**10}", "at most 4,294,967,295"),
        ("--preset tiny --data DATA --effective-batch 0", "effective_batch is 0"),
        ("--preset tiny --data DATA --learning-rate 0", "the learning rate is 0"),
        ("--preset armhubert --data DATA", "6 layers and the student 12"),
    ],
)
def test_bad_input_is_one_sentence(
    options: str, message: str, noise: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = [str(noise) if word == "DATA" else word for word in options.split()]
    out = tmp_path / "out"
    assert main(["distill", "--teacher", "random:hubert", "--device", "cpu", "--out", str(out), *words]) == 2
    error = capsys.readouterr().err
    assert message in error and error.startswith("error: ") and error.count("\n") == 1
    assert not (out / "student.safetensors").exists()


@pytest.mark.parametrize(
    ("samples", "rate", "message"),
    [
        (np.zeros(300), 16_000, "300 samples"),
        (np.zeros(9_000), 8_000, "8000 Hz"),
        (None, 0, "cannot be read"),
    ],
)
def test_recordings_that_cannot_be_used_are_named(
    samples: np.ndarray | None, rate: int, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "dev-clean" / "bad.flac"
    path.parent.mkdir()
    if samples is None:
        path.write_bytes(b"no audio")
    else:
        soundfile.write(path, samples, rate)
    with pytest.raises(UpstreamError, match=message) as error:
        data.find_utterances(tmp_path, ["dev-clean"], tmp_path / "cache.json")
    assert str(path) in str(error.value)


def test_lengths_are_read_once_and_buckets_hold_neighbours(
    noise: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "lengths.json"
    found = data.find_utterances(noise, ["train-clean-100", "dev-clean"], cache)
    assert len(found) == 16
    monkeypatch.setattr(data, "samples", lambda path: pytest.fail(f"{path} read again"))
    assert data.find_utterances(noise, ["train-clean-100", "dev-clean"], cache) == found
    lengths = [[u.samples for u in bucket] for bucket in data.buckets(found, 5)]
    assert [len(bucket) for bucket in lengths] == [5, 5, 5, 1]
    assert list(itertools.chain(*lengths)) == sorted((u.samples for u in found), reverse=True)


def test_a_made_corpus_labels_what_is_learnt_from_it(tmp_path: Path) -> None:
    assert data.labels(tmp_path) == ()
    (tmp_path / "DEMO.txt").write_text("synthetic")
    assert data.labels(tmp_path) == ("demo",)


def test_folders_are_named_after_what_sets_runs_apart(settings: Callable[..., Settings]) -> None:
    assert str(default_folder(settings())) == "runs/distill/tiny_from_random-hubert_full_paper_0.8_seed0"


def test_help_and_plans_need_no_torch() -> None:
    program = (
        "import sys; from upstream_arm.cli import main\n"
        "main(['distill', '--ablation', 'table3', '--teacher', 'T', '--data', 'D'])\n"
        "assert not {'torch', 'numpy', 'transformers'} & set(sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout.count("python -m upstream_arm distill") == 3, done.stderr
