"""Training, s3prl's step for step, made resumable.

The order of every random draw is that of s3prl 0.4.18's runner: seed, upstream, featurizer, downstream,
then per epoch the loader's two draws, then per batch SpecAugment and dropout; an evaluation seeds all again.
"""

from __future__ import annotations

import functools
import math
import os
from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import torch

from downstream_runs.core.generators import random_states, restore_random_states
from downstream_runs.core.run_folder import RunFolder, kept_checkpoint
from downstream_runs.engine import batches, features_first, finite
from downstream_runs.engine.batches import utterance_names
from downstream_runs.engine.checkpoints import Checkpoints, write_tensors
from downstream_runs.engine.components import make_specaug
from downstream_runs.engine.distributed import ALONE, DistributedContext
from downstream_runs.engine.late import LateNumbers
from downstream_runs.engine.optimization import Optimization
from downstream_runs.engine.partial_evaluation import plain
from downstream_runs.engine.trained_run import TrainedRun
from upstream_arm import listings
from upstream_arm.common import devices
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.stages import stage


def train(run: TrainedRun, context: DistributedContext = ALONE) -> None:
    """Train to the last step, from the newest good checkpoint if there is one; `run` has what came of it.

    Killed at any moment, it goes on to the same weights and numbers. RunFailed, Diverged or UsageError.
    """
    checkpoints = Checkpoints(RunFolder(run.folder), functools.partial(_note_damage, run))
    # The state to go on from, with checkpoints and journals cut back to it.
    state: Mapping[str, Any] | None = context.broadcast(checkpoints.latest())
    step = 0 if state is None else state["step"]
    checkpoints.drop_after(step)
    run.journal.rewind(step)
    note_session(run, step, state is not None)
    trainer = Trainer(run, context)
    with stage(f"loading the {trainer.split} set", run.terminal):
        resumed = trainer.begin(state)
    features_first.store(run, trainer.cast, context.leader, trained=trainer.step == trainer.total)
    listings.forget()  # all that trains has its files
    runner, total = run.config["runner"], trainer.total
    with run.bar(None, desc="train", total=total, initial=trainer.step) as progress:
        while trainer.step < total:
            for number, (wavs, *others) in trainer.batches_of_epoch(resumed):
                trainer.backward(wavs, others)
                trainer.batch_ids.append(number)
                trainer.backwards += 1
                if trainer.backwards % runner["gradient_accumulate_steps"]:
                    continue
                trainer.update()
                progress.update(1)
                evaluated = trainer.is_evaluated()
                saved = evaluated or trainer.step == total or trainer.step % runner["save_step"] == 0
                logged = trainer.step % runner["log_step"] == 0
                trainer.tell(progress, written=saved or logged)
                if context.leader:
                    if logged:
                        trainer.log()
                    for split in runner["eval_dataloaders"] if evaluated else ():
                        trainer.evaluate(split)
                    trainer.keep_checkpoint()
                else:
                    trainer.forget_records()
                if saved:
                    trainer.save(checkpoints)
                if trainer.step == total:
                    break
            else:
                trainer.epoch += 1
            resumed = None
    run.steps, run.best, run.skipped = trainer.step, trainer.best, trainer.optimization.skipped
    run.deviations += trainer.deviations


def _note_damage(run: TrainedRun, message: str) -> None:
    print(message, file=run.terminal)
    run.journal.event("damaged_checkpoint", 0, message=message)


def note_session(run: TrainedRun, step: int, again: bool) -> None:
    """That the run begins or goes on, into its journal, with the counts of a partial corpus."""
    partial = {"partial": dict(run.data.partial)} if run.data.partial else {}
    command = list(run.plan.command)
    run.journal.event("resume" if again else "start", step, pid=os.getpid(), command=command, **partial)


