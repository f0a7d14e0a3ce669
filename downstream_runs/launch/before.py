"""Before the first of several runs: which corpora can be used, and which tasks will therefore be skipped."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.corpus import shortfall
from downstream_runs.core.run_folder import CACHE
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.corpus import Standing
    from downstream_runs.core.run import RunPlan
    from downstream_runs.launch.grid import Row


def unusable(rows: Sequence[Row]) -> Mapping[str, str]:
    """Task -> why its corpus cannot be used; each corpus is looked at once, without decoding audio.

    What was found is told at once, so that nobody learns hours later what was missing from the start.
    """
    plans = {row.plan.task.name: row.plan for row in rows}
    print(f"checking the corpora of {', '.join(plans)}", file=sys.stderr)
    found: dict[str, str] = {}
    for name, plan in plans.items():
        try:
            standing = look(plan, plan.out / CACHE)
        except (UsageError, OSError) as error:
            found[name] = str(error)
            print(f"{name} will be skipped: {error}", file=sys.stderr)
        else:
            if standing.partial:
                print(f"{name}: {shortfall(standing.partial)}", file=sys.stderr)
    return found


def look(plan: RunPlan, cache: Path | None) -> Standing:
    """What the plan's corpus is; UsageError for one that cannot be used. No `cache`: nothing is written."""
    from downstream_runs.core.run import resolve_config

    return plan.task.look(plan.data, cache, resolve_config(plan), plan.partial)
