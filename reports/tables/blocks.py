"""Our systems in a table: apart from the published ones, with labels and notes on how they came about."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from downstream_runs.core.results import LABELS, PARTIAL_TEXT, Result, reason
from reports import scores
from reports.columns import COLUMNS, Column
from reports.ours import DEV, UNOFFICIAL, headlines, weights
from reports.systems import System
from reports.table import EMPTY, Block, Head, TableColumn, grouped_notes, listed
from upstream_arm import published_states

#: The metric of steps without a gradient.
SKIPPED = "skipped_steps"
TITLE, THEIRS = "Ours", "Theirs, pulled from others"
LABELLED, LABELLED_THEIRS = (f"{title}, not comparable to published rows" for title in (TITLE, THEIRS))


def metric_columns(columns: Sequence[Column], grouped: bool = False) -> list[TableColumn]:
    """A table's columns of these metrics, `grouped` as the paper does above them."""

    def column(one: Column) -> TableColumn:
        head = Head(one.header, one.group if grouped else "", one.better)
        return head, lambda system: system.cells.get(one.key, EMPTY)

    return [column(one) for one in columns]


def blocks(
    systems: Sequence[System],
    entries: Callable[[System], Sequence[Any]] = lambda system: [system],
    ranked: bool = True,
    title: str = TITLE,
) -> list[Block]:
    """Ours without labels, then ours with them under their warning, then the same of theirs.

    A block without entries is left out.
    """
    made: list[Block] = []
    for some, name, limited in (
        ([system for system in systems if not system.by], title, LABELLED),
        ([system for system in systems if system.by], title.replace(TITLE, THEIRS), LABELLED_THEIRS),
    ):
        plain = tuple(entry for system in some if not system.labels for entry in entries(system))
        labelled = [(system, found) for system in some if system.labels and (found := entries(system))]
        made += [Block(name, plain, ranked=ranked)] if plain else []
        if labelled:
            rows = tuple(entry for _, found in labelled for entry in found)
            # Never ranked: such a number beats nothing.
            made.append(Block(limited, rows, warning=warning([system for system, _ in labelled])))
    return made


def titled(title: str, systems: Iterable[System]) -> str:
    """The title of a table of ours, which says so where rows of others are in it."""
    return f"{title}, and theirs" if any(system.by for system in systems) else title


def warning(systems: Iterable[System]) -> str:
    """The sentence above ours where one of them cannot be compared with published systems, else nothing."""
    systems = list(systems)
    known = list(LABELS)
    order = {label: (place, "") for place, label in enumerate(known)}
    labels = sorted(
        {label for system in systems for label in system.labels},
        key=lambda label: order.get(label, (len(known), label)),
    )
    if not labels:
        return ""
    reasons = "; ".join(f"{label}: {reason(label)}" for label in labels)
    return (
        f"Warning: rows labelled {', '.join(labels)} are not comparable to the published rows ({reasons})."
        + partial_counts(systems)
    )


def partial_counts(systems: Iterable[System]) -> str:
    """A sentence, with a blank before it, of how much of their corpora partial runs had; else nothing."""
    tasks: dict[str, list[str]] = {}
    for result in results(systems):
        if result.shortfall:
            tasks.setdefault(result.shortfall.removeprefix(PARTIAL_TEXT), []).append(result.task)
    counts = "; ".join(f"{', '.join(dict.fromkeys(some))}: {count}" for count, some in tasks.items())
    return f" Partial corpora: {counts}." if counts else ""


def results(systems: Iterable[System]) -> list[Result]:
    """All results behind these systems."""
    return [result for system in systems for _, result in system.runs]


