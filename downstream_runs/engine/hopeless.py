"""A learning rate that is given up early: far behind another of its sweep, at the same step, on dev.

A run is compared with what the journals of the others hold at that step, so with several runs side by side
the outcome may depend on which was faster; one after another (`--jobs 1`) it is always the same, also after a
kill. Rates that one process trains together are compared when all have their number of a step. At least one
run of a sweep is never given up: the one that no other has overtaken at its last step.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core import records
from upstream_arm.common.errors import RunFailed

if TYPE_CHECKING:
    from downstream_runs.core.task import Selection, TaskSpec

EVENT = "hopeless"
AFTER = 0.25
"""The share of the steps that every rate gets: schedules warm up, and small rates begin slowly."""


@dataclass(frozen=True)
class Rivals:
    """What a run of a sweep is compared with.

    margin: points (percent) behind the best at the same step that are hopeless.
    folders: of the sweep's other runs, folds within them.
    """

    margin: float
    folders: tuple[Path, ...]


class Hopeless(RunFailed):
    """A run was given up; its checkpoint is kept."""


def check(
    task: TaskSpec, rivals: Rivals, folder: Path, fold: str | None, step: int, total: int
) -> dict[str, Any] | None:
    """Why the run in `folder` is to be given up at `step` of `total`: the fields of its event, or None."""
    rule = task.selection
    if rule is None or step >= total:
        return None
    if fold is not None:
        for one in sorted(folder.parent.iterdir()):
            if one != folder and (found := stopped(one)) is not None:
                return {**_about(found), "fold": one.name}
    own = value_at(folder, rule, step)
    if step < AFTER * total or own is None:
        return None
    lower = task.metric(rule.metric).better == "lower"
    others = {}
    for rival in rivals.folders:
        place = rival if fold is None else rival / fold
        value = value_at(place, rule, step)
        if value is not None and not diverged(place):
            others[rival.name] = value
    if not others:
        return None
    best = min(others, key=lambda name: others[name] if lower else -others[name])
    behind = own - others[best] if lower else others[best] - own
    if behind <= rivals.margin:
        return None
    return {
        "total": total,
        "metric": rule.metric,
        "split": rule.split,
        "value": own,
        "best": others[best],
        "rival": best,
        "margin": rivals.margin,
        "after": AFTER,
    }


def sentence(found: Mapping[str, Any], step: int) -> str:
    """The fields of the event in words."""
    if "fold" in found:
        return f"the fold {found['fold']} of this learning rate was given up, so its mean cannot be chosen"
    return (
        f"given up at step {step:,} of {found['total']:,}: {found['metric']} on {found['split']} is "
        f"{found['value']:.2f}, another learning rate has {found['best']:.2f} there, more than "
        f"{found['margin']:g} points better; the same command without --stop-hopeless goes on with it"
    )


def value_at(folder: Path, rule: Selection, step: int) -> float | None:
    """What a run's journal has of the number that selects checkpoints, at a step."""
    for line in records.read(folder / records.METRICS):
        if line["step"] == step and line.get("split") == rule.split:
            try:
                return float(line["scores"][rule.metric]["value"])
            except (KeyError, TypeError, ValueError):  # a damaged line
                continue
    return None


def stopped(folder: Path) -> dict[str, Any] | None:
    """The event of giving up, if that is the last thing that was done with the run in `folder`."""
    found = None
    for line in records.read(folder / records.EVENTS):
        if line.get("event") in records.SESSION_EVENTS:
            found = None
        elif line.get("event") == EVENT:
            found = line
    return None if (folder / "result.json").exists() else found


def diverged(folder: Path) -> bool:
    """Whether training stopped because a loss or gradient was not finite, and nothing was done since."""
    if (folder / "result.json").exists():
        return False
    return any(line.get("event") == "not_finite" for line in records.read(folder / records.EVENTS))


def _about(event: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in event.items() if key not in ("event", "step", "time", "labels")}
