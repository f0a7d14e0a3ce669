"""The test of query-by-example: every layer on dev, the best one on eval, from one pass over the audio.

The official number is MTWV as the official command computes it: on the data set's whole ground truth, in
which trials that were not searched get the score -10, so that a query in another language is missed in all of
its documents, and counts. s3prl searches English queries in English documents only. That the tool counts
queries which the system's file does not name at all, and leaves none of them out, is seen in the
leaderboard's own log of it: it reports a default score for the trials of every unnamed query. The same scores
on the English part of the ground truth stand beside it, as information (`mtwv_english`), for the same layer,
which the official number chose.

What is kept in the run directory: `benchmark.stdlist.xml` (eval, best layer; what the leaderboard takes),
`layers/dev-KK.stdlist.xml.gz` (every layer on dev), `layers.csv` (the values of all of them), `trials.csv`.
The features of all layers (`features/`) are removed at the end: they are large and can be computed again.
"""

from __future__ import annotations

import copy
import gzip
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.core.run_folder import BENCHMARK, LAYERS, TRIALS
from downstream_runs.core.task import MetricSpec, Score
from downstream_runs.corpora import quesst14
from downstream_runs.corpora.quesst14 import DOCUMENTS, SPLITS, Quesst14, Recording
from downstream_runs.features.cache import FRAMES
from downstream_runs.features.extractor import FeatureExtractor
from downstream_runs.features.options import is_batch_free
from downstream_runs.scoring import mtwv, stdlist
from upstream_arm.common import devices
from upstream_arm.common.errors import RunFailed, UsageError
from upstream_arm.common.files import atomic_write_bytes, atomic_write_csv, atomic_write_text

if TYPE_CHECKING:
    import torch

    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun
    from downstream_runs.protocols.layers import LayerStore
    from downstream_runs.scoring.mtwv import TermWeightedValue

MTWV = MetricSpec("mtwv", "maximum term weighted value", "fraction", "higher", None)
MTWV_ENGLISH = MetricSpec(
    "mtwv_english",
    "maximum term weighted value, English queries and documents only",
    "fraction",
    "higher",
    None,
    official=False,
)
DEV, EVAL = SPLITS
Values = tuple["TermWeightedValue", "TermWeightedValue"]
"""One layer on one split: MTWV by the official command's rule, and on the English part alone."""

COUNTED = ("queries", "dropped", "documents", "targets", "trials", "defaulted", "misses", "false_alarms")


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """All metrics of the run; what is in the run directory already is not computed again.

    UsageError for a precision other than fp32, RunFailed for features or scores that are not numbers.
    """
    if run.plan.precision != "fp32":
        raise UsageError(
            f"--precision {run.plan.precision} is for training, and QbE trains nothing; leave it out"
        )
    corpus = quesst14.load(run.data.root, bool(run.data.partial))
    search = _Searches(run, corpus)
    dev = [_values(corpus, DEV, search.scores(layer, DEV)) for layer in range(search.layers)]
    path = search.scores(_best(dev), EVAL)
    chosen = _values(corpus, EVAL, path)
    _write_layers(run.folder / LAYERS, dev, chosen, run.plan.layer)
    _write_trials(run.folder / TRIALS, corpus, path)
    search.store.remove()
    return _metrics(dev, chosen, run.plan.layer)


