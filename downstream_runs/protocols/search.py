"""The scores of all queries in all documents, for one layer, as s3prl's query-by-example computes them.

Features are normalised by the mean and standard deviation of the layer over the split's queries and all
documents; a trial's score is minus the cost that `dtw` gives; a query of fewer than 5 frames scores 0
everywhere; the scores of each query are brought to mean 0 and standard deviation 1 over the documents.
Source: s3prl 0.4.18, `downstream/quesst14_dtw/expert.py`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from downstream_runs.corpora.quesst14 import DOCUMENTS
from downstream_runs.protocols import dtw
from downstream_runs.protocols.layers import LayerStore, in_lots, length
from upstream_arm.common import devices
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_write_bytes

Floats = NDArray[np.float64]

FEWEST_FRAMES = 5  # s3prl: queries below are not searched
SMALLEST_DEVIATION = 1e-9  # s3prl's bound on both divisors
BLOCK_SECONDS = 600.0
"""Documents searched at once: 180 MB of features in 64-bit floats at 50 frames of 768 a second."""

PART_FRAMES = 256
"""Frames of which statistics are taken at once: 1.6 MB of 768 features in 64-bit floats."""


@dataclass(frozen=True)
class Search:
    """One layer of the stored features, searched with the queries of one split.

    device: where distances are computed. partial: the file of the trials done so far, removed by the caller
    once their result is written.
    """

    store: LayerStore
    layer: int
    split: str
    device: torch.device
    partial: Path

    def scores(self, bar: Callable[..., Any]) -> dict[str, dict[str, float]]:
        """Query -> document -> normalised score, higher for a better match; in the order of the corpus.

        RunFailed if a score is not a finite number.
        """

        queries, documents = self._names(self.split), self._names(DOCUMENTS)
        costs = self._costs(queries, documents, bar)
        wild = np.argwhere(~np.isfinite(costs))
        if len(wild):
            query, document = queries[wild[0][0]], documents[wild[0][1]]
            raise RunFailed(
                f"layer {self.layer} gives {len(wild)} scores of {self.split} that are not finite numbers, "
                f"the first for query {query} in document {document}: one of the two has a frame of zeros, "
                "or worse; check the upstream"
            )
        rows = dict(zip(queries, z_normalised(-costs).tolist(), strict=True))
        place = {document: column for column, document in enumerate(documents)}
        return {
            query: {document: rows[query][place[document]] for document in self.store.names[DOCUMENTS]}
            for query in self.store.names[self.split]
        }

    def _costs(self, queries: list[str], documents: list[str], bar: Callable[..., Any]) -> Floats:
        """Costs `[query, document]`, from where an earlier process stopped."""

        costs = self._resume((len(queries), len(documents)))
        mean, deviation = self._statistics()
        frames = [
            self._normal([one], mean, deviation).frames
            for chunk in self.store.groups[self.split]
            for one in self.store.read(self.split, chunk, self.layer)
        ]
        searched = [row for row, one in enumerate(frames) if len(one) >= FEWEST_FRAMES]
        wanted = [frames[row] for row in searched]
        start = 0
        blocks = in_lots(self.store.groups[DOCUMENTS], length, BLOCK_SECONDS)
        for chunks in bar(blocks, desc=f"layer {self.layer} {self.split}", total=len(blocks)):
            block = [one for chunk in chunks for one in self.store.read(DOCUMENTS, chunk, self.layer)]
            part = slice(start, start + len(block))
            start += len(block)
            if not np.isnan(costs[:, part]).any():
                continue
            empty = [name for name, one in zip(documents[part], block, strict=True) if not len(one)]
            if empty:
                raise RunFailed(f"document {empty[0]} is too short for one frame; check the corpus")
            costs[:, part] = 0.0
            costs[searched, part] = dtw.costs(wanted, self._normal(block, mean, deviation)).cpu().numpy()
            self._keep(costs)
        return costs

    def _resume(self, shape: tuple[int, int]) -> Floats:
        try:
            costs = np.load(self.partial, allow_pickle=False)
        except (OSError, ValueError):
            return np.full(shape, np.nan)
        return costs if costs.shape == shape else np.full(shape, np.nan)

    def _keep(self, costs: Floats) -> None:
        content = io.BytesIO()
        np.save(content, costs)
        atomic_write_bytes(self.partial, content.getvalue())

    def _statistics(self) -> tuple[torch.Tensor, torch.Tensor]:
        """Mean and (n - 1) standard deviation of each feature over all frames, on the device.

        In one pass: two parts' sums of squares are pooled as Chan, Golub and LeVeque (1979) do.
        """

        count, mean, squares = 0, torch.zeros(1), torch.zeros(1)
        for part in self._parts():
            frames = devices.to_device(part, self.device).to(torch.float64)
            middle = frames.mean(dim=0)
            own = frames.sub_(middle).square_().sum(dim=0)
            if count == 0:
                mean, squares = torch.zeros_like(middle), torch.zeros_like(middle)
            total, difference = count + len(frames), middle - mean
            squares += own + difference.square() * (count * len(frames) / total)
            mean += difference * (len(frames) / total)
            count = total
        deviation = squares.div_(max(count - 1, 1)).sqrt_()
        return mean, deviation.clamp_(min=SMALLEST_DEVIATION)

    def _parts(self) -> Iterator[torch.Tensor]:
        """All frames of the layer, so few at a time that they stay in a processor's cache."""

        for group in (self.split, DOCUMENTS):
            for chunk in self.store.groups[group]:
                whole = np.concatenate(self.store.read(group, chunk, self.layer))
                parts = torch.from_numpy(whole).split(PART_FRAMES)
                yield from (part for part in parts if len(part))

    def _normal(
        self, recordings: Sequence[NDArray[Any]], mean: torch.Tensor, deviation: torch.Tensor
    ) -> dtw.Documents:
        """Recordings one after another, normalised and scaled to length 1, on the device."""

        spans = dtw.spans([len(frames) for frames in recordings])
        joined = torch.zeros(spans[-1].stop, len(mean), dtype=torch.float64, device=self.device)
        for span, frames in zip(spans, recordings, strict=True):
            joined[span] = devices.to_device(torch.from_numpy(frames), self.device)
        return dtw.Documents(dtw.unit_(joined.sub_(mean).div_(deviation)), spans)

    def _names(self, group: str) -> list[str]:
        return [one.name for chunk in self.store.groups[group] for one in chunk]


def z_normalised(scores: Floats) -> Floats:
    """Scores `[query, document]` at mean 0 and (population) standard deviation 1 in each row."""

    deviation = np.maximum(scores.std(axis=1, keepdims=True), SMALLEST_DEVIATION)
    normal: Floats = (scores - scores.mean(axis=1, keepdims=True)) / deviation
    return normal
