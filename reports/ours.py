"""Our systems, each put together from the results of single tasks."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from downstream_runs.core import settings
from downstream_runs.core.results import LABELS, OWN_TASK, Metric, Result
from downstream_runs.core.run_folder import BUNDLE, SWEEP
from downstream_runs.core.settings import RATE
from reports import published, scores, store
from reports.columns import BY_KEY, COLUMNS, TASKS, in_percent
from reports.systems import OURS, THEIRS, Profile, System
from reports.table import Cell, number
from upstream_arm.common.files import read_json
from upstream_arm.published_states import in_words

SHORTENED = "shortened"
#: Behind a number whose split, selection or scorer is not the protocol's; behind an official number beside
#: which one selected on dev stands.
UNOFFICIAL, DEV = "†", "‡"

#: The folder of the released checkpoints in the Hugging Face cache, and the endings of names that say
#: themselves that the weights are a user's (another package's names, so only their spelling is known).
RELEASED_FOLDER = "models--sungnyun--ARMHuBERT"
OWN_WEIGHTS = ("_local", "_url", "_custom")


@dataclass(frozen=True)
class Collection:
    """All results of ours in one place.

    systems: sorted by name.
    problems: sentences about files that cannot be used.
    notes: sentences about what is not shown.
    own: results of tasks of one's own, which are in none of SUPERB's tables.
    """

    systems: tuple[System, ...]
    problems: tuple[str, ...]
    notes: tuple[str, ...]
    own: tuple[tuple[Path, Result], ...] = ()


def gather(places: Sequence[Path] = (), tasks: Sequence[str] = TASKS) -> Collection:
    """Read the results of these tasks in `places`, by default those below runs/.

    Raises ReportError for a place that is absent.
    """
    search = store.find(places)
    others = [
        f"{path}: the task {result.task!r} has no column in these tables"
        for path, result in search.results
        if result.task not in TASKS and OWN_TASK not in result.config
    ]
    own = tuple(one for one in search.results if OWN_TASK in one[1].config)
    usable = [one for one in search.results if one[1].task in tasks]
    return Collection(tuple(systems(usable)), search.problems, (*search.unfinished, *others), own)


def systems(results: Sequence[tuple[Path, Result]]) -> list[System]:
    """One system for each upstream as it was run: same weights, switches, recipe, labels and seed.

    A task that was run twice in the same way makes a second system. Those that would have the same name get
    what tells them apart behind it.
    """
    lines: list[list[tuple[Path, Result]]] = []
    alike: dict[tuple[object, ...], list[list[tuple[Path, Result]]]] = {}
    # A task without training is never shortened and joins tasks that are, so it comes last.
    for path, result in sorted(results, key=lambda item: (item[1].steps == 0, item[1].created, item[0])):
        by = sharer(path)
        same = alike.setdefault((by, *_identity(result)), [])
        fitting = [*same, *(alike.get((by, *_identity(result, SHORTENED)), []) if result.steps == 0 else [])]
        line = next((line for line in fitting if all(other.task != result.task for _, other in line)), None)
        if line is None:
            lines.append([(path, result)])
            same.append(lines[-1])
        else:
            line.append((path, result))
    names = _names(lines)
    made = (_system(name, line) for name, line in zip(names, lines, strict=True))
    return sorted(made, key=lambda system: system.name)


def seeds(systems: Sequence[System]) -> list[list[System]]:
    """The systems that differ in nothing but their seed, where there are several."""
    groups: list[tuple[tuple[object, ...], dict[str, dict[str, Any]], dict[int, System]]] = []
    for system in systems:
        result = system.runs[0][1]
        identity = (system.by, *_identity(dataclasses.replace(result, seed=0)))
        own = {one.task: _settings(one) for _, one in system.runs}
        for other, tasks, group in groups:
            alike = all(own[task] == tasks[task] for task in own.keys() & tasks.keys())
            if identity == other and alike and result.seed not in group:
                tasks |= own
                group[result.seed] = system
                break
        else:
            groups.append((identity, own, {result.seed: system}))
    return [list(group.values()) for *_, group in groups if len(group) > 1]


def sharer(path: Path) -> str:
    """Who shared the bundle that a result is in, as they call themselves; empty for a run of ours."""
    if not (path.parent / BUNDLE).is_file():
        return ""
    by = (read_json(path.parent / BUNDLE) or {}).get("by")
    return by if isinstance(by, str) and by.strip() else "unknown"


def headlines(result: Result) -> dict[str, Metric]:
    """Column key -> the metric of this result that the column prints."""
    pairs = ((column.key, result.headline(column.metric)) for column in COLUMNS if column.task == result.task)
    return {key: metric for key, metric in pairs if metric is not None}


def dev_selected(metrics: Iterable[Metric], official: Metric) -> Metric | None:
    """The number of the same split whose checkpoint or settings were chosen on dev instead of on test."""
    of_same = (one for one in metrics if (one.name, one.split) == (official.name, official.split))
    # Where dev was read from the test set, the same choice stands there for both.
    others = (one for one in of_same if one.role == "information" and one.selection != official.selection)
    return next((one for one in others if not one.official), None)


def released(result: Result) -> bool:
    """Whether the upstream's name says which weights these are.

    True without a file of weights, and for one of the authors' in the Hugging Face cache, where a file's name
    is the hash that it was downloaded by.
    """
    if result.upstream_checkpoint is None:
        return "ckpt_url" not in result.upstream_switches
    path = Path(result.upstream_checkpoint)
    return not result.upstream.endswith(OWN_WEIGHTS) and path.parts[-3:] == (
        RELEASED_FOLDER,
        "blobs",
        result.upstream_checkpoint_sha256,
    )


def weights(result: Result) -> str:
    """The file of the weights and the beginning of its SHA-256; empty where the upstream's name says it."""
    if released(result):
        return ""
    sha256, url = result.upstream_checkpoint_sha256, result.upstream_switches.get("ckpt_url")
    name = PurePosixPath(str(url or result.upstream_checkpoint)).name
    return f"{name}, {sha256[:8]}" if sha256 else f"{name}, hash not known"


