"""What QbE's search costs on one core, part by part: `python benchmarks/search.py`.

Random features of 768 numbers, in queries and documents as long as those of the corpus of `--data` (every
N-th of them, N by `--queries` and `--documents`), at 50 frames a second. Each round measures, in processor
seconds on one thread: s3prl's own function for one pair at a time, on every tenth document; ours on all; and
of ours each step alone. No search by 64-bit distances can be quicker than the matrix product, which is the
first step. The last lines say what a sweep of all layers over dev takes of one core by this, and by the
product alone.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT)]

import numpy as np  # noqa: E402
import torch  # noqa: E402

from downstream_runs import bridge  # noqa: E402
from downstream_runs.corpora import quesst14  # noqa: E402
from downstream_runs.protocols import dtw  # noqa: E402

FEATURES, RATE, LAYERS, STOCK_EACH = 768, 50, 13, 10
STEPS = ("product", "distances", "minmax", "recurrence", "ends")


class Clock:
    """Processor seconds by name."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)

    @contextmanager
    def of(self, name: str) -> Iterator[None]:
        started = time.process_time()
        yield
        self.seconds[name] += time.process_time() - started


def stock(queries: Sequence[np.ndarray], documents: Sequence[np.ndarray]) -> np.ndarray:
    """Costs by s3prl's `match`, one pair after another; its DTW is the bridge's without the package dtw."""
    from s3prl.downstream.quesst14_dtw.expert import cosine_exp, match

    usual = {"step_pattern": "asymmetric", "keep_internals": False, "distance_only": False}
    rules = {**usual, "open_begin": True, "open_end": True}
    return np.array(
        [
            [-match(query, document, "", "", cosine_exp, True, rules)[2] for document in documents]
            for query in queries
        ]
    )


def parts(queries: Sequence[torch.Tensor], documents: dtw.Documents, clock: Clock) -> None:
    """The steps of `dtw.costs`, each timed."""
    for group in dtw._groups(queries, len(documents.frames)):
        rows = dtw._interleaved([queries[number] for number in group])
        with clock.of("product"):
            torch.mm(rows, documents.frames.T)
        with clock.of("distances"):
            distances = dtw.cosine_exp(rows, documents.frames)
        with clock.of("minmax"):
            dtw.minmax_(distances, documents)
        with clock.of("recurrence"):
            paths = dtw.subsequence(distances, [len(queries[number]) for number in group])
        with clock.of("ends"):
            torch.stack([paths[:, span].amin(dim=1) for span in documents.spans], dim=1)
    clock.seconds["distances"] -= clock.seconds["product"]


def measure(asked: Sequence[int], every: Sequence[int], some: Sequence[Sequence[int]], rounds: int) -> None:
    """Print a row for each round, then what follows for a sweep over all queries and documents.

    Lengths in frames: of all queries, of all documents, and of those of both that are searched here.
    """
    random = np.random.default_rng(0)
    queries, documents = ([random.normal(size=(length, FEATURES)) for length in each] for each in some)
    print(
        f"{len(queries)} queries of {sum(some[0])} frames, "
        f"{len(documents)} documents of {sum(some[1])} frames"
    )
    print(f"dev: {len(asked)} queries of {sum(asked)} frames, {len(every)} documents of {sum(every)} frames")
    cells, share = sum(some[0]) * sum(some[1]), sum(asked) * sum(every) * LAYERS
    spans = dtw.spans(some[1])
    whole = torch.zeros(spans[-1].stop, FEATURES, dtype=torch.float64)
    for span, document in zip(spans, documents, strict=True):
        whole[span] = torch.from_numpy(document)
    joined = dtw.Documents(dtw.unit_(whole), spans)
    own = [dtw.unit_(torch.from_numpy(query.copy())) for query in queries]
    print("pairs a core second   stock    ours   ours/stock   " + "  ".join(f"{name:>10}" for name in STEPS))
    for _ in range(rounds):
        clock = Clock()
        with clock.of("ours"):
            found = dtw.costs(own, joined)
        with clock.of("stock"):
            wanted = stock(queries, documents[::STOCK_EACH])
        parts(own, joined, clock)
        pairs = len(queries) * len(documents)
        by_stock = len(queries) * len(documents[::STOCK_EACH]) / clock.seconds["stock"]
        by_ours = pairs / clock.seconds["ours"]
        shares = "  ".join(f"{clock.seconds[name] / clock.seconds['ours']:>10.0%}" for name in STEPS)
        print(f"{'':19} {by_stock:>7.0f} {by_ours:>7.0f} {by_ours / by_stock:>12.1f}   {shares}")
    worst = np.abs(found.numpy()[:, ::STOCK_EACH] - wanted).max()
    print(f"largest difference of a cost to s3prl's: {worst:.1e}")
    speed = 2 * cells * FEATURES / clock.seconds["product"] / 1e9
    print(f"the product alone: {speed:.0f} billion 64-bit operations a second")
    for name in ("ours", "product"):
        print(f"dev, {LAYERS} layers, by {name}: {clock.seconds[name] * share / cells / 3600:.2f} core hours")


def main() -> int:
    """Print a row for each round and each part."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, required=True, help="the folder with quesst14Database")
    parser.add_argument("--queries", type=int, default=20, help="default 20")
    parser.add_argument("--documents", type=int, default=90, help="default 90, ten minutes")
    parser.add_argument("--rounds", type=int, default=3, help="default 3")
    options = parser.parse_args()
    torch.set_num_threads(1)
    bridge.apply()
    corpus = quesst14.load(options.data / "quesst14Database", False)
    asked = [round(one.seconds * RATE) for one in corpus.queries["dev"]]
    every = [round(one.seconds * RATE) for one in corpus.documents]
    wanted = ((asked, options.queries), (every, options.documents))
    some = [lengths[:: max(1, len(lengths) // count)][:count] for lengths, count in wanted]
    measure(asked, every, some, options.rounds)
    return 0


if __name__ == "__main__":
    sys.exit(main())
