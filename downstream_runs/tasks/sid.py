"""Speaker identification on VoxCeleb1: which of 1,251 speakers says an utterance."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Corpus, PreparedData, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.voxceleb1 import Recording


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold VoxCeleb1 under `data` against the archives and its list."""
    return _listed(data, cache and cache.resolve() / "voxceleb1", partial, decode=0).standing


@dataclass(frozen=True)
class _Listed:
    """A corpus with what its list names of it; no splits where the list would have to be downloaded."""

    root: Path
    splits: Mapping[str, Sequence[str]]
    files: Sequence[Recording]
    standing: markers.Standing


def _listed(data: Path, cache: Path | None, partial: bool, decode: int) -> _Listed:
    from downstream_runs.corpora import voxceleb1, voxceleb1_lists

    root = voxceleb1.find_root(data).resolve()
    report = voxceleb1.check(root, tuple(voxceleb1.PARTS), decode=decode, partial=partial)
    archives = voxceleb1.require_good(report, partial)
    source = voxceleb1_lists.find_split_list(root, cache)
    if source is None:
        return _Listed(root, {}, (), archives)
    splits = voxceleb1_lists.read_split_list(source)
    recordings = voxceleb1.recordings(voxceleb1.speakers(root))
    if archives.partial:
        splits = voxceleb1_lists.present_of(splits, {file.name for file in recordings})
        voxceleb1_lists.require_utterances(splits, source)
    files = voxceleb1.require_listed(
        recordings, [name for names in splits.values() for name in names], source
    )
    voxceleb1_lists.require_labels(splits, source)
    standing = voxceleb1_lists.identification(root, splits, partial)
    return _Listed(root, splits, files, standing.and_also(voxceleb1_lists.other_list(root, source)))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find VoxCeleb1 under `data`, hold it against its list, and show it to s3prl in s3prl's layout."""
    from downstream_runs.corpora import voxceleb1, voxceleb1_lists

    cache = cache.resolve() / "voxceleb1"
    found = _listed(data, cache, partial, decode=4)
    root, splits, files = found.root, found.splits, found.files
    folders = voxceleb1.speakers(root)
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
        **found.standing.facts,
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
    recipes=Recipes("sid"),
    prepare=prepare,
    look=look,
    data_keys=("downstream_expert.datarc.max_timestep",),
    score=score,
    demo=demo,
    split_batches=True,
    random_items=True,
    pooled=True,
)
