"""What the ladder measures: its tasks, and what an expected order is."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any


@dataclasses.dataclass(frozen=True)
class Task:
    """A rung's measure: a task of this project on a small corpus, with few steps.

    key, better: the column of reports. settings: of the recipe `superb`. rates: of learning, of several the
        best on dev with the first seed. metric: of the result, in place of its headline.
    """

    name: str
    title: str
    data: str
    key: str
    better: str
    settings: Mapping[str, Any]
    rates: tuple[float, ...] = (1e-2,)
    metric: str = ""


def _runner(steps: int, every: int) -> dict[str, Any]:
    values = {"total_steps": steps, "eval_step": every, "save_step": every, "gradient_accumulate_steps": 1}
    return {f"runner.{key}": value for key, value in values.items()}


_DATARC, _MODEL = "downstream_expert.datarc", "downstream_expert.modelrc"
TASKS = {
    "digits": Task(
        "ic",
        "digits, accuracy ↑",
        "words",
        "ic_acc",
        "higher",
        {**_runner(400, 200), f"{_DATARC}.num_workers": 0},
    ),
    "speakers": Task(
        "sid",
        "speakers, accuracy ↑",
        "voices",
        "sid_acc",
        "higher",
        {
            **_runner(400, 200),
            f"{_DATARC}.num_workers": 0,
            f"{_DATARC}.train_batch_size": 32,
        },
    ),
    "verification": Task(
        "asv",
        "verification, EER ↓",
        "voices",
        "asv_eer",
        "lower",
        {
            **_runner(60, 60),
            f"{_DATARC}.num_workers": 0,
            f"{_DATARC}.vad_config.min_sec": 16_000,
            f"{_MODEL}.input_dim": 64,
            f"{_MODEL}.module_config.XVector.agg_dim": 128,
        },
        rates=(1e-3,),
    ),
    "phones": Task(
        "pr",
        "phones, PER ↓",
        "phones",
        "pr_per",
        "lower",
        {
            **_runner(150, 50),
            "downstream_expert.corpus.num_workers": 0,
            "downstream_expert.corpus.batch_size": 8,
        },
        rates=(1e-2, 1e-3),  # Whisper's states are large: at the former its training comes apart
    ),
    # Letters, since hardly a word is whole: WER was 90 to 122, CER 43 to 100. In the first 400 of these steps
    # Whisper's head said nothing yet; one layer of 128, frames of 40 ms and few utterances a batch make so
    # many steps affordable.
    "letters": Task(
        "asr",
        "letters, CER ↓",
        "letters",
        "asr_wer",
        "lower",
        {
            **_runner(1000, 1000),
            f"{_DATARC}.num_workers": 0,
            f"{_DATARC}.batch_size": 4,
            f"{_MODEL}.project_dim": 128,
            f"{_MODEL}.RNNs.total_rate": 640,
            f"{_MODEL}.RNNs.dim": [128],
            f"{_MODEL}.RNNs.dropout": [0],
            f"{_MODEL}.RNNs.layer_norm": [False],
            f"{_MODEL}.RNNs.proj": [False],
            f"{_MODEL}.RNNs.sample_rate": [1],
        },
        rates=(3e-3,),
        metric="cer",
    ),
}


@dataclasses.dataclass(frozen=True)
class Order:
    """What is expected of two upstreams on a task: `above` is better; of a tie, that nothing is shown."""

    task: str
    below: str
    above: str
    tie: bool = False
