"""What follows a backward pass: s3prl's optimizer step, with clipping, schedule and fp16's loss scale."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from downstream_runs.core.records import Journal
from downstream_runs.engine import finite
from downstream_runs.engine.late import LateNumbers
from upstream_arm.common.errors import UsageError

SKIPPED_IN_A_ROW = 100
"""So many steps without a gradient, one after another, end a run: s3prl would go on to the last step. Weights
do not change in between, so the chance is small that other batches bring them back."""

SKIPPING = ("Adam", "AdamW")
"""torch's optimizers whose one kernel for all parameters leaves a step out where a number on the device says
so, as GradScaler has it. SGD's is not among them: it would begin with a momentum that was never written."""

DEVICE_OPTIONS = ("foreach", "fused", "capturable", "differentiable")
"""Options that say how an optimizer computes on its device, and not what."""

FEWEST_IN_A_ROW = 2
"""In a short training a tenth of its steps is as many, but not fewer than this."""


def most_in_a_row(steps: int) -> int:
    """How many steps of a training of so many may be skipped one after another, before it ends."""
    return min(SKIPPED_IN_A_ROW, max(FEWEST_IN_A_ROW, steps // 10))


class Optimization:
    """Changes the parameters of `modules` by their gradients, step by step.

    config: the recipe's blocks runner, optimizer and, where there is one, scheduler. scaled: whether the loss
    is scaled, as fp16 needs. skipped, skipped_in_a_row: steps that were left out, of all and of the newest.
    UsageError where s3prl cannot use the blocks.
    """

    def __init__(self, modules: Sequence[nn.Module], config: Mapping[str, Any], scaled: bool) -> None:
        self.parameters = [parameter for module in modules for parameter in module.parameters()]
        self.optimizer: Any = make_optimizer(modules, config)
        fused = self.optimizer.defaults.get("fused") and type(self.optimizer).__name__ in SKIPPING
        self._skips = fused and device_type(modules) != "cpu"
        self.scheduler = make_scheduler(self.optimizer, config)
        self.scaler = torch.amp.GradScaler(self.parameters[0].device.type, enabled=scaled)
        self.skipped = self.skipped_in_a_row = 0
        self._clip = config["runner"]["gradient_clipping"]
        self._most = most_in_a_row(config["runner"]["total_steps"])

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def step(self, journal: Journal, numbers: LateNumbers, step: int, names: list[str]) -> None:
        """Do step number `step` of the training, of these utterances; Diverged for a gradient to stop at.

        On a device nothing is waited for where the optimizer can leave the step out by itself: what was wrong
        with the gradient is told when `numbers` are read, and the weights are as if it had been told here.
        Source: s3prl 0.4.18, downstream/runner.py, `train`: a step whose gradient is NaN is left out.
        """
        self.scaler.unscale_(self.optimizer)
        norm = torch.nn.utils.clip_grad_norm_(self.parameters, self._clip)
        gradients = [one.grad for one in self.parameters if one.grad is not None]
        if self.scaler.is_enabled():
            self._scaled_step(journal, step, names, norm)
        elif self._skips:
            spoiled, one = norm.new_zeros(()), norm.new_ones(())
            torch._amp_foreach_non_finite_check_and_unscale_(gradients, spoiled, one)
            self.optimizer.found_inf = spoiled
            self.optimizer.step()
            told = functools.partial(self._told, journal, step, names)
            numbers.add(torch.stack([norm, spoiled]), lambda values: told(values[0], bool(values[1])))
        else:
            size = float(norm)
            bad = math.isinf(size) and not all(bool(one.isfinite().all()) for one in gradients)
            self._told(journal, step, names, size, bad)
            if not math.isnan(size):
                self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler is not None:
            self.scheduler.step()

    def _told(self, journal: Journal, step: int, names: list[str], norm: float, spoiled: bool) -> None:
        """Count a step that was left out; Diverged for one to stop at. spoiled: it has no finite gradient."""
        if not math.isnan(norm):
            self.skipped_in_a_row = 0
            # Where not the norm alone was too large for fp32, clipping has made NaN of what was infinite, and
            # s3prl would write that into the weights.
            if math.isinf(norm) and spoiled:
                raise finite.diverged(journal, step, "gradient", norm, names)
            return
        # The schedule goes on.
        self.skipped += 1
        self.skipped_in_a_row += 1
        journal.event("step_skipped", step, norm=str(norm), utterances=names)
        if self.skipped_in_a_row >= self._most:
            what = f"gradient of {self.skipped_in_a_row} steps one after another"
            raise finite.diverged(journal, step, what, norm, names)

    def _scaled_step(self, journal: Journal, step: int, names: list[str], norm: Tensor) -> None:
        """Skipped steps are normal while fp16 looks for its loss scale; without end they are divergence."""
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        scale = self.scaler.get_scale()
        if scale < before:
            journal.event("fp16_step_skipped", step, scale=scale)
            if scale < 1:
                raise finite.diverged(journal, step, "gradient", float(norm), names)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": [self.skipped, self.skipped_in_a_row],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        # How this device computes, whatever the checkpoint's did.
        defaults = self.optimizer.defaults
        own = {name: defaults[name] for name in DEVICE_OPTIONS if name in defaults}
        saved = state["optimizer"]
        groups = [{**group, **own} for group in saved["param_groups"]]
        self.optimizer.load_state_dict({**saved, "param_groups": groups})
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.skipped, self.skipped_in_a_row = state.get("skipped", (0, 0))  # earlier versions skipped none


def device_type(modules: Sequence[nn.Module]) -> str:
    """The type of the device that the modules' parameters are on."""
    return next((one.device.type for module in modules for one in module.parameters()), "cpu")


def make_optimizer(modules: Sequence[nn.Module], config: Mapping[str, Any]) -> torch.optim.Optimizer:
    """s3prl's optimizer over the modules' parameters; on a device in one kernel where torch has that."""
    from s3prl.optimizers import get_optimizer

    block = dict(config["optimizer"])
    skipping = block.get("name") == "TorchOptim" and block.get("torch_optim_name") in SKIPPING
    if skipping and device_type(modules) != "cpu" and not block.keys() & set(DEVICE_OPTIONS):
        block["fused"] = True
    try:
        optimizer: torch.optim.Optimizer = get_optimizer(
            list(modules), config["runner"]["total_steps"], block
        )
    except (TypeError, AttributeError, NameError, LookupError, ValueError) as error:
        raise UsageError(f"the optimizer block does not fit: {error}") from error
    closure = inspect.signature(optimizer.step).parameters.get("closure")
    if closure is not None and closure.default is inspect.Parameter.empty:
        raise UsageError(
            f"the optimizer {type(optimizer).__name__} computes the loss itself, which s3prl's runner "
            "does not offer: choose another, such as Adam"
        )
    return optimizer


def make_scheduler(optimizer: torch.optim.Optimizer, config: Mapping[str, Any]) -> Any | None:
    """s3prl's learning-rate scheduler, stepped per optimizer step, or None where the recipe has none."""
    from s3prl.schedulers import get_scheduler

    if not config.get("scheduler"):
        return None
    try:
        return get_scheduler(optimizer, config["runner"]["total_steps"], config["scheduler"])
    except (TypeError, NameError, LookupError, ValueError) as error:
        raise UsageError(f"the scheduler block does not fit: {error}") from error
