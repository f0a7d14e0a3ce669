"""Runs that differ in their learning rate alone, trained side by side in one process.

For tasks whose features are stored as means: their heads draw no random numbers, so that every run has the
batches, and in the end the files, that it has when it is trained alone. The upstream is loaded once, each
item's features are computed once, and each batch is put together once.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from downstream_runs.core.generators import random_states, restore_random_states
from downstream_runs.engine import session, training
from downstream_runs.engine.bench import Bench
from downstream_runs.engine.plan import RunPlan
from upstream_arm.common.errors import Diverged, RunFailed, UsageError

if TYPE_CHECKING:
    from downstream_runs.engine.loop import Trainer

Ended = Callable[[RunPlan, Exception | None], None]
State = dict[str, Any] | None


def run(plans: Sequence[RunPlan], *, rerun: str, ended: Ended) -> None:
    """Do what is missing of runs that differ in `optimizer.lr` alone, telling of each how it ended.

    One whose training diverges does not stop the others. Where features are not stored as
    means, or a run has several devices, the runs are made one after another.
    """
    left = []
    with session.sigterm_as_exit(), contextlib.ExitStack() as stack:
        works = []
        for plan in plans:
            try:
                work = stack.enter_context(session.opened(plan, rerun))
            except (UsageError, RunFailed) as error:
                ended(plan, error)
                continue
            if work.result is None:
                works.append(work)
            else:
                ended(plan, None)
        left = _train_and_test(works, ended)
    for plan in left:
        try:
            # What was there is gone by now if it was to be discarded.
            session.run(plan, rerun="missing" if rerun == "always" else rerun)
        except (UsageError, RunFailed) as error:
            ended(plan, error)
        else:
            ended(plan, None)


def _train_and_test(works: Sequence[session.Work], ended: Ended) -> list[RunPlan]:
    """Write the results; returns the plans that cannot be trained together."""
    if len(works) < 2 or works[0].plan.devices > 1:
        return [work.plan for work in works]
    terminal = sys.stderr
    with session.logged(works[0].folder), session.memory_errors():
        benches: list[Bench] = []
        for work in works:
            bench = session.build(work, terminal)
            if not bench.parts.pooled:
                return [work.plan for work in works]
            if benches:
                bench.parts.upstream, bench.parts.source = benches[0].parts.upstream, benches[0].parts.source
            benches.append(bench)
        print("trained together:", *(work.folder for work in works), file=sys.stderr)
        for bench in _trained(benches, terminal, ended):
            session.conclude(bench)
            ended(bench.plan, None)
    return []


def _trained(benches: Sequence[Bench], terminal: Any, ended: Ended) -> Iterator[Bench]:
    """The runs whose training came to its end. Those that a kill left at another step are trained apart."""
    begun = []
    for bench in benches:
        states = random_states()
        trainer, resumed = training.begin(bench, lambda message: print(message, file=terminal))
        restore_random_states(states)
        begun.append((bench, trainer, resumed))

    def step(one: tuple[Bench, Trainer, State]) -> int:
        return 0 if one[2] is None else int(one[2]["step"])

    for _, found in groupby(sorted(begun, key=step), key=step):
        members = list(found)
        group = _Group([(trainer, resumed) for _, trainer, resumed in members])
        group.train()
        for bench, trainer, _ in members:
            if trainer in group.lost:
                ended(bench.plan, group.lost[trainer])
            else:
                training.end(bench, trainer)
                yield bench


class _Group:
    """Trainers at one step; the first of them reads for all, also when its own training has stopped."""

    def __init__(self, begun: Sequence[tuple[Trainer, State]]) -> None:
        self.lost: dict[Trainer, Exception] = {}
        self._begun = begun
        self._leader = begun[0][0]

    def train(self) -> None:
        """Train to the last step, or until all have stopped."""
        pending = self._begin()
        leader = self._leader
        done, total = leader.step, leader.total
        with leader.bar(None, desc=f"train {len(self._begun)} rates", total=total) as progress:
            progress.update(done)
            while done < total and self._active():
                for batch_id, batch in leader.batches_of_epoch(pending):
                    self._one_batch(batch_id, batch)
                    now = max((trainer.step for trainer in self._active()), default=done)
                    progress.update(now - done)
                    done = now
                    if done >= total or not self._active():
                        break
                else:
                    leader.epoch += 1
                pending = None

    def _begin(self) -> Any:
        """Put all states back; the leader's goes last, as its random states are those of the epoch."""
        pending = None
        for trainer, resumed in reversed(self._begun):
            states = random_states()
            pending = trainer.begin(resumed)
            if trainer is not self._leader:
                restore_random_states(states)
        return pending

    def _active(self) -> list[Trainer]:
        return [trainer for trainer, _ in self._begun if trainer not in self.lost]

    def _one_batch(self, batch_id: int, batch: Any) -> None:
        whole = tuple(batch)  # s3prl's may be an iterator, good for one
        for trainer in self._active():
            trainer.follow(self._leader)
            try:
                trainer.one_batch(batch_id, whole, _Silent())
            except Diverged as error:
                self.lost[trainer] = error


class _Silent:
    """The progress of one of several."""

    def update(self, number: int) -> None:
        """Shown by the group."""

    def set_postfix(self, **shown: Any) -> None:
        """Shown for none of them."""
