"""What the command line's lists of upstreams and tasks stand for."""

from __future__ import annotations

from collections.abc import Sequence

from downstream_runs.errors import UsageError

ALL = "all"


def upstreams(text: str) -> tuple[str, ...]:
    """Upstream names, separated by commas; UsageError for an empty one."""
    return _split(text, "upstream")


def tasks(text: str) -> tuple[str, ...]:
    """Names of tasks, separated by commas, or all ten by `all`; UsageError for an unknown one."""
    from downstream_runs import tasks as known

    if text.strip().lower() == ALL:
        return known.names()
    return tuple(dict.fromkeys(known.get(name).name for name in _split(text, "task")))


def _split(text: str, what: str) -> tuple[str, ...]:
    found: Sequence[str] = [name.strip() for name in text.split(",")]
    if not all(found):
        raise UsageError(f"{text!r} has an empty {what}; separate names by single commas")
    return tuple(dict.fromkeys(found))
