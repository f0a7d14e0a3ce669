"""A tiny corpus of noise in LibriSpeech's layout, and a tiny recipe to train on it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from downstream_runs import tasks
from downstream_runs.corpora import markers
from downstream_runs.engine import RunPlan

WORDS = ("ONE", "TWO", "THREE", "FOUR", "FIVE", "SIX", "SEVEN")
SPLITS = {"train-clean-100": 10, "dev-clean": 3, "test-clean": 3}
# Accumulation in twos, so a checkpoint every 6 loader batches; evaluations at 5 and 10, not at the end.
KILL_STEPS = {"total_steps": 12, "eval_step": 5, "save_step": 3, "log_step": 2}


def make_corpus(root: Path, splits: dict[str, int] = SPLITS) -> Path:
    """Write half seconds of noise under `root`/LibriSpeech, marked as a demo corpus; no two of one length."""
    root = root / "LibriSpeech"
    markers.begin(root, markers.DEMO, "noise for tests\n")
    random = np.random.default_rng(7)
    files = []
    for number, (split, count) in enumerate(splits.items()):
        chapter = root / split / str(number + 1) / "9"
        chapter.mkdir(parents=True)
        lines = []
        for index in range(count):
            name = f"{number + 1}-9-{index:04d}"
            samples = random.normal(0, 0.1, 8000 + 160 * index)
            soundfile.write(chapter / f"{name}.flac", samples, 16000)
            lines.append(f"{name} {WORDS[index % 7]} {WORDS[(index + 3) % 7]}\n")
            files.append(f"{split}/{number + 1}/9/{name}.flac")
        (chapter / f"{number + 1}-9.trans.txt").write_text("".join(lines), encoding="utf-8")
        files.append(f"{split}/{number + 1}/9/{number + 1}-9.trans.txt")
    markers.finish(root, markers.DEMO, {}, files)
    return root


def tiny_config(**runner: int) -> dict[str, Any]:
    """All that s3prl's step has: accumulation, SpecAugment, schedule, dropout, an evaluation in between."""
    config = tasks.get("asr").recipes["paper"].copy_config()
    config["runner"].update(
        {
            "total_steps": 8,
            "gradient_accumulate_steps": 2,
            "log_step": 1,
            "eval_step": 4,
            "save_step": 2,
            **runner,
        }
    )
    config["optimizer"]["lr"] = 1e-2
    config["scheduler"]["num_warmup_steps"] = 2
    config["specaug"].update({"time_mask_width_range": [0, 5], "freq_mask_width_range": [0, 20]})
    config["downstream_expert"]["datarc"].update({"batch_size": 6, "num_workers": 0})
    rnn = {"dim": [8], "dropout": [0.2], "layer_norm": [False], "proj": [False], "sample_rate": [1]}
    config["downstream_expert"]["modelrc"]["project_dim"] = 8
    config["downstream_expert"]["modelrc"]["RNNs"].update(rnn)
    return config


def tiny_plan(data: Path, out: Path, **changes: Any) -> RunPlan:
    """A plan that trains the tiny recipe on FBANK features; `changes` go to RunPlan, `runner` to it."""
    task = tasks.get("asr")
    runner = changes.pop("runner", {})
    config = changes.pop("config", None) or tiny_config(**runner)
    tiny = dataclasses.replace(task.recipes["demo"], name="tiny", config=config)
    task = dataclasses.replace(task, recipes={**task.recipes, "tiny": tiny})
    settings = {
        "task": task,
        "recipe": "tiny",
        "upstream": "fbank",
        "data": data,
        "out": out,
        "device": "cpu",
    }
    return RunPlan(**{**settings, **changes})
