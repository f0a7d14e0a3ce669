"""The floor of a training step: the head alone, with summed features of the right shapes ready in memory.

`main(TASK, RECIPE, UPSTREAM, FOLDER, DEVICE)` builds s3prl's parts in s3prl's order and from its seed, so
that the batches are those of a run, and trains the head until it is stopped: forward, loss, backward, clip
and optimizer. There is no upstream, no weighted sum, no SpecAugment, no reading of audio or features.
"""

from __future__ import annotations

from pathlib import Path


def main(task: str, recipe: str, upstream: str, place: str, device: str) -> int:
    """Train for ever; the caller's clock ends it."""
    import s3prl.hub as hub
    import torch

    from downstream_runs import tasks
    from downstream_runs.engine.optimization import make_optimizer
    from downstream_runs.estimate import heads

    torch.manual_seed(heads.SEED)
    model = getattr(hub, upstream)().to(device).eval()
    target = torch.device(device)
    head = heads.build(tasks.get(task), recipe, model, target, Path(place))
    head.specaug = None
    head.optimizer = make_optimizer([head.parts.downstream], head.config)
    rate, width = model.get_downsample_rates("hidden_states"), head.parts.downstream.upstream_dim
    batches = head.batches()
    longest = max(len(wav) for wavs, _ in (next(batches) for _ in range(heads.BATCHES_KEPT)) for wav in wavs)
    ready = torch.randn(longest // rate + 2, width, device=target)
    for index in range(10**12):
        wavs, others = next(batches)
        head.backward([ready[: round(len(wav) / rate)] for wav in wavs], others)
        if (index + 1) % head.accumulate == 0:
            head.update()
    return 0
