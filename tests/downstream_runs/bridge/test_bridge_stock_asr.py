"""s3prl's own ASR, trained, continued and evaluated through the `s3prl` command on synthetic noise."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import yaml

REPOSITORY = Path(__file__).parents[3]
TEXTS = ("THE CAT SAT", "A DOG RAN", "NO TREE")


def make_corpus(root: Path) -> None:
    """LibriSpeech's layout with half a second of noise for each utterance, and s3prl's length tables."""
    generator = np.random.default_rng(0)
    for split in ("train-clean-100", "dev-clean", "test-clean"):
        folder = root / "LibriSpeech" / split / "1" / "2"
        folder.mkdir(parents=True)
        rows, lines = ["file_path,length,label"], []
        for index, text in enumerate(TEXTS):
            name, frames = f"1-2-000{index}", 12000 - 500 * index
            soundfile.write(folder / f"{name}.flac", generator.uniform(-0.1, 0.1, frames), 16000)
            rows.append(f"{split}/1/2/{name}.flac,{frames},")
            lines.append(f"{name} {text}")
        (folder / "1-2.trans.txt").write_text("\n".join(lines) + "\n")
        lengths = root / "lengths"
        lengths.mkdir(exist_ok=True)
        (lengths / f"{split}.csv").write_text("\n".join(rows) + "\n")
    (root / "char.dict").write_text("".join(f"{letter} 1\n" for letter in "|ETAOINSHRDLCG"))


def make_config(root: Path) -> Path:
    """A head of eight units and a run of two steps."""
    rnn = {
        "total_rate": -1, "module": "LSTM", "bidirection": False, "dim": [8], "dropout": [0.0],
        "layer_norm": [False], "proj": [False], "sample_rate": [1], "sample_style": "concat",
    }  # fmt: skip
    data = {
        "train": ["train-clean-100"], "dev-clean": ["dev-clean"], "test-clean": ["test-clean"],
        "num_workers": 1, "batch_size": 2, "eval_batch_size": 1, "zero_infinity": True,
        "libri_root": str(root / "LibriSpeech"), "bucket_file": str(root / "lengths"),
        "dict_path": str(root / "char.dict"), "decoder_args": {"decoder_type": "None"},
    }  # fmt: skip
    config = {
        "runner": {
            "total_steps": 2, "gradient_clipping": 1, "gradient_accumulate_steps": 1, "log_step": 1,
            "eval_step": 2, "save_step": 1, "max_keep": 5, "eval_dataloaders": ["dev-clean"],
        },
        "optimizer": {"name": "TorchOptim", "torch_optim_name": "Adam", "lr": 1.0e-4},
        "scheduler": {"name": "linear_schedule_with_warmup", "num_warmup_steps": 1},
        "downstream_expert": {
            "datarc": data, "modelrc": {"project_dim": 8, "select": "RNNs", "RNNs": rnn},
        },
    }  # fmt: skip
    path = root / "config.yaml"
    path.write_text(yaml.safe_dump(config))
    return path


def s3prl(cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = {
        **os.environ,
        "PYTHONPATH": str(REPOSITORY),
        "CUDA_VISIBLE_DEVICES": "",
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.run(
        [sys.executable, "-m", "downstream_runs.bridge.command", "run_downstream.py", *arguments],
        cwd=cwd, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip


@pytest.mark.slow
def test_train_continue_and_evaluate(tmp_path: Path, data_dir: Path) -> None:
    make_corpus(tmp_path)
    golden = data_dir / "golden_tiny"
    config = make_config(tmp_path)

    first = s3prl(
        tmp_path, "-m", "train", "-u", "arm_hubert", "-d", "asr", "-c", str(config), "-n", "tiny",
        "-k", str(golden / "weights.safetensors"), "-g", str(golden / "tiny.yaml"),
        "-o", "config.optimizer.lr=0.5,,args.seed=7",
    )  # fmt: skip
    assert first.returncode == 0, first.stderr
    assert "running on --device cpu" in first.stderr
    assert "cuda.amp" not in first.stderr
    experiment = tmp_path / "result" / "downstream" / "tiny"
    assert {path.name for path in experiment.glob("*.ckpt")} >= {"states-1.ckpt", "states-2.ckpt"}
    (written,) = experiment.glob("config_*.yaml")
    assert yaml.safe_load(written.read_text())["optimizer"]["lr"] == 0.5

    # Two more steps: the checkpoint's own configuration, with the total raised by -o.
    second = s3prl(
        tmp_path, "-m", "train", "-e", "result/downstream/tiny", "-o", "config.runner.total_steps=4"
    )
    assert second.returncode == 0, second.stderr
    assert (experiment / "states-4.ckpt").is_file()

    third = s3prl(tmp_path, "-m", "evaluate", "-t", "test-clean", "-e", str(experiment / "states-4.ckpt"))
    assert third.returncode == 0, third.stderr
    assert re.search(r"^test-clean wer: [\d.]+$", third.stdout, re.MULTILINE)
    reference = (experiment / "test-clean-noLM-ref.ark").read_text().split("\n")
    assert sorted(reference) == sorted(["", *(f"1-2-000{i} {text}" for i, text in enumerate(TEXTS))])
    assert len((experiment / "test-clean-noLM-hyp.ark").read_text().splitlines()) == len(TEXTS)


@pytest.mark.slow
def test_a_truncated_recording_is_named_without_a_traceback(tmp_path: Path) -> None:
    make_corpus(tmp_path)
    config = make_config(tmp_path)
    damaged = tmp_path / "LibriSpeech" / "train-clean-100" / "1" / "2" / "1-2-0000.flac"
    damaged.write_bytes(damaged.read_bytes()[:4000])

    run = s3prl(tmp_path, "-m", "train", "-u", "fbank", "-d", "asr", "-c", str(config), "-n", "tiny")
    assert run.returncode == 2
    assert f"\nerror: {damaged} is " in run.stderr
    assert "Traceback" not in run.stderr
