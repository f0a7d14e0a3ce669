"""Whether and where a run stores its upstream's features, and what came of it."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import sys
from typing import Any

from downstream_runs.core import records
from downstream_runs.core.feature_options import DTYPES
from downstream_runs.core.run import file_identity, taken_of
from downstream_runs.core.run_folder import CACHE, EVENTS
from downstream_runs.engine.trained_run import TrainedRun
from downstream_runs.features import provenance
from downstream_runs.features.batched import TOLERANCE
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import FeatureExtractor, Need
from downstream_runs.features.options import StoredKind, choose, deviations, is_batch_free
from downstream_runs.upstreams.tensors import SAMPLE_RATE

WIDENED = "features_in_fp32"
"""The event of frames that the precision of the cache does not hold."""

HALVED = "lots_halved"
"""The event of a device that had too little memory for what was encoded together."""


def set_up(run: TrainedRun) -> None:
    """Put the feature cache before the upstream, if the plan asks for one and the task trains."""
    from downstream_runs.features import weighting

    plan, components = run.plan, run.components
    if plan.task.train_split is None:
        return
    # Another head than the recipe's may have a non-linearity or attention before its mean.
    same_head = not any(key.startswith("downstream_expert.modelrc") for key in plan.overrides)
    stored = choose(
        plan.features,
        poolable=plan.task.pooled and same_head,
        batch_free=_is_batch_free(run),
        utterances=run.data.utterances[plan.task.train_split],
    )
    if stored.mode == "off":
        return
    identity, doubt = upstream_identity(run)
    if doubt is not None:
        kept = "not stored" if plan.features.mode == "auto" else "kept in this process's memory only"
        _tell(f"features of {plan.upstream} are {kept}: what computes them cannot be told ({doubt})")
        if plan.features.mode == "auto":
            return
        stored = dataclasses.replace(stored, mode="memory")
    root = plan.out / CACHE / "features"
    cache = FeatureCache.of_upstream(root, identity, stored, plan.features.limit)
    together = components.device.type != "cpu" and _is_batch_free(run)
    extractor = FeatureExtractor(
        components.upstream, stored, cache, components.featurizer, plan.task.random_items, together
    )
    _tell_of(run, extractor)
    components.extractor = extractor
    weighting.take_over(components.featurizer)
    if components.pooled:
        _pool_no_more(components.downstream)
    said: dict[str, Any] = {"kind": stored.kind, "precision": stored.precision}
    if together:
        said["encoded_together_within"] = TOLERANCE
    run.config = {**run.config, "features": said}


def _pool_no_more(downstream: Any) -> None:
    """Have s3prl's head take the one frame that a mean is as it is: the mean over it is the same."""
    import torch
    from s3prl.downstream.model import MeanPooling

    pooling = getattr(downstream.model, "pooling", None)
    if isinstance(pooling, MeanPooling):
        pooling.forward = lambda frames, lengths: (frames.squeeze(1), torch.ones(len(frames)).long())


def _tell_of(run: TrainedRun, extractor: FeatureExtractor) -> None:
    """Have said what the store does not hold: now, by what all splits take, and when it is met."""
    plan, stored, cache = run.plan, extractor.stored, extractor.cache

    def tell_widened() -> None:
        """At step 0: a run that goes on meets the same frames or has them in its cache."""
        _tell(
            f"{stored.precision} does not hold some of the upstream's features (too large, or too many below "
            "its normal range): these are stored in fp32"
        )
        run.journal.event(WIDENED, 0, precision=stored.precision)

    def tell_full() -> None:
        _tell(
            f"the store of {plan.upstream}'s features is full at {cache.total_bytes / 1e9:.1f} GB: what it "
            "does not have is computed in every pass; --features-gb and the room on the disk bound it"
        )
        run.journal.event(records.STORE_FULL, 0, bytes=cache.total_bytes)

    def tell_halved(samples: int) -> None:
        """At step 0: a run that goes on begins with what its device held."""
        run.journal.event(HALVED, 0, samples=samples)

    extractor.on_widened = tell_widened
    cache.on_full = tell_full
    if extractor.encoder is not None:
        extractor.encoder.on_halved = tell_halved
        before = [line["samples"] for line in records.read(run.folder / EVENTS) if line["event"] == HALVED]
        extractor.encoder.limit = min(before, default=extractor.encoder.limit)
    needs = expected(run, stored)
    needed = sum(need.size for need in needs)
    if needed > cache.capacity:
        # How much of a split whose utterances are partly cropped will be stored is not known.
        cropped = None if plan.task.crop_seconds is None else plan.task.train_split
        extractor.needs = [need for need in needs if need.split != cropped]
        often = ", ".join(f"{need.split} {need.times:,.0f} times" for need in needs)
        _tell(
            f"features of {plan.upstream} for {plan.task.name} take up to {needed / 1e9:,.1f} GB, and their "
            f"store has room for {cache.capacity / 1e9:,.1f} GB: what a run meets most often is stored first "
            f"({often}), the rest is computed in every pass; --features-gb and the room on the disk bound it"
        )


