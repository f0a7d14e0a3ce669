"""How SUPERB scores diarisation: ten ways to turn probabilities into turns, and the lowest DER of the ten.

The official number is the lowest of the ten on the test set itself. Beside it stands the test DER of the way
that is best on dev, which has not seen the test set, and all ten. The checkpoint is the one with the best
frame accuracy on dev, as in s3prl. Source: s3prl 0.4.18, downstream/diarization/score.sh and docs/superb.md.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Item, Score, TaskSpec
from downstream_runs.protocols.activity import SETTINGS, Setting, turns
from downstream_runs.scoring import der, names, rttm
from downstream_runs.scoring.der import DiarizationCounts
from upstream_arm.common.errors import RunFailed
from upstream_arm.common.files import atomic_write_text, read_json, sha256_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from downstream_runs.core.results import Metric
    from downstream_runs.engine.trained_run import TrainedRun

PerFile = Mapping[str, DiarizationCounts]

CHECKPOINT = "best-states-dev.ckpt"
FRAME_SHIFT = "frame_shift"
PREDICTIONS = "scoring/predictions"
FOLDERS: Mapping[str, str] = {"dev": "scoring/dev", "test": "scoring"}
"""Where each split's predictions and RTTM files go; those of test where the leaderboard wants them."""


def test(run: TrainedRun) -> tuple[Metric, ...]:
    """Predict dev and test with the best checkpoint, score all ten ways, and choose on test and on dev."""
    from downstream_runs.engine.result_builder import on_dev, selection

    run.load(CHECKPOINT)
    shift = frame_shift(run.folder, run.components.downstream.datarc[FRAME_SHIFT])
    scored = {split: _score_split(run, split, shift) for split in FOLDERS}
    run.artefacts += [f"{FOLDERS['test']}/{setting.file}" for setting in SETTINGS]
    run.keep_items("test", [official_score(scored["test"])])
    return (*metrics(run.plan.task, scored, selection(run)), *on_dev(run))


def metrics(
    task: TaskSpec, scored: Mapping[str, Mapping[Setting, PerFile]], checkpoint: str
) -> tuple[Metric, ...]:
    """The DER of all ways, from each recording's errors by split and way; checkpoint: how it was chosen."""
    on_test, chosen = _lowest(scored["test"]), _lowest(scored["dev"])

    def metric(split: str, way: Setting, rule: str, official: bool = False) -> Metric:
        how = f"{rule}; checkpoint: {checkpoint}"
        return task.metric("der").measured(_score(scored[split][way]), split, how, official=official)

    ten = "the lowest of 2 medians x 5 thresholds on"
    return (
        metric("test", on_test, f"{ten} test ({on_test})", official=True),
        metric("test", chosen, f"{ten} dev ({chosen})"),
        metric("dev", chosen, f"{ten} dev ({chosen})"),
        *(metric("test", way, str(way)) for way in SETTINGS),
    )


def official_score(scored: Mapping[Setting, PerFile]) -> Score:
    """Of the way with the lowest DER."""
    return _score(scored[_lowest(scored)])


def frame_shift(folder: Path, trained: int) -> int:
    """Samples from frame to frame, from s3prl's file in the run directory.

    RunFailed if it is missing or not what the head was trained with: s3prl's own scoring would take 160 in
    silence, and half or double all times.
    """
    path = folder / FRAME_SHIFT
    try:
        written = path.read_text(encoding="utf-8").strip()
    except OSError:
        raise RunFailed(
            f"{path} is missing, the file with the samples from frame to frame, {trained} here; start the "
            "same command again with --rerun always"
        ) from None
    if written != str(trained):
        raise RunFailed(
            f"{path} says {written!r}, the head was trained with {trained} samples from frame to frame; "
            "start the same command again with --rerun always"
        )
    return trained


def _score_split(run: TrainedRun, split: str, shift: int) -> dict[Setting, PerFile]:
    """The errors in each recording of `split` by each of the ten ways, whose turns go to RTTM files."""
    folder = run.folder / FOLDERS[split]
    probabilities = {
        name: read_prediction(folder / "predictions" / f"{name}.h5") for name in _predict(run, split, folder)
    }
    reference = rttm.read(Path(run.data.settings[f"loaderrc.{split}_dir"]) / "rttm")
    names.same(reference, probabilities, "reference files", "predictions", "start the same command again")
    scored: dict[Setting, PerFile] = {}
    for setting in SETTINGS:
        predicted = {name: turns(values, setting, shift, name) for name, values in probabilities.items()}
        rttm.write(folder / setting.file, predicted)
        files = run.bar(sorted(predicted), desc=f"DER, {setting}", total=len(predicted))
        scored[setting] = {name: der.score_file(reference[name], predicted[name]) for name in files}
    return scored


