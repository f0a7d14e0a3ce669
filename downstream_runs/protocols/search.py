"""The scores of all queries in all documents, for one layer, as s3prl's query-by-example computes them.

Features are normalised by the mean and standard deviation of the layer over the split's queries and all
documents; a trial's score is minus the cost that `dtw` gives; a query of fewer than 5 frames scores 0
everywhere; the scores of each query are brought to mean 0 and standard deviation 1 over the documents.
Source: s3prl 0.4.18, `downstream/quesst14_dtw/expert.py`.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.corpora.quesst14 import DOCUMENTS
from downstream_runs.errors import RunFailed
from downstream_runs.files import atomic_write_bytes
from downstream_runs.protocols import dtw
from downstream_runs.protocols.layers import LayerStore

if TYPE_CHECKING:
    import numpy as np
    import torch
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

FEWEST_FRAMES = 5  # s3prl: queries below are not searched
SMALLEST_DEVIATION = 1e-9  # s3prl's bound on both divisors
BLOCK_SECONDS = 600.0
"""Documents searched at once: 180 MB of features in 64-bit floats at 50 frames of 768 a second."""


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
        """Query -> document -> normalised score, higher for a better match; in the order of the store.

        RunFailed if a score is not a finite number.
        """
        import numpy as np

        queries, documents = self._names(self.split), self._names(DOCUMENTS)
        costs = self._costs(queries, documents, bar)
        if not np.isfinite(costs).all():
            raise RunFailed(
                f"layer {self.layer} gives scores that are not numbers: it has a frame of zeros, or worse; "
                "check the upstream"
            )
        normal = z_normalised(-costs)
        return {
            query: dict(zip(documents, row.tolist(), strict=True))
            for query, row in zip(queries, normal, strict=True)
        }

    def _costs(self, queries: list[str], documents: list[str], bar: Callable[..., Any]) -> Floats:
        """Costs `[query, document]`, from where an earlier process stopped."""
        import numpy as np

        costs = self._resume((len(queries), len(documents)))
        mean, deviation = self._statistics()
        normal = {
            name: self._normal(frames, mean, deviation) for name, frames in self._recordings(self.split)
        }
        start = 0
        for block in bar(self._blocks(), desc=f"layer {self.layer} {self.split}", total=len(self._blocks())):
            part = slice(start, start + len(block))
            start += len(block)
            if not np.isnan(costs[:, part]).any():
                continue
            padded, lengths = self._padded([self._normal(frames, mean, deviation) for frames in block])
            for row, query in enumerate(queries):
                frames = normal[query]
                if len(frames) < FEWEST_FRAMES:
                    costs[row, part] = 0.0
                else:
                    costs[row, part] = dtw.normalized_distances(frames, padded, lengths).cpu().numpy()
            self._keep(costs)
        return costs

    def _resume(self, shape: tuple[int, int]) -> Floats:
        import numpy as np

        try:
            costs = np.load(self.partial, allow_pickle=False)
        except (OSError, ValueError):
            return np.full(shape, np.nan)
        return costs if costs.shape == shape else np.full(shape, np.nan)

    def _keep(self, costs: Floats) -> None:
        import numpy as np

        content = io.BytesIO()
        np.save(content, costs)
        atomic_write_bytes(self.partial, content.getvalue())

    def _statistics(self) -> tuple[Floats, Floats]:
        """Mean and (n - 1) standard deviation of each feature over all frames, in two passes."""
        import numpy as np

        count, total = 0, np.zeros(1)
        for _, frames in self._all():
            count, total = count + len(frames), total + frames.sum(axis=0, dtype=np.float64)
        mean = total / count
        squares = sum((np.square(frames - mean).sum(axis=0) for _, frames in self._all()), start=np.zeros(1))
        return mean, np.maximum(np.sqrt(squares / max(count - 1, 1)), SMALLEST_DEVIATION)

    def _normal(self, frames: NDArray[Any], mean: Floats, deviation: Floats) -> torch.Tensor:
        """Normalised frames scaled to length 1, on the device."""
        import torch

        return dtw.unit(torch.from_numpy((frames - mean) / deviation).to(self.device))

    def _padded(self, documents: list[torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
        import torch
        from torch.nn.utils.rnn import pad_sequence

        lengths = torch.tensor([len(document) for document in documents], device=self.device)
        return pad_sequence(documents, batch_first=True), lengths

    def _blocks(self) -> Blocks:
        return Blocks(self.store, self.layer)

    def _names(self, group: str) -> list[str]:
        return [name for chunk in self.store.groups[group] for name in chunk.names]

    def _recordings(self, group: str) -> Iterator[tuple[str, NDArray[Any]]]:
        for chunk, frames in self.store.frames(group, self.layer):
            yield from zip(chunk.names, frames, strict=True)

    def _all(self) -> Iterator[tuple[str, NDArray[Any]]]:
        yield from self._recordings(self.split)
        yield from self._recordings(DOCUMENTS)


class Blocks:
    """The documents of a layer in blocks of about BLOCK_SECONDS: each a list of frames `[frame, feature]`."""

    def __init__(self, store: LayerStore, layer: int) -> None:
        self._layer = layer
        self._blocks: list[list[Any]] = []
        filled = 0.0
        for chunk in store.groups[DOCUMENTS]:
            if not self._blocks or filled + chunk.seconds > BLOCK_SECONDS:
                self._blocks.append([])
                filled = 0.0
            self._blocks[-1].append(chunk)
            filled += chunk.seconds

    def __len__(self) -> int:
        return len(self._blocks)

    def __iter__(self) -> Iterator[list[NDArray[Any]]]:
        for chunks in self._blocks:
            yield [frames for chunk in chunks for frames in chunk.read(self._layer)]


def z_normalised(scores: Floats) -> Floats:
    """Scores `[query, document]` at mean 0 and (population) standard deviation 1 in each row."""
    import numpy as np

    deviation = np.maximum(scores.std(axis=1, keepdims=True), SMALLEST_DEVIATION)
    normal: Floats = (scores - scores.mean(axis=1, keepdims=True)) / deviation
    return normal


def in_order(
    scores: Mapping[str, Mapping[str, float]], queries: list[str], documents: list[str]
) -> dict[str, dict[str, float]]:
    """The same scores, with queries and documents in the order given."""
    return {query: {document: scores[query][document] for document in documents} for query in queries}