def _system(name: str, line: list[tuple[Path, Result]]) -> System:
    first = line[0][1]
    counted = [result.upstream_parameters for _, result in line if result.upstream_parameters is not None]
    params = f"{counted[0] / 1e6:.2f}" if counted else ""
    runs = tuple(sorted(line, key=lambda item: item[1].task))
    values, cells = {}, {}
    for _, result in runs:
        for key, metric in headlines(result).items():
            values[key], shown = in_percent(metric), BY_KEY[key].show(metric)
            marks = ("" if metric.official else UNOFFICIAL) + (
                DEV if dev_selected(result.metrics, metric) else ""
            )
            cells[key] = Cell(shown, float(shown), marks, competes=metric.official)
    overall = scores.overall(values)
    if overall is not None:
        cells["overall"] = number(overall, 1)
    # What an earlier version called by a released name is no such one.
    bare = first.upstream == "arm_hubert" or first.upstream in published.profiles()
    upstream = f"{first.upstream}_local" if bare and not released(first) else first.upstream
    by = sharer(line[0][0])
    return System(
        name,
        THEIRS if by else OURS,
        params,
        cells,
        values,
        profile=_profile(upstream, params),
        upstream=upstream,
        by=by,
        labels=_labels(first),
        runs=runs,
    )


def _profile(upstream: str, params_m: str) -> Profile | None:
    """The profile of the preset behind an upstream's name.

    None if the upstream has another number of parameters: a user's checkpoint, such as a student distilled
    here, may be of any shape, whatever name it is run under.
    """
    for variant in (*OWN_WEIGHTS, "_random"):
        upstream = upstream.removesuffix(variant)
    profile = published.profiles().get("armhubert" if upstream == "arm_hubert" else upstream)
    if profile is not None and params_m not in ("", f"{profile.params / 1e6:.2f}"):
        return None
    return profile


def _labels(result: Result) -> tuple[str, ...]:
    known = tuple(label for label in LABELS if label in result.labels)
    return known + tuple(sorted(set(result.labels) - set(known)))


def _identity(result: Result, *more: str) -> tuple[object, ...]:
    """What the results of one system have in common; `more`: labels that count as if the result had them."""
    labels = frozenset({*result.labels, *more})
    return (result.upstream, result.name, labels, *_details(result).values())


def _settings(result: Result) -> dict[str, Any]:
    """What was set of the training; of a sweep not the learning rate, which was chosen on dev."""
    chosen = {RATE} if SWEEP in result.artefacts else set()
    return {key: value for key, value in settings.steady(result.config).items() if key not in chosen}


def _details(result: Result) -> dict[str, str]:
    return {
        "recipe": result.recipe,
        "seed": str(result.seed),
        "checkpoint": (result.upstream_checkpoint_sha256 or "none")[:12],
        "revision": (result.upstream_revision or "none")[:12],
        "switches": json.dumps(result.upstream_switches, sort_keys=True),
        "features": in_words(result.states, result.layer),
    }


def _names(lines: Sequence[Sequence[tuple[Path, Result]]]) -> list[str]:
    firsts = [line[0][1] for line in lines]
    owners = [sharer(line[0][0]) for line in lines]
    plain = []
    for by, result in zip(owners, firsts, strict=True):
        marks = [*([f"theirs: {by}"] if by else []), *_labels(result)]
        file = weights(result)
        plain.append(
            (f"{result.name}: " if result.name else "")
            + result.upstream
            + (f" ({file})" if file else "")
            + (f" [{', '.join(marks)}]" if marks else "")
        )
    groups: dict[str, list[int]] = {}
    for place, name in enumerate(plain):
        groups.setdefault(name, []).append(place)
    names = list(plain)
    for places in groups.values():
        details = settings.differing([_details(firsts[place]) for place in places])
        told = [[f"{key} {value}" for key, value in one.items()] for one in details]
        apart = _set_apart([[result for _, result in lines[place]] for place in places])
        for words, own in zip(told, apart, strict=True):
            words += [own] if own else []
        common = Counter(map(tuple, told))
        for place, words in zip(places, told, strict=True):
            made = [f"made {firsts[place].created}"] if common[tuple(words)] > 1 else []
            names[place] = ", ".join([plain[place], *words, *made])
    # Runs that nothing tells apart, not even the second they ended in.
    seen: Counter[str] = Counter()
    for place, name in enumerate(names):
        seen[name] += 1
        names[place] = f"{name} ({seen[name]})" if seen[name] > 1 else name
    return names


def _set_apart(lines: Sequence[Sequence[Result]]) -> list[str]:
    """In words, which settings of each line are not as those of others for the same task and recipe."""
    by_task: dict[tuple[str, str], list[tuple[int, Mapping[str, Any]]]] = {}
    for place, line in enumerate(lines):
        for one in line:
            by_task.setdefault((one.task, one.recipe), []).append((place, settings.steady(one.config)))
    told: dict[tuple[int, str], str] = {}
    for (task, _), having in by_task.items():
        for (place, _), own in zip(having, settings.differing([one for _, one in having]), strict=True):
            told |= {(place, task): settings.in_words(own)} if own else {}
    several = len({task for _, task in told}) > 1
    return [
        ", ".join(f"{task} {text}" if several else text for (of, task), text in told.items() if of == place)
        for place in range(len(lines))
    ]
