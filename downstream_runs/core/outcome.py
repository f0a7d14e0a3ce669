"""Why the newest attempt at a run failed: `outcome.json` in the run's folder, until the next attempt."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.core.run_folder import OUTCOME
from upstream_arm.common.files import atomic_write_text


@contextlib.contextmanager
def recorded(folder: Path) -> Iterator[None]:
    """Leave the reason of a failure in a run's folder, where `status` finds it."""
    forget(folder)
    try:
        yield
    except Exception as error:
        note(folder, error)
        raise


def forget(folder: Path) -> None:
    """An attempt begins: what an earlier one failed of says nothing any more."""
    with contextlib.suppress(OSError):
        (folder / OUTCOME).unlink(missing_ok=True)


def note(folder: Path, error: Exception) -> None:
    """Write down what an attempt failed of."""
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    # The run's own error is what must be told, also where its folder cannot be written.
    with contextlib.suppress(OSError):
        atomic_write_text(folder / OUTCOME, json.dumps({"said": str(error), "time": now}) + "\n")
