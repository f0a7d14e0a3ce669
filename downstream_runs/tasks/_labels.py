"""What the tasks with one label an utterance share: s3prl's settings, its prediction files, accuracy."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

from downstream_runs.core.task import Item, MetricSpec, Score
from upstream_arm.common.errors import RunFailed

Rows = Sequence[tuple[str, str]]


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
