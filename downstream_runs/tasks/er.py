"""Emotion recognition on IEMOCAP: four classes, the mean accuracy of five folds, each a session held out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Corpus, PreparedData, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels
from upstream_arm.common.errors import RunFailed, UsageError

if TYPE_CHECKING:
    from downstream_runs.corpora import iemocap, markers

FOLDS = ("fold1", "fold2", "fold3", "fold4", "fold5")


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold IEMOCAP under `data` against its labels and counts."""
    return _read(data, partial, decode=0)[2]


Sessions = Mapping[int, "Sequence[iemocap.Utterance]"]


def _read(data: Path, partial: bool, decode: int) -> tuple[Path, Sessions, markers.Standing]:
    """The root, the utterances of each session, and what the corpus is."""
    from downstream_runs.corpora import iemocap, markers, wavs

    root = iemocap.find_root(data).resolve()
    partial = partial and not markers.marks(root)
    sessions = iemocap.read(root, partial)
    made = markers.labels(root)
    standing = iemocap.standing(root, sessions, partial)
    iemocap.require_two(root, sessions)
    wavs.require_good(
        iemocap.check(root, sessions, decode=decode),
        f"delete {root} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack IEMOCAP again, or try the path first with --demo",
    )
    return root, sessions, standing


def folds_of(data: Path) -> tuple[str, ...]:
    """The folds of the sessions that are there, where there are two or more; else all, to be refused."""
    from downstream_runs.corpora import iemocap

    try:
        there = iemocap.present(iemocap.find_root(data))
    except UsageError:
        return FOLDS
    return tuple(FOLDS[number - 1] for number in there) if len(there) > 1 else FOLDS


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find IEMOCAP under `data`, check all five sessions, and derive the metadata that s3prl reads."""
    from downstream_runs.corpora import iemocap

    datarc = config["downstream_expert"]["datarc"]
    fold = FOLDS.index(datarc["test_fold"]) + 1
    root, sessions, standing = _read(data, partial, decode=4)
    digest = iemocap.content_hash(root, sessions)
    metadata = iemocap.write_metadata(sessions, cache.resolve() / f"iemocap-{digest[:12]}")
    others = sum(len(utterances) for number, utterances in sessions.items() if number != fold)
    # s3prl's own expression, rounding included.
    train = int((1 - datarc["valid_ratio"]) * others)
    return PreparedData(
        root=root,
        settings={"datarc.root": str(root), "datarc.meta_data": str(metadata)},
        utterances={"train": train, "dev": others - train, "test": len(sessions[fold])},
        audio=tuple(root / one.path for utterances in sessions.values() for one in utterances),
        sha256=digest,
        **standing.facts,
        groups={utterance.name: utterance.speaker for utterance in sessions[fold]},
    )


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files of the one fold that s3prl wrote to `folder`."""
    folds = [fold for fold in FOLDS if (folder / f"{split}_{fold}_predict.txt").is_file()]
    if len(folds) != 1:
        raise RunFailed(
            f"{folder} has {split} predictions of {' and '.join(folds) or 'no fold'}, of one fold were "
            "expected; start the run again with --rerun always"
        )
    truth = _labels.read_rows(folder / f"{split}_{folds[0]}_truth.txt", " ")
    predicted = _labels.read_rows(folder / f"{split}_{folds[0]}_predict.txt", " ")
    return (_labels.score(truth, predicted),)


def demo(folder: Path) -> Path:
    """The synthetic corpus in IEMOCAP's layout, made in `folder`."""
    from downstream_runs.corpora.demo import iemocap

    return iemocap.make(folder)


TASK = TaskSpec(
    name="er",
    title="Emotion recognition",
    s3prl_name="emotion",
    aliases=("emotion", "emotion-recognition", "iemocap"),
    corpus=Corpus(
        name="IEMOCAP",
        licence="USC's own, for research; granted on request",
        size="12 GB",
        url="https://sail.usc.edu/iemocap/",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("emotion-{fold}/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_{fold}_predict.txt", "test_{fold}_truth.txt"),
    recipes=Recipes("er"),
    prepare=prepare,
    look=look,
    data_keys=("downstream_expert.datarc.valid_ratio",),
    score=score,
    demo=demo,
    split_batches=True,
    pooled=True,
    folds=FOLDS,
    fold_key="downstream_expert.datarc.test_fold",
    folds_of=folds_of,
)
