"""What the tasks with one label an utterance share: s3prl's prediction files, and accuracy."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path

from downstream_runs.core.task import Item, Score
from downstream_runs.scoring import accuracy
from upstream_arm.common.errors import RunFailed


def score(
    folder: Path,
    split: str,
    scalars: Mapping[str, float],
    *,
    files: str = "{split}_{what}.txt",
    separator: str = " ",
    group: Callable[[str], str] = str,
) -> tuple[Score, ...]:
    """Accuracy of `split` from the lines NAME, `separator`, LABEL of s3prl's `files`, `truth` and `predict`.

    A name that comes back, as in KS's dev split, which is drawn with replacement, counts each time. group:
    the group of a name, see `Item`. RunFailed for a file that is not there or is damaged.
    """
    truth, predicted = (
        read(folder / files.format(split=split, what=what), separator) for what in ("truth", "predict")
    )
    counts = accuracy.score(truth, predicted)
    items = tuple(
        Item(name, group(name), float(predicted[name] == label), 1.0) for name, label in sorted(truth.items())
    )
    right = {"correct": counts.length - counts.errors, "utterances": counts.utterances}
    return (Score("acc", 100.0 * right["correct"] / right["utterances"], right, items),)


def score_fold(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files of the one fold that s3prl's expert of emotion wrote to `folder`."""
    found = [re.fullmatch(rf"{split}_(fold\d+)_predict\.txt", path.name) for path in folder.iterdir()]
    folds = sorted(match[1] for match in found if match)
    if len(folds) != 1:
        raise RunFailed(
            f"{folder} has {split} predictions of {' and '.join(folds) or 'no fold'}, of one fold were "
            "expected; start the run again with --rerun always"
        )
    return score(folder, f"{split}_{folds[0]}", scalars)


def read(path: Path, separator: str) -> dict[str, str]:
    """The labels by name; the second of a name becomes `NAME (2)`. RunFailed for a damaged file."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise RunFailed(f"{path}: s3prl did not write its predictions ({error.strerror})") from None
    seen: Counter[str] = Counter()
    labels = {}
    for number, line in enumerate(lines, start=1):
        name, between, label = line.partition(separator)
        if not between or not label:
            raise RunFailed(
                f"{path} line {number} is {line!r}, expected a name, {separator!r} and a label; start the "
                "run again with --rerun always"
            )
        seen[name] += 1
        labels[name if seen[name] == 1 else f"{name} ({seen[name]})"] = label
    return labels