def again(
    corpus: Quesst14, folder: Path, only: int | None = None, tables: Path | None = None
) -> tuple[Metric, ...]:
    """All metrics once more, from the scores that a run kept in `folder` and the corpus's ground truth.

    only: the layer of a run with `--layer`. tables: a folder that `layers.csv` and `trials.csv` are written
    to. UsageError if a file of scores is absent or damaged.
    """
    files = sorted((folder / "layers").glob(f"{DEV}-*.stdlist.xml.gz"))
    names = [f"{DEV}-{layer:02d}.stdlist.xml.gz" for layer in range(len(files))]
    if not files or [path.name for path in files] != names or not (folder / BENCHMARK).is_file():
        raise UsageError(
            f"{folder} lacks {BENCHMARK} or some of layers/{DEV}-*.stdlist.xml.gz; make the run again with "
            "--rerun always"
        )
    dev = [_values(corpus, DEV, path) for path in files]
    chosen = _values(corpus, EVAL, folder / BENCHMARK)
    if tables is not None:
        _write_layers(tables / LAYERS, dev, chosen, only)
        _write_trials(tables / TRIALS, corpus, folder / BENCHMARK)
    return _metrics(dev, chosen, only)


class _Searches:
    """The scores of layers as files of the run directory, made where they are absent."""

    def __init__(self, run: TrainedRun, corpus: Quesst14) -> None:
        from downstream_runs.engine.feature_setup import upstream_identity
        from downstream_runs.protocols.layers import LayerStore

        self._run = run
        groups = {DOCUMENTS: corpus.documents, **corpus.queries}
        dtype = run.config["downstream_expert"]["feature_store"]
        self.store = LayerStore(run.folder / "features", upstream_identity(run)[0], groups, dtype)
        self._folder = run.folder / "layers"
        for path in self._folder.glob(".*.tmp"):
            path.unlink()
        self._filled = 0

    @property
    def layers(self) -> int:
        """The number of hidden states; the features are computed if it is not known yet."""
        path = self._folder / "layers.json"
        if not path.exists():
            atomic_write_text(path, json.dumps({"layers": self._fill()}) + "\n")
        return int(json.loads(path.read_text(encoding="utf-8"))["layers"])

    def scores(self, layer: int, split: str) -> Path:
        """The scores of a layer on dev, compressed, or those of the chosen layer on eval."""
        from downstream_runs.protocols.search import Search

        kept = (
            self._folder / f"{DEV}-{layer:02d}.stdlist.xml.gz"
            if split == DEV
            else self._run.folder / BENCHMARK
        )
        plain = kept.with_suffix("") if split == DEV else kept
        if not kept.exists():
            layers = self._fill()
            if layer >= layers:
                raise RunFailed(f"layer {layer} of {layers} was asked for; use --rerun always")
            partial = self._folder / f"{split}-{layer:02d}.partial.npy"
            device = devices.able(self._run.components.device, devices.FLOAT64)
            stdlist.write(plain, Search(self.store, layer, split, device, partial).scores(self._run.bar))
            partial.unlink(missing_ok=True)
            if plain != kept:
                # No time in the header: the same scores give the same file.
                atomic_write_bytes(kept, gzip.compress(plain.read_bytes(), mtime=0))
        if plain != kept:
            plain.unlink(missing_ok=True)
        return kept

    def _fill(self) -> int:
        from downstream_runs.protocols.layers import one_each

        if not self._filled:
            components = self._run.components
            # s3prl's own upstreams collect their hidden states in themselves, also where each is alone.
            with one_each(components.device, stateless=is_batch_free(components.upstream.module)) as many:
                self._filled = self.store.fill(_compute(self._run, self.store), self._run.bar, many)
            self._run.journal.event("features", 0, **self.store.cache.account())
        return self._filled


