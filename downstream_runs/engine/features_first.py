"""The features of a whole corpus before training, as a stage of its own that the runs of a command share.

Each split that a run meets at least once in full is read in its list's order, and what the store lacks of it
is encoded, by whichever run comes to it first: a run passes over what another is at, and looks after it at
the end. What a killed run had stored is not encoded again. On a CPU features kept in memory are not made
first: each is computed alone whenever it is met, with the same bits.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import torch

from downstream_runs.core import records
from downstream_runs.core.generators import random_states, restore_random_states
from downstream_runs.core.run_folder import EVENTS
from downstream_runs.engine import batches, feature_setup, prefetch
from downstream_runs.features.claims import Claims
from downstream_runs.features.items import CachedWaveform, ItemReader
from downstream_runs.upstreams.tensors import SAMPLE_RATE
from upstream_arm.common.stages import SECONDS

if TYPE_CHECKING:
    from downstream_runs.engine.trained_run import TrainedRun
    from downstream_runs.features.extractor import FeatureExtractor

TOGETHER = 128
"""Utterances that are read and encoded as one portion: enough of like lengths, and little to hold."""

STORED = "features_stored"
"""The event of a run that has seen to all of its features."""

Portion = Sequence[CachedWaveform]


def store(run: TrainedRun, cast: torch.dtype | None, leader: bool, trained: bool) -> None:
    """Have in the store what a run is going to meet, as far as there is room.

    cast: the type of the autocast under which it trains. leader: whether this process evaluates, too.
    trained: whether all training is done. The random generators are left as they were.
    """
    extractor = run.components.extractor
    if run.mixer is not None:  # no clean utterance is met any more
        return
    if extractor is None or (extractor.cache.folder is None and extractor.encoder is None):
        return
    if extractor.cache.folder is not None and _is_stored(run, extractor):
        return
    states = random_states()
    try:
        for need in feature_setup.expected(run, extractor.stored):
            training = need.split == run.plan.task.train_split
            if need.times >= 1 and (leader if not training else not trained):
                _Split(run, extractor, need.split, need.utterances).store(cast if training else None)
    finally:
        restore_random_states(states)
    run.journal.event(STORED, 0, bytes=extractor.cache.total_bytes)


def _is_stored(run: TrainedRun, extractor: FeatureExtractor) -> bool:
    """Whether the run has seen to its features before, and nothing was removed since."""
    before = [line["bytes"] for line in records.read(run.folder / EVENTS) if line["event"] == STORED]
    return bool(before) and extractor.cache.total_bytes >= before[-1]


class _Split:
    """One split on its way into the store."""

    def __init__(self, run: TrainedRun, extractor: FeatureExtractor, split: str, utterances: int) -> None:
        self._run, self._extractor, self._split = run, extractor, split
        self._utterances, self._device = utterances, run.components.device

    def store(self, cast: torch.dtype | None) -> None:
        """Read all of it, encode what is missing, and say how much there was and how fast it went."""
        cache, began, seconds = self._extractor.cache, time.monotonic(), 0.0
        before = cache.misses
        later: list[Portion] = []
        with (
            self._run.bar(None, desc=f"features of {self._split}", total=self._utterances) as bar,
            torch.autocast(self._device.type, dtype=cast, enabled=cast is not None),
            ThreadPoolExecutor(1) as writer,
            contextlib.closing(Claims(cache.folder)) as claims,
        ):
            encode = functools.partial(self._encode, writer, claims)
            for count, portion in batches.readable(self._portions(), self._split, lambda: 0):
                if cache.full:
                    break
                if portion and not encode(portion, wait=False):
                    later.append([dataclasses.replace(wav, wave=None) for wav in portion])
                seconds += sum(map(len, portion)) / SAMPLE_RATE
                bar.update(count)
                bar.set_postfix_str(_rate(seconds, time.monotonic() - began), refresh=False)
            for portion in later:
                encode(portion, wait=True)
        if (took := time.monotonic() - began) > SECONDS:
            encoded = f"{cache.misses - before:,} utterances encoded by this run"
            print(f"features of {self._split}: {_rate(seconds, took)}; {encoded}", file=self._run.terminal)

    def _encode(self, writer: ThreadPoolExecutor, claims: Claims, portion: Portion, wait: bool) -> bool:
        """Store what is missing of a portion; False if another process is at it, unless this is to wait."""
        with claims.held(portion[0].sha256, wait) as mine:
            if mine:
                pending: list[Future[object]] = []
                self._extractor.store(portion, self._device, lambda put: pending.append(writer.submit(put)))
                for one in pending:
                    one.result()
        return mine

    def _portions(self) -> Iterator[tuple[int, Portion]]:
        """The split in portions, random crops left out; with each how many utterances were read."""
        dataset = self._run.components.loader(self._split).dataset
        items = self._extractor.items(self._split)
        by_file = hasattr(dataset, "files")  # s3prl's ctc tasks have an item for a bucket of files
        keys: Sequence[Any] = range(len(dataset))
        if by_file:
            keys = list(dict.fromkeys(file for index in keys for file in dataset.files(index)))
        size = max(TOGETHER * len(keys) // max(self._utterances, 1), 1)  # ASR's items are whole batches
        jobs = [(None, keys[start : start + size]) for start in range(0, len(keys), size)]
        read = functools.partial(_read_files, dataset) if by_file else ItemReader(dataset)
        found = prefetch.in_order(read, jobs, self._run.reading.workers, seed=0)
        for (_, some), contents in zip(jobs, found, strict=True):
            waves: list[Any] = []
            for key, (content, drew) in zip(some, contents, strict=True):
                if by_file:
                    waves.append(items.keep_file(key, content, dataset.read))
                    continue
                again = functools.partial(dataset.__getitem__, key)
                first = content[0] if drew else items.keep(key, content, again)[0]
                waves += first if isinstance(first, (list, tuple)) else [first]
            yield len(waves), [wav for wav in waves if isinstance(wav, CachedWaveform)]


def _read_files(dataset: Any, job: tuple[None, Sequence[str]]) -> list[tuple[Any, bool]]:
    """As `ItemReader`, of files."""
    return [(dataset.read(file), False) for file in job[1]]


def _rate(seconds: float, took: float) -> str:
    return f"{seconds / 3600:,.1f} h of audio, {seconds / 60 / max(took, 1e-3):,.2f} h a minute"
