"""Runs that nobody ran, of any skill: results of all ten tasks with items, trials and journals.

That the engine's own files are read is tested with runs of its own, see record_runs.py.
"""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from scored import Trial, scored

from downstream_runs.core.results import Corpus, Metric, Result, write
from reports.columns import COLUMNS, TASKS
from reports.statistics import trials as statistics

#: Rates of a good system, as fractions.
RATES = {
    "pr_per": 0.08,
    "asr_wer": 0.10,
    "ks_acc": 0.97,
    "sid_acc": 0.65,
    "sd_der": 0.07,
    "ic_acc": 0.97,
    "sf_f1": 0.87,
    "sf_cer": 0.27,
    "er_acc": 0.63,
}
LONG = {"pr": 40, "asr": 20, "sd": 60, "sf": 12}


class Size(NamedTuple):
    """How many groups a test set has, of how many items each, at most; letters of a group's name; `apart`:
    of how many trials of a group one is a target; the decimals of a score."""

    groups: int
    each: int = 5
    letters: int = 1
    apart: int = 4
    decimals: int = 4

    def name(self, group: int) -> str:
        return f"s{group:0{self.letters}d}"


#: Of the official test sets: their items, in about as many groups and with names as long as theirs. The
#: searched trials of QbE: the English queries and documents. A fold of ER.
TRUE_SIZES = {
    **dict.fromkeys(("pr", "asr"), Size(40, 66, 4)),
    "ks": Size(620, 5, 8),
    "ic": Size(10, 380, 16),
    "sid": Size(1251, 7, 7),
    "sf": Size(4, 700, 6),
    "sd": Size(3000, 1, 34),
    "er": Size(2, 550, 6),
    "asv": Size(40, 943, 7, apart=2, decimals=16),
    "qbe": Size(138, 2438, 17, apart=200),
}
ITEMS_HEAD = ("metric", "split", "item", "group", "numerator", "denominator")
TRIALS_HEAD = ("split", "item", "group", "label", "score")


def make(
    root: Path,
    upstream: str,
    *,
    skill: float = 1.0,
    tasks: tuple[str, ...] = TASKS,
    labels: tuple[str, ...] = (),
    deviations: tuple[str, ...] = (),
    seed: int = 1337,
    speakers: int = 12,
    layers: int = 13,
    journals: bool = True,
    true_sizes: bool = False,
) -> None:
    """One folder a task; `skill` above 1 makes fewer errors. Test items are the same for every upstream.

    true_sizes: as many as the official test sets have, 22 MB for an upstream.
    """
    for task in tasks:
        folder = root / upstream / task / f"superb-{seed}"
        rng = np.random.default_rng([int(1000 * skill), seed, *upstream.encode()[:8], TASKS.index(task)])
        folder.mkdir(parents=True)
        if journals:
            _journal(folder, task, rng, layers, labels)
        small = {"er": Size(2), "asv": Size(speakers, 12), "qbe": Size(speakers, 40)}
        size = TRUE_SIZES[task] if true_sizes else small.get(task, Size(speakers))
        if task == "er":
            metrics = _folds(folder, rng, skill, size)
        elif task in ("asv", "qbe"):
            metrics = _trials(folder, task, rng, skill, size)
        else:
            metrics = _items(folder, task, rng, skill, size)
        write(folder / "result.json", result(upstream, task, metrics, labels, deviations, seed, folder))


def result(
    upstream: str,
    task: str,
    metrics: tuple[Metric, ...],
    labels: tuple[str, ...],
    deviations: tuple[str, ...],
    seed: int,
    folder: Path,
) -> Result:
    return Result(
        upstream=upstream,
        task=task,
        recipe="superb",
        labels=labels,
        deviations=deviations,
        metrics=metrics,
        command=("python", "-m", "downstream_runs", upstream, task),
        config={"runner": {"total_steps": 1000}},
        seed=seed,
        steps=1000,
        packages={"torch": "2.11.0"},
        git_commit=None,
        upstream_checkpoint=None,
        upstream_checkpoint_sha256=None,
        upstream_switches={},
        upstream_parameters=22_394_080 if upstream == "table2_2by6" else 26_448_448,
        device="cpu",
        wall_seconds=1.5,
        corpus=Corpus("synthetic", "data", {"test": 1}, "a" * 64),
        artefacts={
            path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(folder.glob("*s.csv"))
        },
        created="2025-01-02T03:04:05+00:00",
    )


def metric(name: str, value: float, **changes: Any) -> Metric:
    column = next(column for column in COLUMNS if column.metric == name)
    values: dict[str, Any] = {
        "name": name,
        "value": value,
        "unit": "percent",
        "direction": column.better,
        "counts": {},
        "split": "test",
        "selection": "best on dev: step 900 of 1000",
        "official": True,
        "role": "headline",
    }
    return Metric(**{**values, **changes})