def _compute(run: TrainedRun, store: LayerStore) -> Callable[[Recording], torch.Tensor]:
    """The frames `[layer, frame, feature]` of a recording that s3prl reads, alone as in its batches of 1."""
    import torch
    from s3prl.downstream.quesst14_dtw.dataset import QUESST14Dataset

    from downstream_runs.engine.components import make_featurizer

    upstream, device = run.components.upstream.eval(), run.components.device
    dataset = QUESST14Dataset(DEV, dataset_root=str(run.data.root))
    featurizer = make_featurizer(run.plan, upstream, device)
    extractor = FeatureExtractor(upstream, store.stored, store.cache, featurizer, crops=False)

    def compute(recording: Recording) -> torch.Tensor:
        own = copy.copy(dataset)  # other threads read other recordings
        own.data = [recording.path]
        wave = own[0][0]
        if run.mixer is not None:
            wave = torch.from_numpy(run.mixer(wave))
        try:
            return extractor.compute(wave, device)[FRAMES][:, : extractor.wanted(len(wave))]
        except (AssertionError, RuntimeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise RunFailed(
                f"{recording.path} ({recording.seconds:.2f} s) gives no features: "
                f"{type(error).__name__}: {' '.join(str(error).split())}"
            ) from error

    return compute


def _values(corpus: Quesst14, split: str, path: Path) -> Values:
    """Scored as read from the file, with its 4 decimals: that is what the official tool gets."""
    system = stdlist.read(path)
    official, english = (
        mtwv.score(truth, system.scores, system.accepted)
        for truth in (corpus.truth[split], corpus.searched(split))
    )
    return official, english


def _best(dev: Sequence[Values]) -> int:
    """The layer with the highest MTWV on dev; of equal ones the first."""
    return max(range(len(dev)), key=lambda layer: dev[layer][0].rate)


def _metrics(dev: Sequence[Values], chosen: Values, only: int | None) -> tuple[Metric, ...]:
    """All numbers: of the layer that is best on dev, `chosen` on eval; the official one first.

    only: the one layer that was searched, where the user named it.
    """
    best = _best(dev)
    how = f"highest MTWV on {DEV}: layer {best} of 0 to {len(dev) - 1}"
    if only is not None:
        how = f"layer {only}, as --layer says; no other was searched"
    rows = [
        (spec, split, value)
        for split, values in ((EVAL, chosen), (DEV, dev[best]))
        for spec, value in zip((MTWV, MTWV_ENGLISH), values, strict=True)
    ]
    return tuple(
        spec.measured(
            Score(spec.name, value.rate, {key: getattr(value, key) for key in COUNTED}),
            split,
            how,
            official=spec.official and split == EVAL,
        )
        for spec, split, value in rows
    )


def _write_layers(path: Path, dev: Sequence[Values], chosen: Values, only: int | None) -> None:
    rows: list[tuple[object, ...]] = [
        ("split", "layer", "mtwv", "threshold", "mtwv_english", "threshold_english")
    ]
    for split, layer, values in [
        *((DEV, layer, one) for layer, one in enumerate(dev)),
        (EVAL, _best(dev), chosen),
    ]:
        official, english = values
        number = layer if only is None else only
        rows.append((split, number, official.rate, official.threshold, english.rate, english.threshold))
    atomic_write_csv(path, rows)


def _write_trials(path: Path, corpus: Quesst14, scored: Path) -> None:
    """Every trial that the official MTWV of eval counts; group: the query, whose trials belong together.

    What was searched has a row for each trial. What was not has the default score: a row for all targets of a
    query and one for all its other documents, `count` of them (millions of rows on the real corpus).
    """
    rows: list[tuple[object, ...]] = [("split", "item", "group", "label", "score", "count")]
    truth, scores = corpus.truth[EVAL], stdlist.read(scored).scores
    for query, documents in scores.items():
        for document, score in documents.items():
            label = int(document in truth.targets[query])
            rows.append((EVAL, f"{query} {document}", query, label, f"{score:.4f}", 1))
    default = f"{mtwv.DEFAULT_SCORE:.4f}"
    for query in truth.queries:
        targets, searched = truth.targets[query], scores.get(query, {}).keys()
        if not targets:
            continue  # the tool leaves such a query out
        others = len(truth.documents) - len(targets) - len(searched - targets)
        for label, what, count in ((1, "targets", len(targets - searched)), (0, "others", others)):
            if count:
                rows.append((EVAL, f"{query} {what} not searched", query, label, default, count))
    atomic_write_csv(path, rows)