def expected(run: TrainedRun, stored: StoredKind) -> list[Need]:
    """What the features of each split take at most, as long as the corpus declares its utterances."""
    import torch

    task, featurizer, runner = run.plan.task, run.components.featurizer, run.config["runner"]
    values = len(getattr(featurizer, "weights", (1.0,))) * int(featurizer.output_dim)
    evaluations, utterances = task.evaluations(runner), run.data.utterances
    batch = task.batch_size(run.config) * runner["gradient_accumulate_steps"]
    needs = []
    for split, count in utterances.items():
        declared = split.partition("-")[0]
        if not count or declared not in task.corpus.splits:
            continue
        trained = split == task.train_split
        if stored.kind == "pooled":
            size = 2 * values * torch.float32.itemsize
        else:
            seconds = task.trained_seconds if trained else task.corpus.splits[declared].mean_seconds
            frames = seconds * SAMPLE_RATE / featurizer.downsample_rate
            size = frames * values * getattr(torch, DTYPES[stored.precision]).itemsize
        times = runner["total_steps"] * batch / count if trained else evaluations.get(declared, 0.0)
        needs.append(Need(split, count, times, count * size))
    return sorted(needs, key=lambda need: -need.times)


def upstream_identity(run: TrainedRun) -> tuple[str, str | None]:
    """SHA-256 over what decides the features of a run; why no other process may use them, if so.

    The name counts too, since fbank and mfcc have no weights to tell them apart.
    """
    import s3prl.hub as hub

    plan, upstream = run.plan, run.components.upstream
    doubt = None
    try:
        entry = getattr(hub, plan.upstream) if plan.source is None else None  # its code is in the revision
        code = provenance.identity(upstream.module, entry)
    except provenance.Unknown as error:
        code, doubt = "unknown", str(error)
    files = [file_identity(plan.ckpt), file_identity(plan.model_config)]
    switches = dict(getattr(upstream, "switches", None) or {})
    parts = [plan.upstream, *files, run.components.upstream_sha256, switches, code]
    if plan.source is not None:
        parts.append(plan.revision)
    parts += [taken] if (taken := taken_of(plan)) else []
    text = json.dumps(parts, sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest(), doubt


def _is_batch_free(run: TrainedRun) -> bool:
    """Whether batch mates change an utterance's features by rounding in fp32 at most.

    In int8 the last bit of a float can decide the next step of a rounding, which is far larger.
    """
    return run.plan.quantize is None and is_batch_free(run.components.upstream)


def _tell(message: str) -> None:
    """To the run's log, and to the terminal, which it has taken stderr's place for."""
    for stream in {sys.stderr, sys.__stderr__} - {None}:
        print(message, file=stream)


def report(run: TrainedRun) -> None:
    """What was stored and used again, into the run's journal; what that changed, into its deviations."""
    extractor = run.components.extractor
    if extractor is None:
        return
    run.journal.event("features", run.steps, **extractor.cache.account(), in_fp32=extractor.widened)
    # Also those that another process met, before a kill or on another device.
    events = records.read(run.folder / EVENTS)
    widened = any(line.get("event") == WIDENED for line in events)
    run.deviations[:0] = deviations(extractor.stored, _is_batch_free(run), widened)
