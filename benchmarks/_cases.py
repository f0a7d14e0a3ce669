"""One task of `pipeline.py`: the commands of its sides, and what is measured of them in turns."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from _sides import Reply, Side

from downstream_runs.core.task import TaskSpec
from downstream_runs.estimate import heads

MOST_FILLING = 12
WHOLE_BATCHES = {"ic": ("downstream_expert.datarc.train_batch_size", 35)}
"""Where the demo corpus makes no whole batches of the recipe's size: the setting and the size used instead.

A last batch of 6 utterances would make steps of unlike cost.
"""
QUIET = 0.25
"""Filling is over when fewer of the trained utterances than this share still need the upstream."""


@dataclass(frozen=True)
class Setting:
    """What is the same for all sides. place: a folder for all that is written. demo: data is synthetic."""

    upstream: str
    data: Path
    place: Path
    device: str
    threads: int
    steps: int
    repeats: int
    demo: bool = True


@dataclass(frozen=True)
class Measured:
    """A task's numbers. Seconds are of an optimizer step, one value a round.

    batch: utterances a step. audio: mean seconds of a trained utterance. upstream_share: of stock's steps.
    filled: extraction's seconds, and audio seconds in it. again: share of trained utterances that the stored
    side still sends through the upstream. store_bytes: of the files. peaks: bytes by side.
    """

    task: str
    batch: int
    audio: float
    seconds: dict[str, tuple[float, ...]]
    upstream_share: float
    filled: tuple[float, float]
    again: float
    store_bytes: int
    peaks: dict[str, int]

    def median(self, side: str) -> float:
        """Seconds of a step of that side."""
        return statistics.median(self.seconds[side])

    def ratio(self, slow: str, fast: str) -> float:
        """Median over the rounds of how many times longer `slow` takes."""
        pairs = zip(self.seconds[slow], self.seconds[fast], strict=True)
        return statistics.median(one / other for one, other in pairs)


def ours(setting: Setting, task: TaskSpec, features: str, more: Sequence[str] = ()) -> list[str]:
    """The arguments of this project's command for a run of the superb recipe."""
    found = [setting.upstream, task.name, "--data", str(setting.data), "--recipe", "superb"]
    found += ["--out", str(setting.place / task.name / "ours"), "--device", setting.device]
    found += ["--features", features, "--rerun", "always"]
    for key in _workers(task):
        found += ["-o", f"{key}=0"]
    for key, value in _instead(setting, task).items():
        found += ["-o", f"{key}={value}"]
    return [*found, *more]


def _instead(setting: Setting, task: TaskSpec) -> dict[str, int]:
    return dict([WHOLE_BATCHES[task.name]]) if setting.demo and task.name in WHOLE_BATCHES else {}


def recipe(setting: Setting, task: TaskSpec) -> dict[str, Any]:
    """The superb recipe's configuration with what is changed for this benchmark."""
    config = task.recipes["superb"].copy_config()
    for key, value in _instead(setting, task).items():
        *parents, last = key.split(".")
        block = config
        for name in parents:
            block = block[name]
        block[last] = value
    return config


def _workers(task: TaskSpec) -> list[str]:
    from downstream_runs.core.settings import leaves

    return [key for key, _ in leaves(task.recipes["superb"].config) if key.endswith(".num_workers")]


def stock(setting: Setting, task: TaskSpec) -> list[str]:
    """The arguments of s3prl's run_downstream.py for the same run; writes its configuration."""
    folder = setting.place / task.name / "stock"
    folder.mkdir(parents=True, exist_ok=True)
    given = recipe(setting, task)
    config = heads.expert_config(given, task.corpus.prepare(setting.data, setting.place / "cache", given))
    config["runner"]["max_keep"] = 1
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    options = ["-m", "train", "-u", setting.upstream, "-d", task.s3prl_name, "-c", str(file)]
    return [*options, "-p", str(folder / "exp"), "--device", setting.device]


