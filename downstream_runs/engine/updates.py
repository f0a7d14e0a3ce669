"""What follows a backward pass: s3prl's optimizer step, with clipping, schedule and fp16's loss scale."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from downstream_runs.core.records import Journal
from downstream_runs.engine import finite
from downstream_runs.engine.parts import Parts, make_optimizer, make_scheduler
from upstream_arm.common.errors import Diverged

if TYPE_CHECKING:
    from torch import nn

NotFinite = Callable[[str, float, list[str]], Diverged]


class Updates:
    """Changes the parameters `trained` of a run's parts by their gradients, step by step."""

    def __init__(
        self, parts: Parts, trained: Sequence[nn.Parameter], config: Mapping[str, Any], scaled: bool
    ) -> None:
        """scaled: the loss is scaled, as fp16 needs."""
        import torch

        self.skipped = finite.Skipped()
        self.optimizer = make_optimizer(parts, config)
        self.scheduler = make_scheduler(self.optimizer, config)
        self.scaler = torch.amp.GradScaler(enabled=scaled)
        self._trained = trained
        self._clip = config["runner"]["gradient_clipping"]
        self._most = finite.most_in_a_row(config["runner"]["total_steps"])

    @property
    def rate(self) -> float:
        """The learning rate of the next step."""
        rate: float = self.optimizer.param_groups[0]["lr"]
        return rate

    def update(self, journal: Journal, step: int, names: list[str], not_finite: NotFinite) -> None:
        """Do step number `step`, of these utterances; raises what `not_finite` makes of a bad gradient."""
        import torch

        self.scaler.unscale_(self.optimizer)
        norm = float(torch.nn.utils.clip_grad_norm_(self._trained, self._clip))
        if self.scaler.is_enabled():
            if self._skips_scaled() and self._gives_up(journal, step):
                raise not_finite("gradient", norm, names)
        elif math.isnan(norm):
            # As s3prl does. The schedule goes on.
            self.skipped.count(True)
            journal.event("step_skipped", step, norm=str(norm), utterances=names)
            if self.skipped.in_a_row >= self._most:
                raise not_finite(f"gradient of {self.skipped.in_a_row} steps one after another", norm, names)
        else:
            self.skipped.count(False)
            # Where not the norm alone was too large for fp32, clipping has made NaN of what was infinite, and
            # s3prl would write that into the weights.
            if math.isinf(norm) and finite.not_finite(
                [one.grad for one in self._trained if one.grad is not None]
            ):
                raise not_finite("gradient", norm, names)
            self.optimizer.step()
        self.optimizer.zero_grad()
        if self.scheduler is not None:
            self.scheduler.step()

    def _skips_scaled(self) -> bool:
        before = self.scaler.get_scale()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return bool(self.scaler.get_scale() < before)

    def _gives_up(self, journal: Journal, step: int) -> bool:
        """Skipped steps are normal while fp16 looks for its loss scale; without end they are divergence."""
        journal.event("fp16_step_skipped", step, scale=self.scaler.get_scale())
        return bool(self.scaler.get_scale() < 1)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "optimizer": self.optimizer.state_dict(),
            "scheduler": None if self.scheduler is None else self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "skipped": [self.skipped.total, self.skipped.in_a_row],
        }

    def restore(self, state: Mapping[str, Any]) -> None:
        """Put back what `state` gave."""
        self.optimizer.load_state_dict(state["optimizer"])
        if self.scheduler is not None:
            self.scheduler.load_state_dict(state["scheduler"])
        self.scaler.load_state_dict(state["scaler"])
        self.skipped = finite.Skipped(*state.get("skipped", ()))  # earlier versions skipped none