class Trainer:
    """The state of one training: weights, optimizer, and where in which epoch it is.

    step: optimizer steps done. batches_used: within the epoch. backwards: backward passes done. records,
    batch_ids: what s3prl's experts collect between two log lines. step_names: the utterances whose gradients
    are in the coming step. best: step, value and scores of the checkpoint that is selected up to now.
    numbers: of the steps since they were read last. loss: of the newest batch that was read, for the bar.
    """

    def __init__(self, run: TrainedRun, context: DistributedContext) -> None:
        plan, components = run.plan, run.components
        if plan.task.train_split is None:
            raise ValueError(f"task {plan.task.name} trains nothing")
        self.run, self.task, self.components, self.context = run, plan.task, components, context
        self.split: str = plan.task.train_split
        self.total: int = run.config["runner"]["total_steps"]
        self.accumulated: int = run.config["runner"]["gradient_accumulate_steps"]
        self.step = self.epoch = self.batches_used = self.backwards = self.total_batches = 0
        self.forget_records()
        self.step_names: list[str] = []
        self.best: dict[str, Any] | None = None
        self.numbers = LateNumbers()
        self.loss: float | None = None
        self.deviations: list[str] = []
        self.epoch_states: dict[str, Any] = {}
        self.cast = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[plan.precision]
        if self.cast is not None and not devices.casts(components.device, self.cast):
            raise UsageError(
                f"torch computes nothing in {plan.precision} on {components.device}, which this run is on; "
                "leave --precision out"
            )
        components.train()
        modules = [components.featurizer, components.downstream]
        self.optimization = Optimization(modules, run.config, scaled=plan.precision == "fp16")
        self.specaug = make_specaug(run.config)
        self.wrapped = context.wrap(components)  # for the passes whose gradients are used

    def begin(self, state: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Put a checkpoint's state back, which is returned for the epoch that it was made in."""
        loader = self.components.loader(self.split, self.epoch)
        listed, used = self.run.data.utterances[self.split], self.task.used(loader.dataset)
        if used < listed:
            self._deviate(
                f"{listed - used} of {listed} training utterances are not used: s3prl drops a last batch "
                "of one, and utterances without a transcript"
            )
        return None if state is None else self._restore(state)

    def batches_of_epoch(self, resumed: Mapping[str, Any] | None) -> Iterator[tuple[int, Any]]:
        """The batches of an epoch; of a resumed one those that were not used yet, in the same order."""
        if resumed is None:
            self.batches_used = 0
            self.epoch_states = random_states()
        else:
            restore_random_states(resumed["epoch_states"])
        loader = self.components.loader(self.split, self.epoch)
        self.context.set_epoch(loader, self.epoch)
        before = random_states()
        order = batches.draw(loader)
        if not order:
            raise UsageError(
                f"an epoch of {self.task.name} has no batch: {len(loader.dataset)} items are fewer than "
                "one batch; use a larger corpus or a smaller batch"
            )
        after = random_states() if resumed is None else resumed["random_states"]
        self.total_batches = len(order)
        rest = batches.BatchOrder(loader, order, self.batches_used, before, after, self.split, self.epoch)
        read = batches.read(rest, self.run.reading, self.components.items(self.split))
        for batch in batches.readable(read, self.split, lambda: self.step):
            self.batches_used += 1
            yield self.batches_used - 1, batch

    # The step

    def backward(self, wavs: list[Any], others: list[Any]) -> None:
        """One forward and backward pass; a batch that does not fit in memory is done in two halves."""
        names = utterance_names(others)
        self.step_names += names
        try:
            self._backward(wavs, others)
            return
        except torch.OutOfMemoryError as error:
            one_pass = self.context.count == 1 and self.accumulated == 1
            if len(wavs) < 2 or not self.task.split_batches or not one_pass:
                raise RunFailed(
                    f"out of memory at step {self.step + 1} with {len(wavs)} utterances in the batch; "
                    "use a GPU with more memory or a smaller batch_size with more gradient_accumulate_steps"
                ) from error
        self.optimization.optimizer.zero_grad()
        devices.empty_cache(self.components.device)
        self.run.journal.event("out_of_memory", self.step + 1, utterances=names)
        self._deviate("batches that did not fit in memory were computed in two halves")
        middle = len(wavs) // 2
        try:
            for half in (slice(None, middle), slice(middle, None)):
                self._backward(wavs[half], [field[half] for field in others], len(wavs[half]) / len(wavs))
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"out of memory at step {self.step + 1} even with half of {len(wavs)} utterances; use a GPU "
                "with more memory or a smaller batch_size"
            ) from error

    def _backward(self, wavs: list[Any], others: list[Any], share: float = 1.0) -> None:
        """Add `share` of the batch's gradient."""
        # Kept apart until the pass is over, so that a pass that is done again is not recorded twice.
        records: dict[str, list[Any]] = defaultdict(list)
        names, step = utterance_names(others), self.step + 1
        with torch.autocast(self.components.device.type, dtype=self.cast, enabled=self.cast is not None):
            features = self.wrapped.features(wavs)
            # CTC would hide them: its infinite losses count as 0.
            refuse = functools.partial(self._bad_features, names, len(wavs), step)
            finite.check(self.numbers, features, refuse)
            if self.specaug is not None:
                features, _ = self.specaug(features)
            loss = self.wrapped.downstream(self.split, features, *others, records=records)
        if self.accumulated != 1:
            loss = loss / self.accumulated
        if share != 1.0:
            loss = loss * share
        self.numbers.add(loss, lambda values: self._note_loss(names, step, *values))
        self.optimization.scaler.scale(loss).backward()
        for key, items in records.items():
            self.records[key] += items

    def _bad_features(self, names: list[str], count: int, step: int, bad: list[int]) -> None:
        self.run.journal.event("not_finite", step, what="features", utterances=names)
        raise finite.bad_features(
            [names[row] for row in bad] if len(names) == count else names, self.split, step
        )

    def _note_loss(self, names: list[str], step: int, value: float) -> None:
        self.loss = value
        if not math.isfinite(value):
            raise finite.diverged(self.run.journal, step, "loss", value, names)

    def update(self) -> None:
        """Change the weights by the gradients that were added up."""
        self.optimization.step(self.run.journal, self.numbers, self.step + 1, self.step_names)
        self.step_names = []
        self.step += 1

    # What follows a step

    def tell(self, progress: Any, written: bool) -> None:
        """Read the numbers of steps before anything of them is written, and show the loss that is known."""
        if written or self.is_kept():
            self.numbers.read()
        if self.loss is not None:
            progress.set_postfix(loss=f"{self.loss:.3f}", refresh=False)

    def is_evaluated(self) -> bool:
        """Where s3prl evaluates; a training that is too short for that, at its end, or it had no number."""
        runner = self.run.config["runner"]
        every = runner["eval_step"]
        if self.total >= every or not runner["eval_dataloaders"]:
            return bool(self.step % every == 0)
        if self.step < self.total:
            return False
        self._deviate(
            f"evaluated at the last step, {self.total}; s3prl evaluates every {every} steps and would "
            "have had no checkpoint to test"
        )
        return True

    def log(self) -> None:
        """Have s3prl's expert log what it recorded since the last time."""
        scalars = self.components.log_records(
            self.split, self.records, self.step, self.batch_ids, self.total_batches
        )
        self.forget_records()
        values = {"scalars": scalars, "learning_rate": self.optimization.rate}
        self.run.journal.metric(self.split, self.step, values)

    def forget_records(self) -> None:
        """Begin to collect records anew."""
        self.records: dict[str, list[Any]] = defaultdict(list)
        self.batch_ids: list[int] = []

    def evaluate(self, split: str) -> None:
        """Evaluate `split`, and keep the weights if they are the best up to now by the task's rule."""
        found = self.run.evaluate(split, self.step)
        scores = {
            score.metric: {"value": score.value, "counts": dict(score.counts)} for score in found.scores
        }
        values = {
            "scalars": found.scalars,
            "scores": scores,
            "layer_weights": self.components.layer_weights(),
        }
        self.run.journal.metric(split, self.step, values)
        rule = self.task.selection
        if rule is None or split != rule.split:
            return
        value, sign = found.value(rule.metric), 1 if self.task.metric(rule.metric).better == "higher" else -1
        if self.best is None or sign * value > sign * self.best["value"]:  # of equal values the earlier stays
            self.best = {"step": self.step, "value": value, "scores": scores}
            self._write_weights(rule.artefact)
            self.run.journal.event("best", self.step, metric=rule.metric, value=value)

    def is_kept(self) -> bool:
        """Whether this is one of the evenly spaced steps whose weights a task's protocol chooses among."""
        kept = self.task.kept_checkpoints
        return bool(kept) and self.step % max(self.total // kept, 1) == 0

    def keep_checkpoint(self) -> None:
        """Keep the weights if they are one of those."""
        if self.is_kept():
            self._write_weights(kept_checkpoint(self.step))

    def _write_weights(self, name: str) -> None:
        # s3prl's names, so that its own evaluate mode can read it with -i.
        content = {**self.components.trained_state(), "Step": self.step, "Epoch": self.epoch}
        write_tensors(self.run.folder / name, content)

    def _deviate(self, sentence: str) -> None:
        if sentence not in self.deviations:
            self.deviations.append(sentence)

    # The state

    def save(self, checkpoints: Checkpoints) -> None:
        """Write a checkpoint to go on from; all workers call it, the leader writes."""
        states = {"epoch_states": self.epoch_states, "random_states": random_states()}
        everyone = self.context.gather(states)
        if not self.context.leader:
            return
        state = {
            **states,
            **everyone,
            "epoch": self.epoch,
            "batches_used": self.batches_used,
            "backwards": self.backwards,
            "trained": self.components.trained_state(),
            **self.optimization.state(),
            "records": plain(self.records),
            "batch_ids": self.batch_ids,
            "best": self.best,
            "deviations": self.deviations,
            "device": self.components.device.type,
            "upstream_sha256": self.components.upstream_sha256,
        }
        path = checkpoints.save(self.step, state)
        self.run.journal.event("checkpoint", self.step, file=path.name)
        RunFolder(self.run.folder).forget_evaluations()

    def _restore(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        if state["upstream_sha256"] != self.components.upstream_sha256:
            raise UsageError(
                f"the upstream has other weights than when the run in {self.run.folder} began, and two are "
                "never mixed; use --rerun always to discard the run, or another --out"
            )
        state = self.context.own_state(state)
        for name in ("step", "epoch", "batches_used", "backwards", "epoch_states", "best"):
            setattr(self, name, state[name])
        self.components.load_trained_state(state["trained"])
        self.optimization.restore(state)
        self.records = defaultdict(list, state["records"])
        self.batch_ids = list(state["batch_ids"])
        for sentence in state["deviations"]:
            self._deviate(sentence)
        if state["device"] != self.components.device.type:
            self._deviate(f"begun on {state['device']} and continued on {self.components.device.type}")
        return state
