"""Whether and where a run stores its upstream's features, and what came of it."""

from __future__ import annotations

import dataclasses
import sys
from typing import TYPE_CHECKING

from downstream_runs.core import records
from downstream_runs.core.run_folder import CACHE, EVENTS
from downstream_runs.engine.bench import Bench
from downstream_runs.engine.plan import file_identity

if TYPE_CHECKING:
    from downstream_runs.features.settings import Choice
    from downstream_runs.features.store import Store

WIDENED = "features_in_fp32"
"""The event of frames that the precision of the store does not hold."""


def store_features(bench: Bench) -> None:
    """Put a store before the upstream, if the plan asks for one and the task trains."""
    from downstream_runs.features import provenance, settings, weighting
    from downstream_runs.features.source import Source

    plan, upstream = bench.plan, bench.parts.upstream
    if plan.task.train_split is None:
        return
    choice = _choice(bench)
    if choice.mode == "off":
        return
    try:
        code = provenance.identity(upstream.module, _entry(plan.upstream))
    except provenance.Unknown as error:
        code = "unknown"
        kept = "not stored" if plan.features.mode == "auto" else "kept in this process's memory only"
        _tell(f"features of {plan.upstream} are {kept}: what computes them cannot be told ({error})")
        if plan.features.mode == "auto":
            return
        choice = dataclasses.replace(choice, mode="memory")
    switches = getattr(upstream, "switches", None) or {}
    files = [file_identity(plan.ckpt), file_identity(plan.model_config)]
    identity = settings.identity(plan.upstream, files, bench.parts.upstream_sha256, switches, code)
    rate = bench.parts.featurizer.downsample_rate
    source = Source(upstream, identity, choice, _store(bench, choice, identity), rate, plan.task.random_items)
    source.on_widened = lambda: _say_widened(bench, choice)
    bench.parts.source = source
    weighting.take_over(bench.parts.featurizer)
    bench.config = {**bench.config, "features": {"kind": choice.kind, "precision": choice.precision}}
    bench.deviations += settings.deviations(choice, settings.is_batch_free(upstream))


def _choice(bench: Bench) -> Choice:
    from downstream_runs.features import settings

    plan = bench.plan
    few = bench.data.utterances[str(plan.task.train_split)]
    # Another head than the recipe's may have a non-linearity or attention before its mean.
    same_head = not any(key.startswith("downstream_expert.modelrc") for key in plan.overrides)
    batch_free = settings.is_batch_free(bench.parts.upstream)
    return settings.choose(plan.features, plan.task.pooled and same_head, batch_free, few)


def _store(bench: Bench, choice: Choice, identity: str) -> Store:
    from downstream_runs.features import settings
    from downstream_runs.features.store import Store

    plan = bench.plan
    if choice.mode != "disk":
        return Store(None, plan.features.limit or settings.MEMORY_BYTES)
    cache = plan.cache or plan.out / CACHE
    folder = settings.folder(cache, identity) / f"{choice.kind}-{choice.precision}"
    return Store(folder, plan.features.limit, settings.held_bytes() if choice.kind == "pooled" else 0)


def _entry(name: str) -> object:
    """The function of s3prl's hub that built the upstream."""
    import s3prl.hub as hub

    return getattr(hub, name)


def _tell(message: str) -> None:
    """To the run's log, and to the terminal, which it has taken stderr's place for."""
    for stream in {sys.stderr, sys.__stderr__} - {None}:
        print(message, file=stream)


def _say_widened(bench: Bench, choice: Choice) -> None:
    """At step 0: a run that goes on meets the same frames or has them in its store."""
    _tell(
        f"{choice.precision} does not hold some of the upstream's features (too large, or too many below its "
        "normal range): these are stored in fp32"
    )
    bench.journal.event(WIDENED, 0, precision=choice.precision)


def say_stored(bench: Bench) -> None:
    """What was stored and used again, into the run's journal and its deviations."""
    from downstream_runs.features import settings

    source = bench.parts.source
    if source is None:
        return
    store = source.store
    bench.journal.event(
        "features",
        bench.steps,
        folder=None if store.folder is None else str(store.folder),
        used_again=store.hits,
        computed=store.misses,
        stored=store.written,
        bytes=store.bytes,
        full=store.full,
        in_fp32=source.widened,
    )
    # Also those that another process met, before a kill or on another device.
    events = records.read(bench.folder / EVENTS)
    if any(line.get("event") == WIDENED for line in events):
        plain = settings.rounded(source.choice)
        widened = settings.rounded(source.choice, widened=True)
        bench.deviations[:] = [widened if said == plain else said for said in bench.deviations]