def _predict(run: TrainedRun, split: str, folder: Path) -> list[str]:
    """Have s3prl's expert write the probabilities of every recording; the names of all recordings.

    The expert only writes in test mode, one recording a batch, and in place; here each file gets its name
    when it is whole, so that a killed run goes on with the next one.
    """
    import torch
    from s3prl.downstream.diarization.dataset import DiarizationDataset

    from downstream_runs.engine import batches, finite

    components, expert = run.components, run.components.downstream
    dataset = DiarizationDataset("test", expert.loaderrc[f"{split}_dir"], **expert.datarc)
    recordings: list[str] = list(dataset.rec_list)
    final, partial = folder / "predictions", folder / "partial"
    _claim(folder, sha256_file(run.folder / CHECKPOINT))
    (partial / "predictions").mkdir(parents=True, exist_ok=True)
    left = [[index] for index, name in enumerate(recordings) if not (final / f"{name}.h5").is_file()]
    loader = batches.read_plain(dataset, dataset.collate_fn_rec_infer, left, run.reading.workers)
    components.eval()
    before = expert.score_dir, expert.save_predictions
    expert.score_dir, expert.save_predictions = str(partial), True
    records: dict[str, list[Any]] = {"loss": [], "acc": [], "der": []}
    try:
        with torch.no_grad(), run.noisy(split), finite.watched(expert, split, run.steps) as watch:
            for wavs, labels, lengths, name in run.bar(loader, desc=f"predict {split}", total=len(left)):
                watch.names = [name]
                features = components.features(wavs)
                watch.features(features)
                expert("test", features, labels, lengths, name, records=records)
                watch.finish()
                os.replace(partial / "predictions" / f"{name}.h5", final / f"{name}.h5")
    finally:
        expert.score_dir, expert.save_predictions = before
    (partial / "predictions").rmdir()
    partial.rmdir()
    _tell_padding(run, split, dataset)
    return recordings


def _claim(folder: Path, checkpoint: str) -> None:
    """Keep predictions of this checkpoint only: any others are removed first."""
    owner = folder / "checkpoint.json"
    (folder / "predictions").mkdir(parents=True, exist_ok=True)
    if read_json(owner) == {"sha256": checkpoint}:
        return
    for path in (folder / "predictions").iterdir():
        path.unlink()
    atomic_write_text(owner, json.dumps({"sha256": checkpoint}) + "\n")


def _tell_padding(run: TrainedRun, split: str, dataset: Any) -> None:
    chunks = dataset.chunk_indices.values()
    long = sum(len(spans) > 1 for spans in chunks)
    if long:
        run.say(
            f"{long} of {len(dataset)} recordings of {split} are longer than one chunk: s3prl's predictions "
            "for them run past their ends, to whole chunks, and count in the DER, as in SUPERB"
        )


def read_prediction(path: Path) -> NDArray[np.floating[Any]]:
    """The probabilities `[frame, speaker]` that s3prl wrote; RunFailed if the file is damaged."""
    import h5py
    import numpy as np

    try:
        with h5py.File(path, "r") as file:
            values = np.asarray(file["T_hat"])
    except (OSError, KeyError) as error:
        raise RunFailed(
            f"{path} cannot be read ({error}); delete it and start the same command again"
        ) from None
    if values.ndim != 2 or not np.isfinite(values).all():
        raise RunFailed(
            f"{path} holds {values.dtype} of shape {values.shape}, finite probabilities [frame, speaker] "
            "were expected; the head may have diverged, train again with a smaller learning rate"
        )
    return values


def _lowest(scored: Mapping[Setting, PerFile]) -> Setting:
    """The way with the lowest DER; of equal ones the first of score.sh's order."""
    return min(SETTINGS, key=lambda way: sum(scored[way].values(), DiarizationCounts()).rate)


def _score(files: PerFile) -> Score:
    total = sum(files.values(), DiarizationCounts())
    counts = {
        f"{name}_ms": round(1000 * getattr(total, name))
        for name in ("scored", "missed", "false_alarm", "confused")
    }
    # Two speakers share a recording, so the recording is what can be resampled.
    items = tuple(Item(name, name, one.errors, one.scored) for name, one in sorted(files.items()))
    return Score("der", 100.0 * total.rate, {**counts, "files": total.files}, items)
