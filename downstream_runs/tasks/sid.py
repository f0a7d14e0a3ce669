"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from downstream_runs.tasks import _blocks, _labels
from downstream_runs.tasks.spec import (
    Corpus,
    PreparedData,
    Recipe,
    Score,
    Selection,
    TaskSpec,
)


def _config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    batch: tuple[int, int],
    workers: int,
    warmup: int | None = None,
) -> dict[str, Any]:
    """s3prl's blocks; `every` is log, evaluation and checkpoint steps, `batch` size and accumulation.

    Training crops are 8 seconds; dev and test utterances are whole, one at a time.
    """
    size, accumulation = batch
    expert = {
        "datarc": {
            "num_workers": workers,
            "train_batch_size": size,
            "eval_batch_size": 1,
            "max_timestep": 128_000,
        },
        "modelrc": _blocks.mean_pooling(),
    }
    return _blocks.config(
        steps=steps, every=every, lr=lr, accumulate=accumulation, expert=expert, warmup=warmup
    )


_SUPERB: dict[str, Any] = {
    "steps": 200_000,
    "every": (500, 5000, 1000),
    "batch": (8, 4),
    "workers": 12,
}

RECIPES = {
    "superb": Recipe(
        name="superb",
        config=_config(**_SUPERB, lr=1e-4),
        note="s3prl's defaults",
        source="s3prl 0.4.18, downstream/voxceleb1/config.yaml",
    ),
    "paper": Recipe(
        name="paper",
        config=_config(**_SUPERB, lr=1e-3, warmup=5000),
        note="ten times superb's learning rate, and its schedule: linear to the peak at 5000, then to 0",
        source="ARMHuBERT, section 4.1: s3prl's defaults, SID's rate times 10, the commented scheduler",
    ),
    "demo": _blocks.own(
        "demo",
        _config(steps=60, every=(10, 20, 20), lr=1e-2, batch=(8, 1), workers=0),
        "few steps at a high rate: shows that everything works, says nothing about the upstream",
    ),
    "sample": _blocks.own(
        "sample",
        _config(steps=200, every=(20, 50, 50), lr=1e-2, batch=(8, 1), workers=0),
        "few steps at a high rate, for a handful of real utterances",
    ),
}


def prepare(data: Path, cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Find VoxCeleb1 under `data`, hold it against its list, and show it to s3prl in s3prl's layout."""
    from downstream_runs.corpora import voxceleb1, voxceleb1_lists

    cache = cache.resolve() / "voxceleb1"
    root = voxceleb1.find_root(data).resolve()
    voxceleb1.require_good(voxceleb1.check(root, tuple(voxceleb1.PARTS), decode=4))
    folders = voxceleb1.speakers(root)
    source = voxceleb1_lists.find_split_list(root, cache)
    splits = voxceleb1_lists.read_split_list(source)
    files = voxceleb1.require_listed(
        voxceleb1.recordings(folders), [name for names in splits.values() for name in names], source
    )
    voxceleb1_lists.require_labels(splits, source)
    listed = voxceleb1_lists.write_split_list(splits, cache)
    counts = {split: len(names) for split, names in splits.items()}
    return PreparedData(
        root=root,
        settings={
            "datarc.file_path": str(voxceleb1.view({"all": folders}, cache)),
            "datarc.meta_data": str(listed),
        },
        utterances=counts,
        audio=tuple(file.path for file in files),
        sha256=voxceleb1.content_hash(files, listed),
        labels=voxceleb1.labels(root),
        deviations=(
            *voxceleb1.deviations(root),
            *voxceleb1_lists.other_counts(root, counts),
            *voxceleb1_lists.other_list(root, source),
        ),
    )


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the speakers that s3prl wrote to `folder`, by `idNNNNN-<video>-NNNNN`."""
    truth = _labels.read_rows(folder / f"{split}_truth.txt", " ")
    predicted = _labels.read_rows(folder / f"{split}_predict.txt", " ")
    return (_labels.score(truth, predicted, lambda name: name.split("-")[0]),)


def demo(folder: Path) -> Path:
    """The synthetic corpus in VoxCeleb1's layout, made in `folder`."""
    from downstream_runs.corpora.demo import voxceleb1

    return voxceleb1.make(folder)


TASK = TaskSpec(
    name="sid",
    title="Speaker identification",
    s3prl_name="voxceleb1",
    aliases=("voxceleb1", "speaker-identification"),
    corpus=Corpus(
        name="VoxCeleb1",
        licence="CC BY 4.0 (metadata); the audio is YouTube's, for research",
        size="30 GB + 1 GB",
        url="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("voxceleb1/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_predict.txt", "test_truth.txt"),
    recipes=RECIPES,
    prepare=prepare,
    score=score,
    demo=demo,
    split_batches=True,
    random_items=True,
    pooled=True,
)
