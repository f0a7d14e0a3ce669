"""Whether and where a run stores its upstream's features, and what came of it."""

from __future__ import annotations

import dataclasses

from downstream_runs.engine.bench import Bench
from downstream_runs.engine.plan import file_identity


def store_features(bench: Bench) -> None:
    """Put a store before the upstream, if the plan asks for one and the task trains."""
    from downstream_runs.features import settings, weighting
    from downstream_runs.features.source import Source
    from downstream_runs.features.store import Store

    plan, upstream = bench.plan, bench.parts.upstream
    batch_free = settings.is_batch_free(upstream)
    if plan.task.train_split is None:
        return
    few = bench.data.utterances[plan.task.train_split]
    # Another head than the recipe's may have a non-linearity or attention before its mean.
    same_head = not any(key.startswith("downstream_expert.modelrc") for key in plan.overrides)
    choice = settings.choose(plan.features, plan.task.pooled and same_head, batch_free, few)
    if not plan.task.random_items:
        choice = dataclasses.replace(choice, crops=None)
    if choice.mode == "off":
        return
    switches = getattr(upstream, "switches", None) or {}
    files = [file_identity(plan.ckpt), file_identity(plan.model_config)]
    identity = settings.identity(plan.upstream, files, bench.parts.upstream_sha256, switches)
    cache = plan.cache or plan.out / "cache"
    folder = settings.folder(cache, identity) / f"{choice.kind}-{choice.precision}"
    if choice.mode == "disk":
        store = Store(folder, plan.features.limit, settings.held_bytes() if choice.kind == "pooled" else 0)
    else:
        store = Store(None, plan.features.limit or settings.MEMORY_BYTES)
    rate = bench.parts.featurizer.downsample_rate
    bench.parts.source = Source(upstream, identity, choice, store, rate, plan.task.random_items)
    weighting.take_over(bench.parts.featurizer)
    bench.config = {**bench.config, "features": {"kind": choice.kind, "precision": choice.precision}}
    bench.deviations += settings.deviations(choice, batch_free)


def say_stored(bench: Bench) -> None:
    """What was stored and used again, into the run's journal."""
    if bench.parts.source is not None:
        store = bench.parts.source.store
        bench.journal.event(
            "features",
            bench.steps,
            folder=None if store.folder is None else str(store.folder),
            used_again=store.hits,
            computed=store.misses,
            stored=store.written,
            bytes=store.bytes,
            full=store.full,
        )
