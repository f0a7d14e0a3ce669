"""What the tasks with one label an utterance share: s3prl's settings, its prediction files, accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.task import Item, MetricSpec, Recipe, Score
from downstream_runs.tasks import _blocks
from upstream_arm.common.errors import RunFailed

Rows = Sequence[tuple[str, str]]


def config(*, datarc: Mapping[str, Any], **settings: Any) -> dict[str, Any]:
    """The whole configuration of a task; `settings` are those of `_blocks.config`.

    The test split is evaluated during training too, as s3prl's configurations have it: an evaluation seeds
    the random numbers anew, so without it the batches that follow would be others. Nothing is chosen by it.
    """
    expert = {"datarc": dict(datarc), "modelrc": _blocks.mean_pooling()}
    return _blocks.config(expert=expert, evaluated=("dev", "test"), **settings)


def recipes(
    superb: Mapping[str, Any],
    warmup: int,
    demo: Mapping[str, Any],
    sample: Mapping[str, Any],
    source: str,
) -> dict[str, Recipe]:
    """The four recipes of a task, each from the arguments of `config`."""
    return {
        "superb": Recipe("superb", config(**superb), "s3prl's defaults", source),
        "paper": Recipe(
            "paper",
            config(**superb, warmup=warmup),
            f"as superb, with the learning-rate schedule: linear to the peak at {warmup}, then to 0",
            _blocks.PAPER_SOURCE,
        ),
        "demo": _blocks.own(
            "demo", config(**demo), "few steps: shows that everything works, says nothing about the upstream"
        ),
        "sample": _blocks.own("sample", config(**sample), "few steps on a handful of real utterances"),
    }


def accuracy_metric(scalar: str) -> MetricSpec:
    """Accuracy in percent; s3prl logs a fraction."""
    return MetricSpec("acc", "accuracy", "percent", "higher", scalar, factor=100.0)


def read_rows(path: Path, separator: str) -> list[tuple[str, str]]:
    """The (name, label) lines of one of s3prl's prediction files, split at the first `separator`.

    RunFailed for a file that is not there, and for a line without a label.
    """
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunFailed(f"{path}: s3prl did not write its predictions ({error.strerror})") from None
    rows = []
    for number, line in enumerate(lines, start=1):
        name, found, value = line.partition(separator)
        if not found or not value:
            raise RunFailed(
                f"{path} line {number} is {line!r}, expected a name, {separator!r} and a label; start the "
                "run again with --rerun always"
            )
        rows.append((name, value))
    return rows


def score(truth: Rows, predicted: Rows, group: Callable[[str], str] = str) -> Score:
    """The accuracy of `predicted` against `truth`, (name, label) in s3prl's order.

    A name that comes back, as in KS's dev split, which is drawn with replacement, counts each time.
    """
    from downstream_runs.scoring import accuracy

    reference, hypothesis = _named(truth), _named(predicted)
    counts = accuracy.score(reference, hypothesis)
    items = tuple(
        Item(name, group(name), float(hypothesis[name] == label), 1.0)
        for name, label in sorted(reference.items())
    )
    right = {"correct": counts.length - counts.errors, "utterances": counts.utterances}
    return Score("acc", 100.0 * right["correct"] / right["utterances"], right, items)


def _named(rows: Rows) -> dict[str, str]:
    """The rows by name; the second of a name becomes `NAME (2)`."""
    seen: Counter[str] = Counter()
    found = {}
    for name, label in rows:
        seen[name] += 1
        found[name if seen[name] == 1 else f"{name} ({seen[name]})"] = label
    return found