def _small_head(task: TaskSpec) -> list[str]:
    """Overrides for a head that costs nothing, to fill a store with; pooled tasks' heads cost nothing."""
    config: Any = task.recipes["superb"].config["downstream_expert"]
    for block in ("modelrc", "model"):
        if "RNNs" in config.get(block, {}):
            key = f"downstream_expert.{block}"
            return ["-o", f"{key}.project_dim=8", "-o", f"{key}.RNNs.dim=[8, 8]"]
    return []


def _folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def fill(setting: Setting, task: TaskSpec, batch: int) -> tuple[float, float]:
    """Fill the store; returns seconds from the built upstream until all was stored, and audio seconds.

    The steps in between are taken out by their time once the store is full.
    """
    seconds = audio = 0.0
    done = 0
    arguments = ours(setting, task, "disk", _small_head(task))
    with Side("ours", setting.upstream, arguments, _log(setting, task, "fill"), setting.threads) as side:
        for _ in range(MOST_FILLING):
            reply = side.do(4)
            if reply.upstream["utterances"] <= QUIET * 4 * batch and done:
                step = statistics.median(reply.steps)
                return max(seconds - done * step, 0.0), audio
            seconds, audio = reply.since_built, audio + reply.upstream["audio"]
            done += 4
    return seconds, audio


def _log(setting: Setting, task: TaskSpec, name: str) -> Path:
    return setting.place / task.name / f"{name}.log"


def step_utterances(task: TaskSpec, config: Mapping[str, Any]) -> int:
    """Utterances of an optimizer step."""
    return task.batch_size(config) * int(config["runner"]["gradient_accumulate_steps"])


def measure(setting: Setting, task: TaskSpec, floor: bool) -> Measured:
    """Train on all sides in turns; the order of the sides is turned round from round to round."""
    config = recipe(setting, task)
    batch = step_utterances(task, config)
    filled = fill(setting, task, batch)
    store = _folder_bytes(setting.place / task.name / "ours" / "cache" / "features")
    commands = {
        "stock": ("stock", stock(setting, task)),
        "off": ("ours", ours(setting, task, "off")),
        "stored": ("ours", ours(setting, task, "disk")),
    }
    if floor:
        place = str(setting.place / task.name / "floor")
        commands["floor"] = ("floor", [task.name, "superb", setting.upstream, place, setting.device])
    replies: dict[str, list[Reply]] = {name: [] for name in commands}
    counts = {name: setting.steps * (25 if task.pooled and name == "stored" else 1) for name in commands}
    with ExitStack() as stack:
        sides = {
            name: stack.enter_context(
                Side(side, setting.upstream, arguments, _log(setting, task, name), setting.threads)
            )
            for name, (side, arguments) in commands.items()
        }
        for name, side in sides.items():
            side.do(1 if name != "stored" or not task.pooled else 4)
        for number in range(setting.repeats):
            for name in list(sides) if number % 2 == 0 else list(reversed(sides)):
                replies[name].append(sides[name].do(counts[name]))
    return _found(task, batch, replies, filled, store)


def _found(
    task: TaskSpec, batch: int, replies: dict[str, list[Reply]], filled: tuple[float, float], store: int
) -> Measured:
    slow = replies["stock"]
    trained = sum(len(reply.steps) for reply in replies["stored"]) * batch
    return Measured(
        task=task.name,
        batch=batch,
        audio=sum(one.upstream["audio"] for one in slow) / sum(one.upstream["utterances"] for one in slow),
        seconds={name: tuple(reply.seconds for reply in found) for name, found in replies.items()},
        upstream_share=sum(one.upstream["seconds"] for one in slow) / sum(sum(one.steps) for one in slow),
        filled=filled,
        again=sum(reply.upstream["utterances"] for reply in replies["stored"]) / trained,
        store_bytes=store,
        peaks={name: max(r.gpu_bytes or r.peak_bytes for r in found) for name, found in replies.items()},
    )
