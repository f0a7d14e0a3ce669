"""The training of a run: from where it goes on, and what it came to."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import RunFolder
from downstream_runs.engine.bench import Bench
from downstream_runs.engine.parallel import ALONE, Ranks

if TYPE_CHECKING:
    from downstream_runs.engine.loop import Trainer


def train(bench: Bench, tell: Callable[[str], None], ranks: Ranks) -> None:
    """Train to the last step, from the newest good checkpoint if there is one."""
    trainer, resumed = begin(bench, tell, ranks)
    trainer.train(resumed)
    end(bench, trainer)


def end(bench: Bench, trainer: Trainer) -> None:
    """Hand over what the training came to."""
    bench.steps, bench.best = trainer.step, trainer.best
    bench.skipped = trainer.updates.skipped.total
    bench.deviations += trainer.deviations


def begin(
    bench: Bench, tell: Callable[[str], None], ranks: Ranks = ALONE
) -> tuple[Trainer, dict[str, Any] | None]:
    """A run's trainer and the state to go on from, its journal cut back to that.

    `tell` is given what the user should see at once.
    """
    from downstream_runs.engine import state
    from downstream_runs.engine.loop import Trainer

    plan, journal = bench.plan, bench.journal

    def warn(message: str) -> None:
        tell(message)
        journal.event("damaged_checkpoint", 0, message=message)

    checkpoints = state.Checkpoints(RunFolder(bench.folder), warn)
    resumed = ranks.share(checkpoints.latest())
    step = 0 if resumed is None else resumed["step"]
    checkpoints.drop_after(step)
    journal.rewind(step)
    note(bench, step, resumed is not None)
    trainer = Trainer(
        bench.parts,
        plan.task,
        bench.config,
        bench.data,
        bench.folder,
        journal,
        checkpoints,
        bench.bar,
        bench.reading,
        precision=plan.precision,
        fold=plan.fold,
        ranks=ranks,
    )
    return trainer, resumed


def note(bench: Bench, step: int, again: bool) -> None:
    """That the run begins or goes on, into its journal, with the counts of a partial corpus."""
    partial = {"partial": dict(bench.data.partial)} if bench.data.partial else {}
    command = list(bench.plan.command)
    bench.journal.event("resume" if again else "start", step, pid=os.getpid(), command=command, **partial)
