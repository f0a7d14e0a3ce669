"""Training, s3prl's step for step, made resumable.

The order of every random draw is that of s3prl 0.4.18's runner: seed, upstream, featurizer, downstream,
then per epoch the loader's two draws, then per batch SpecAugment and dropout; an evaluation seeds all again.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from downstream_runs.core.records import Journal
from downstream_runs.core.run_folder import kept_checkpoint
from downstream_runs.core.task import PreparedData, Selection, TaskSpec
from downstream_runs.engine import batches, finite
from downstream_runs.engine.evaluate import Bar, evaluate
from downstream_runs.engine.parallel import ALONE, Ranks
from downstream_runs.engine.parts import (
    Parts,
    ScalarLog,
    make_specaug,
    unreadable,
    utterance_names,
)
from downstream_runs.engine.state import Checkpoints, random_states, restore_random_states, write_tensors
from downstream_runs.engine.updates import Updates
from upstream_arm.common.errors import Diverged, RunFailed, UsageError

Records = dict[str, list[Any]]


class Trainer:
    """Trains one downstream; `train` returns when the last step is done and evaluated."""

    def __init__(
        self,
        parts: Parts,
        task: TaskSpec,
        config: Mapping[str, Any],
        data: PreparedData,
        folder: Path,
        journal: Journal,
        checkpoints: Checkpoints,
        bar: Bar,
        reading: batches.Reading,
        precision: str = "fp32",
        fold: str | None = None,
        ranks: Ranks = ALONE,
    ) -> None:
        import torch

        if task.train_split is None:
            raise ValueError(f"task {task.name} trains nothing")
        self.parts = parts
        self.ranks = ranks
        self.task = task
        self.split = task.train_split
        self.reading = reading
        self.fold = fold
        self.config = config
        self.data = data
        self.folder = folder
        self.journal = journal
        self.checkpoints = checkpoints
        self.bar = bar
        self.runner = config["runner"]
        self.step = 0
        self.epoch = 0
        self.batches_used = 0  # within the epoch
        self.backwards = 0
        self.records: Records = defaultdict(list)
        self.batch_ids: list[int] = []
        self.step_names: list[str] = []  # utterances whose gradients are in the coming step
        self.best: dict[str, Any] | None = None
        self.deviations: list[str] = []
        self.epoch_states: dict[str, Any] = {}
        self.total_batches = 0
        self._amp = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
        if self._amp is not None and parts.device.type != "cuda":
            raise UsageError(
                f"precision {precision} needs a CUDA device, this run is on {parts.device}; leave it out"
            )
        parts.train()
        self.trained = [*parts.featurizer.parameters(), *parts.downstream.parameters()]
        self.updates = Updates(parts, self.trained, config, scaled=precision == "fp16")
        self.specaug = make_specaug(config)
        self.wrapped = ranks.wrap(parts)  # for the passes whose gradients are used

    def train(self, resumed: Mapping[str, Any] | None) -> None:
        """Train to the last step, from the state `resumed` of `checkpoints.latest()` if there is one."""
        pending = self.begin(resumed)
        with self.bar(None, desc="train", total=self.total) as progress:
            progress.update(self.step)
            while self.step < self.total:
                for batch_id, batch in self.batches_of_epoch(pending):
                    self.one_batch(batch_id, batch, progress)
                    if self.step >= self.total:
                        break
                else:
                    self.epoch += 1
                pending = None

    @property
    def total(self) -> int:
        """The steps of the whole training."""
        total: int = self.runner["total_steps"]
        return total

    def begin(self, resumed: Mapping[str, Any] | None) -> Mapping[str, Any] | None:
        """Put back the state, which is returned for the epoch that it was taken in."""
        self._check_items(self.parts.loader(self.split, self.epoch))
        return None if resumed is None else self._restore(resumed)

    def follow(self, leader: Trainer) -> None:
        """Stand where another trainer does, whose batches this one is given."""
        self.epoch, self.batches_used = leader.epoch, leader.batches_used
        self.epoch_states, self.total_batches = leader.epoch_states, leader.total_batches

    # The epoch

    def batches_of_epoch(self, pending: Mapping[str, Any] | None) -> Iterator[tuple[int, Any]]:
        """The batches of an epoch; of a resumed one those that were not used yet, in the same order."""
        if pending is None:
            self.batches_used = 0
            self.epoch_states = random_states()
        else:
            restore_random_states(pending["epoch_states"])
        loader = self.ranks.deal(self.parts.loader(self.split, self.epoch), self.epoch)
        before = random_states()
        order = batches.draw(loader)
        if not order:
            raise UsageError(
                f"an epoch of {self.task.name} has no batch: {len(loader.dataset)} items are fewer than "
                "one batch; use a larger corpus or a smaller batch"
            )
        after = random_states() if pending is None else pending["random_states"]
        self.total_batches = len(order)
        part = batches.Part(loader, order, self.batches_used, before, after, self.split, self.epoch)
        rest = batches.read(part, self.reading, self.parts.memory(self.split))
        while True:
            try:
                batch = next(rest)
            except StopIteration:
                return
            except (RuntimeError, OSError, ValueError, AssertionError) as error:
                raise unreadable(self.split, self.step, error) from error
            self.batches_used += 1
            yield self.batches_used - 1, batch

    def _check_items(self, loader: Any) -> None:
        listed, used = self.data.utterances[self.split], self.task.used(loader.dataset)
        if used < listed:
            self._deviate(
                f"{listed - used} of {listed} training utterances are not used: s3prl drops a last batch "
                "of one, and utterances without a transcript"
            )

    # The step

    def one_batch(self, batch_id: int, batch: Any, progress: Any) -> None:
        wavs, *others = batch
        self.step_names += utterance_names(others)
        loss = self._backward_or_halves(wavs, others)
        self.batch_ids.append(batch_id)
        self.backwards += 1
        if self.backwards % self.runner["gradient_accumulate_steps"]:
            return
        self._update()
        self.step_names = []
        self.step += 1
        progress.update(1)
        progress.set_postfix(loss=f"{loss:.3f}", refresh=False)
        self._after_step()

    def _backward_or_halves(self, wavs: list[Any], others: list[Any]) -> float:
        """One forward and backward pass; a batch that does not fit in memory is done in two halves."""
        import torch

        try:
            return self._backward(wavs, others, share=1.0)
        except torch.OutOfMemoryError as error:
            one_pass = self.ranks.count == 1 and self.runner["gradient_accumulate_steps"] == 1
            if len(wavs) < 2 or not self.task.split_batches or not one_pass:
                raise RunFailed(
                    f"out of memory at step {self.step + 1} with {len(wavs)} utterances in the batch; "
                    "use a GPU with more memory or a smaller batch_size with more gradient_accumulate_steps"
                ) from error
        self.updates.optimizer.zero_grad()
        torch.cuda.empty_cache()
        self.journal.event("out_of_memory", self.step + 1, utterances=utterance_names(others))
        self._deviate("batches that did not fit in memory were computed in two halves")
        middle = len(wavs) // 2
        loss = 0.0
        for part in (slice(None, middle), slice(middle, None)):
            share = len(wavs[part]) / len(wavs)
            loss += self._backward_half(wavs[part], [field[part] for field in others], share)
        return loss

    def _backward_half(self, wavs: list[Any], others: list[Any], share: float) -> float:
        import torch

        try:
            return self._backward(wavs, others, share)
        except torch.OutOfMemoryError as error:
            raise RunFailed(
                f"out of memory at step {self.step + 1} even with half a batch, {len(wavs)} utterances; "
                "use a GPU with more memory or a smaller batch_size"
            ) from error

    def _backward(self, wavs: list[Any], others: list[Any], share: float) -> float:
        """Add `share` of the batch's gradient; returns that share of its loss."""
        import torch

        # Kept apart until the pass is over, so that a pass that is done again is not recorded twice.
        records: Records = defaultdict(list)
        with torch.autocast(self.parts.device.type, dtype=self._amp, enabled=self._amp is not None):
            features = self.wrapped.features(wavs)
            good = finite.all_finite(features)
            if self.specaug is not None:
                features, _ = self.specaug(features)
            loss = self.wrapped.downstream(self.split, features, *others, records=records)
        loss = loss / self.runner["gradient_accumulate_steps"]
        if share != 1.0:
            loss = loss * share
        value = float(loss.detach())
        # Only now, when the loss was waited for. CTC would hide it: its infinite losses count as 0.
        if not good:
            raise self._bad_features(wavs, utterance_names(others))
        if not math.isfinite(value):
            raise self._not_finite("loss", value, utterance_names(others))
        self.updates.scaler.scale(loss).backward()
        for key, items in records.items():
            self.records[key] += items
        return value

    def _update(self) -> None:
        self.updates.update(self.journal, self.step + 1, self.step_names, self._not_finite)

    def _bad_features(self, wavs: list[Any], names: list[str]) -> RunFailed:
        bad = finite.not_finite(self.parts.features(wavs))
        self.journal.event("not_finite", self.step + 1, what="features", utterances=names)
        named = [names[row] for row in bad] if len(names) == len(wavs) else names
        return finite.bad_features(named, self.split, self.step + 1)

    def _not_finite(self, what: str, value: float, names: list[str]) -> Diverged:
        self.journal.event("not_finite", self.step + 1, what=what, utterances=names)
        return Diverged(
            f"the {what} is {value} at step {self.step + 1} (utterances {finite.shown(names)}); "
            "check these files, or start again with --rerun always and a lower optimizer.lr"
        )

    # What follows a step

    def _after_step(self) -> None:
        runner, last = self.runner, self.step == self.total
        evaluated = self._is_evaluated()
        if self.ranks.leader:
            if self.step % runner["log_step"] == 0:
                self._log_training()
            if evaluated:
                for split in runner["eval_dataloaders"]:
                    self._evaluate(split)
            self._keep_checkpoint()
        else:
            self.batch_ids, self.records = [], defaultdict(list)
        if evaluated or last or self.step % runner["save_step"] == 0:
            self._save()

    def _is_evaluated(self) -> bool:
        """Where s3prl evaluates; a training that is too short for that, at its end, or it had no number."""
        every = self.runner["eval_step"]
        if self.total >= every or not self.runner["eval_dataloaders"]:
            return bool(self.step % every == 0)
        last: bool = self.step == self.total
        if last:
            self._deviate(
                f"evaluated at the last step, {self.total}; s3prl evaluates every {every} steps and would "
                "have had no checkpoint to test"
            )
        return last

    def _keep_checkpoint(self) -> None:
        """One of the evenly spaced checkpoints that a task's protocol chooses among."""
        if self.task.kept_checkpoints:
            every = max(self.runner["total_steps"] // self.task.kept_checkpoints, 1)
            if self.step % every == 0:
                self._write_trained(kept_checkpoint(self.step))

    def _write_trained(self, name: str) -> None:
        # s3prl's names, so that its own evaluate mode can read it with -i.
        content = {**self.parts.trained_state(), "Step": self.step, "Epoch": self.epoch}
        write_tensors(self.folder / name, content)

    def _log_training(self) -> None:
        import torch

        log = ScalarLog()
        with torch.no_grad():
            self.parts.downstream.log_records(
                self.split,
                records=self.records,
                logger=log,
                global_step=self.step,
                batch_ids=self.batch_ids,
                total_batch_num=self.total_batches,
            )
        self.batch_ids = []
        self.records = defaultdict(list)
        values = {"scalars": log.scalars, "learning_rate": self.updates.rate}
        self.journal.metric(self.split, self.step, values)

    def _evaluate(self, split: str) -> None:
        parts, data = self.parts, self.data
        found = evaluate(
            parts, self.task, data, split, self.step, self.folder, self.bar, self.reading, self.fold
        )
        scores = {
            score.metric: {"value": score.value, "counts": dict(score.counts)} for score in found.scores
        }
        values = {"scalars": found.scalars, "scores": scores, "layer_weights": self.parts.layer_weights()}
        self.journal.metric(split, self.step, values)
        rule = self.task.selection
        if rule is not None and split == rule.split and self._is_better(found.value(rule.metric), rule):
            self._keep_best(found.value(rule.metric), scores, rule)

    def _is_better(self, value: float, rule: Selection) -> bool:
        """The task's rule; of equal values the earlier stays."""
        if self.best is None:
            return True
        best: float = self.best["value"]
        return value < best if self.task.metric(rule.metric).better == "lower" else value > best

    def _keep_best(self, value: float, scores: dict[str, Any], rule: Selection) -> None:
        self.best = {"step": self.step, "value": value, "scores": scores}
        self._write_trained(rule.artefact)
        self.journal.event("best", self.step, metric=rule.metric, value=value)

    # The state

    def _deviate(self, sentence: str) -> None:
        if sentence not in self.deviations:
            self.deviations.append(sentence)

    def _save(self) -> None:
        states = {"epoch_states": self.epoch_states, "random_states": random_states()}
        everyone = self.ranks.gather(states)
        if not self.ranks.leader:
            return
        state = {
            **states,
            **everyone,
            "epoch": self.epoch,
            "batches_used": self.batches_used,
            "backwards": self.backwards,
            "trained": self.parts.trained_state(),
            **self.updates.state(),
            "records": {key: [_plain(item) for item in items] for key, items in self.records.items()},
            "batch_ids": self.batch_ids,
            "best": self.best,
            "deviations": self.deviations,
            "device": self.parts.device.type,
            "upstream_sha256": self.parts.upstream_sha256,
        }
        path = self.checkpoints.save(self.step, state)
        self.journal.event("checkpoint", self.step, file=path.name)

    def _restore(self, state: Mapping[str, Any]) -> Mapping[str, Any]:
        if state["upstream_sha256"] != self.parts.upstream_sha256:
            raise UsageError(
                f"the upstream has other weights than when the run in {self.folder} began, and two are never "
                "mixed; use --rerun always to discard the run, or another --out"
            )
        state = self.ranks.own(state)
        self.step = state["step"]
        self.epoch = state["epoch"]
        self.batches_used = state["batches_used"]
        self.backwards = state["backwards"]
        self.epoch_states = state["epoch_states"]
        self.parts.load_trained_state(state["trained"])
        self.updates.restore(state)
        self.records = defaultdict(list, state["records"])
        self.batch_ids = list(state["batch_ids"])
        self.best = state["best"]
        for sentence in state["deviations"]:
            self._deviate(sentence)
        if state["device"] != self.parts.device.type:
            self._deviate(f"begun on {state['device']} and continued on {self.parts.device.type}")
        return state


def _plain(item: Any) -> Any:
    """A record in a type that torch.load(weights_only=True) reads: numpy's scalars and tensors as numbers."""
    return item.item() if hasattr(item, "item") else item
