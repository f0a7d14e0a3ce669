"""One side of `pipeline.py` in a process of its own: runs a command and times its optimizer steps.

`python _child.py ORDERS REPLIES SIDE UPSTREAM ARGUMENT...` reads a number of steps from the descriptor
ORDERS, lets the command do so many, writes what they took as a line of JSON to REPLIES, and waits for the
next number. At the end of the orders the command is stopped. So two commands can take turns, and nothing
before the first step (imports, model, extraction) nor after the last (evaluation, checkpoints) is timed.

No code of a side is changed: torch's hooks tell when an optimizer has stepped and when the upstream runs.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

SAMPLE_RATE = 16_000


class Clock:
    """Seconds of optimizer steps and, within them, of the upstream's forward passes."""

    def __init__(self, orders: int, replies: int) -> None:
        self._orders = os.fdopen(orders, "r", encoding="utf-8")
        self._replies = os.fdopen(replies, "w", encoding="utf-8")
        self._left = 0
        self._steps: list[float] = []
        self._built = self._since = self._entered = time.perf_counter()
        self._waited = 0.0
        self._upstream = {"seconds": 0.0, "audio": 0.0, "utterances": 0, "calls": 0}
        self._shape: dict[str, int] = {}

    def install(self, upstream: str) -> None:
        """Hook into every optimizer and into the upstream of that name, however a command builds it."""
        from torch.optim.optimizer import register_optimizer_step_post_hook

        from downstream_runs import bridge

        bridge.apply()
        import s3prl.hub as hub

        original = getattr(hub, upstream)

        def entry(*args: Any, **kwargs: Any) -> Any:
            model = original(*args, **kwargs)
            model.register_forward_pre_hook(self._enter)
            model.register_forward_hook(self._leave)
            self._built = self._since = self._now()
            return model

        setattr(hub, upstream, entry)
        register_optimizer_step_post_hook(self._stepped)
        self._left = self._order()
        self._waited = 0.0

    def end(self) -> None:
        """The last reply: what was measured since the one before."""
        self._reply()
        self._replies.close()

    def _stepped(self, *_: Any) -> None:
        self._steps.append(self._now() - self._since)
        self._left -= 1
        if self._left <= 0:
            self._reply()
            self._left = self._order()
        self._since = self._now()

    def _enter(self, *_: Any) -> None:
        self._entered = self._now()

    def _leave(self, model: Any, inputs: tuple[Any, ...], output: Any) -> None:
        found = self._upstream
        found["seconds"] += self._now() - self._entered
        found["audio"] += sum(len(wav) for wav in inputs[0]) / SAMPLE_RATE
        found["utterances"] += len(inputs[0])
        found["calls"] += 1
        states = output["hidden_states"]
        self._shape = {"layers": len(states), "features": states[0].shape[-1]}

    def _reply(self) -> None:
        peak = max(
            resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        )
        line = {
            "steps": self._steps,
            "upstream": dict(self._upstream),
            "shape": self._shape,
            "since_built": self._now() - self._built - self._waited,
            "peak_bytes": peak * 1024,
            "gpu_bytes": _gpu_peak(),
        }
        self._replies.write(json.dumps(line) + "\n")
        self._replies.flush()
        self._steps = []
        self._upstream = dict.fromkeys(self._upstream, 0)

    def _order(self) -> int:
        began = time.perf_counter()
        line = self._orders.readline()
        self._waited += time.perf_counter() - began
        if not line:
            raise SystemExit(0)
        return int(line)

    def _now(self) -> float:
        torch = sys.modules.get("torch")
        if torch is not None and torch.cuda.is_initialized():
            torch.cuda.synchronize()
        return time.perf_counter()


def _gpu_peak() -> int:
    import torch

    return torch.cuda.max_memory_allocated() if torch.cuda.is_initialized() else 0


def main(orders: str, replies: str, side: str, upstream: str, *arguments: str) -> int:
    """Run the command of `side` (stock, ours or floor) with the clock installed."""
    clock = Clock(int(orders), int(replies))
    try:
        clock.install(upstream)
        if side == "stock":
            from downstream_runs.bridge.command import main as stock

            return stock(["run_downstream.py", *arguments])
        if side == "floor":
            from _floor import main as floor

            return floor(*arguments)
        from downstream_runs.cli.main import main as ours

        return ours(list(arguments))
    finally:
        clock.end()


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