def _rows(
    key: str, task: str, split: str, rng: np.random.Generator, skill: float, size: Size, start: int = 0
) -> tuple[list[tuple[Any, ...]], float, float]:
    """Test items of one metric, and their sums. The lengths do not depend on the system."""
    column = next(column for column in COLUMNS if column.key == key)
    lengths = np.random.default_rng([7, len(key), start])
    rate = RATES[key] / skill if column.better == "lower" else 1 - (1 - RATES[key]) / skill
    rows: list[tuple[Any, ...]] = []
    for speaker in range(start, start + size.groups):
        own = float(np.clip(rng.normal(rate, 0.02), 0.005, 0.995))
        for number in range(size.each):
            length = int(lengths.integers(5, LONG[task])) if task in LONG else 1
            errors = int(rng.binomial(length, own))
            rows.append((column.metric, split, f"{speaker}-{number}", size.name(speaker), errors, length))
    return rows, sum(row[4] for row in rows), sum(row[5] for row in rows)


def _items(folder: Path, task: str, rng: np.random.Generator, skill: float, size: Size) -> tuple[Metric, ...]:
    rows: list[tuple[Any, ...]] = []
    metrics = []
    for column in COLUMNS:
        if column.task == task:
            some, errors, length = _rows(column.key, task, "test", rng, skill, size)
            rows += some
            counts = {"errors": errors, "length": length} if column.metric in ("per", "wer") else {}
            metrics.append(metric(column.metric, 100 * errors / length, counts=counts))
            if task == "sd":
                rate, chosen = 100 * errors / length, "lowest DER of ten settings, on "
                metrics[-1] = metric("der", rate, selection=f"{chosen}test")
                dev = {"selection": f"{chosen}dev", "official": False, "role": "information"}
                metrics.append(metric("der", rate + 0.25, **dev))
    _write(folder / "items.csv", ITEMS_HEAD, rows)
    return tuple(metrics)


def _folds(folder: Path, rng: np.random.Generator, skill: float, size: Size) -> tuple[Metric, ...]:
    rates = []
    for fold in range(5):
        inside = folder / f"fold{fold + 1}"
        inside.mkdir()
        some, right, count = _rows("er_acc", "er", "test", rng, skill, size, 2 * fold)
        _write(inside / "items.csv", ITEMS_HEAD, some)
        rates.append(right / count)
        own = metric("acc", 100 * rates[-1])
        write(inside / "result.json", result("fold", "er", (own,), (), (), 1, inside))
        if (folder / "metrics.jsonl").exists():
            (inside / "metrics.jsonl").write_bytes((folder / "metrics.jsonl").read_bytes())
    return (metric("acc", 100 * sum(rates) / 5, split="test of fold1, fold2, fold3, fold4, fold5"),)


def _trials(
    folder: Path, task: str, rng: np.random.Generator, skill: float, size: Size
) -> tuple[Metric, ...]:
    apart = (3.0 if task == "asv" else 1.6) * skill
    split = "test" if task == "asv" else "eval"
    labels = [int(number % size.apart == 0) for number in range(size.each)]
    rows = [
        (split, f"{size.name(group)} {number}", size.name(group), label, round(score, size.decimals))
        for group in range(size.groups)
        for number, (label, score) in enumerate(
            zip(labels, rng.normal(apart * np.array(labels)).tolist(), strict=True)
        )
    ]
    _write(folder / "trials.csv", TRIALS_HEAD, rows)
    key, name = ("asv_eer", "eer") if task == "asv" else ("qbe_mtwv", "mtwv")
    found = scored(key, task, trials=tuple(Trial(row[1], row[2], row[3], row[4]) for row in rows))
    value = statistics.point(found)
    if task == "qbe":
        return (metric(name, value / 100, unit="fraction", split=split),)
    dev = metric(name, value + 0.3, selection="lowest EER on dev trials", official=False, role="information")
    return (metric(name, value, selection="lowest EER of ten checkpoints, on test"), dev)


def _journal(folder: Path, task: str, rng: np.random.Generator, layers: int, labels: tuple[str, ...]) -> None:
    if task == "qbe":
        return
    column = next(column for column in COLUMNS if column.task == task)
    lines: list[Mapping[str, Any]] = []
    for step in range(100, 1001, 100):
        loss = {f"{task}/train-loss": float(5 / step**0.3 + rng.normal(0, 0.02))}
        lines.append(
            {"split": "train", "step": step, "scalars": loss, "learning_rate": 1e-4, "labels": labels}
        )
        logits = np.sin(np.arange(layers) / 2 + TASKS.index(task)) * step / 1000 + rng.normal(0, 0.1, layers)
        weights = np.exp(logits) / np.exp(logits).sum()
        rate = 100 * (1 - 0.9 * step / 1000) if column.better == "lower" else 90 * step / 1000
        scores = {column.metric: {"value": float(rate + rng.normal(0, 1)), "counts": {}}}
        line = {"split": "dev", "step": step, "scalars": {}, "scores": scores}
        lines.append({**line, "layer_weights": weights.tolist()})
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


def _write(path: Path, head: tuple[str, ...], rows: list[tuple[Any, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(head)
        writer.writerows(rows)
