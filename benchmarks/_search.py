"""Query-by-example of `pipeline.py`: the whole sweep over layers in ours, one layer of one split in stock."""

from __future__ import annotations

import statistics
from dataclasses import dataclass

import yaml
from _cases import Setting, ours
from _sides import Side

from downstream_runs.core.task import TaskSpec

LAYER = 6


@dataclass(frozen=True)
class Sweep:
    """Seconds from the built upstream to the end, one value a round; peaks: bytes by side.

    stock: one layer on dev (extraction, then every query with every document). ours: all layers on dev, the
    best on eval, from one extraction, with scoring. upstream_share: of stock's seconds.
    """

    stock: tuple[float, ...]
    ours: tuple[float, ...]
    layers: int
    audio: float
    upstream_share: float
    peaks: dict[str, int]

    @property
    def runs(self) -> int:
        """How many of stock's runs a sweep is: every layer on two splits."""
        return 2 * self.layers

    @property
    def ratio(self) -> float:
        """Median over the rounds of stock's whole sweep over ours."""
        pairs = zip(self.stock, self.ours, strict=True)
        return statistics.median(self.runs * one / other for one, other in pairs)


def measure(setting: Setting, task: TaskSpec) -> Sweep:
    """Run both in turns, each from nothing."""
    replies = []
    for number in range(setting.repeats):
        sides = {"stock": _stock(setting, task), "ours": ours(setting, task, "off")}
        found = {}
        for name in ("stock", "ours") if number % 2 == 0 else ("ours", "stock"):
            log = setting.place / task.name / f"{name}.log"
            with Side(name, setting.upstream, sides[name], log, setting.threads) as side:
                found[name] = side.to_the_end()
        replies.append(found)
    first = replies[0]["stock"]
    return Sweep(
        stock=tuple(found["stock"].since_built for found in replies),
        ours=tuple(found["ours"].since_built for found in replies),
        layers=replies[0]["ours"].shape["layers"],
        audio=first.upstream["audio"],
        upstream_share=first.upstream["seconds"] / first.since_built,
        peaks={name: max(one[name].gpu_bytes or one[name].peak_bytes for one in replies) for name in sides},
    )


def _stock(setting: Setting, task: TaskSpec) -> list[str]:
    folder = setting.place / task.name / "stock"
    folder.mkdir(parents=True, exist_ok=True)
    recipe = task.recipes["superb"].copy_config()
    data = task.corpus.prepare(setting.data, setting.place / "cache", recipe)
    given = recipe["downstream_expert"]
    expert = {
        "max_workers": setting.threads,
        "feature_normalization": given["feature_normalization"],
        "silence_frame": None,
        "datarc": {"dataset_root": str(data.root), "num_workers": 0, "batch_size": 1},
        "dtwrc": given["dtwrc"],
    }
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump({"runner": {}, "downstream_expert": expert}), encoding="utf-8")
    options = ["-m", "evaluate", "-t", "dev", "-u", setting.upstream, "-l", str(LAYER)]
    options += ["-d", task.s3prl_name, "-c", str(file), "-p", str(folder / "exp"), "--device", setting.device]
    return options