def notes(systems: Sequence[System], columns: Sequence[Column]) -> list[str]:
    """What a reader must know of ours: marks, missing tasks, repeated runs, deviations."""
    tasks = {column.task for column in columns}
    keys = {column.key for column in columns}
    marks = {mark for one in systems for key in keys & one.cells.keys() for mark in one.cells[key].marks}
    lines = []
    if UNOFFICIAL in marks:
        lines.append(f"{UNOFFICIAL} split, selection or scorer is not that of SUPERB's protocol.")
    if DEV in marks:
        lines.append(
            f"{DEV} the protocol's number, chosen on the test set; the number chosen on dev is in the table "
            "of official and dev-selected numbers."
        )
    if len(columns) == len(COLUMNS):
        lines += _incomplete(systems)
    lines += [
        f"{system.name}: weights of {result.upstream_checkpoint or result.upstream_switches['ckpt_url']}, "
        f"SHA-256 {result.upstream_checkpoint_sha256 or 'not known'}."
        for system in systems
        for _, result in system.runs[:1]
        if weights(result)
    ]
    lines += [
        f"{system.name}: {result.upstream_source} at {result.upstream_revision}"
        + (", with code of its own" if result.upstream_remote_code else "")
        + f", SHA-256 of the weights {result.upstream_weights_sha256 or 'not known'}."
        for system in systems
        for _, result in system.runs[:1]
        if result.upstream_source is not None
    ]
    lines += _features(systems, tasks)
    lines += [f"{system.name}: {q.in_words()}." for system in systems if (q := system.runs[0][1].quantize)]
    # No deviation: s3prl leaves out the same.
    lines += [
        f"{system.name} ({result.task}): {metric.counts['skipped']} of {metric.counts['steps']} steps had no "
        "gradient that is a number and were skipped, as s3prl does."
        for system in systems
        for result in results([system])
        for metric in result.metrics
        if metric.name == SKIPPED and result.task in tasks
    ]
    declared = _deviations(systems, tasks)
    title = "Deviations from the protocol, from the result files:"
    if declared:
        lines += [title, *grouped_notes(declared)]
    elif systems:
        lines.append(f"{title} none.")
    return lines


def _features(systems: Sequence[System], tasks: set[str]) -> list[str]:
    """How the features of ours stand to those of the published rows, where they are not s3prl's default."""
    about: dict[str, dict[str, None]] = {}
    for system in systems:
        for result in results([system]):
            said = published_states.remark(result.upstream, result.states, result.layer)
            if said is not None and result.task in tasks:
                about.setdefault(said, {})[system.name] = None
    return grouped_notes({said: list(names) for said, names in about.items()})


def _deviations(systems: Sequence[System], tasks: set[str]) -> dict[str, list[str]]:
    """Sentence -> the systems with the tasks that it is about."""
    about: dict[str, dict[str, list[str]]] = {}
    for system in systems:
        for result in results([system]):
            for sentence in result.deviations if result.task in tasks else ():
                plain = " ".join(sentence.split()).rstrip(".")
                about.setdefault(plain, {}).setdefault(system.name, []).append(result.task)
    return {
        sentence: [f"{name} ({', '.join(some)})" for name, some in names.items()]
        for sentence, names in about.items()
    }


def _incomplete(systems: Sequence[System]) -> list[str]:
    names: dict[str, list[str]] = {}
    for system in systems:
        absent = scores.missing(system.values)
        if absent:
            are = "are" if len(absent) > 1 else "is"
            sentence = f"no overall score, because {', '.join(absent)} {are} missing"
            names.setdefault(sentence, []).append(system.name)
    return grouped_notes(names)


def conflicts(systems: Sequence[System]) -> list[str]:
    """Runs made in the same way that ended in different numbers."""
    values: dict[tuple[str, str], list[str]] = {}
    for system in systems:
        base = system.name.split(", made ")[0]
        for result in results([system]) if base != system.name else ():
            for key, metric in headlines(result).items():
                values.setdefault((base, key), []).append(f"{metric.value:.4f}")
    return [
        f"Conflict: {base} has several runs with different {key}: {listed(some)}."
        for (base, key), some in values.items()
        if len(set(some)) > 1
    ]


def run_notes(systems: Sequence[System], columns: Sequence[Column]) -> list[str]:
    """Of each run of ours what it is and how its numbers were chosen."""
    tasks = {column.task for column in columns}
    return [
        f"{system.name}, {result.task}: recipe {result.recipe}, seed {result.seed}, {result.steps} steps, "
        f"{result.corpus.name}, {result.device}. {selections(result)} From {path}"
        for system in systems
        for path, result in system.runs
        if result.task in tasks
    ]


def selections(result: Result) -> str:
    """Which checkpoint each number is from; first the headlines, then the others with their values."""
    ordered = sorted(result.metrics, key=lambda metric: metric.role != "headline")
    sentences = []
    for metric in ordered:
        standing = "the task's official metric" if metric.official else "not an official metric"
        value = "" if metric.role == "headline" else f" {metric.value:.4f} ({metric.unit}, for information)"
        sentences.append(
            f"{metric.name}{value} on {metric.split}, checkpoint: {metric.selection} ({standing})."
        )
    return " ".join(sentences)


def deviations(result: Result) -> str:
    """The departures from the protocol that the run declared, or "none"."""
    return "; ".join(sentence.strip().rstrip(".") for sentence in result.deviations) or "none"
