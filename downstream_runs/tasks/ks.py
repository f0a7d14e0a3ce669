"""Keyword spotting on Speech Commands v0.01: twelve classes, accuracy on the corpus's own test set."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Corpus, PreparedData, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.speech_commands import Listing


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold both folders of Speech Commands under `data` against their classes and counts."""
    return _read(data, partial, decode=0)[1]


def _read(data: Path, partial: bool, decode: int) -> tuple[Listing, markers.Standing]:
    """The files of both folders, and what the corpus is."""
    from downstream_runs.corpora import speech_commands, wavs

    train, test = (root.resolve() for root in speech_commands.find_roots(data))
    listing = speech_commands.read(train, test)
    made = speech_commands.labels(listing)
    standing = speech_commands.standing(listing, partial)
    wavs.require_good(
        speech_commands.check(listing, decode=decode),
        f"delete {train} and {test} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack both archives of Speech Commands v0.01 again, or try the path first with --demo",
    )
    return listing, standing


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find both folders of Speech Commands under `data` and check them."""
    from downstream_runs.corpora import speech_commands

    listing, standing = _read(data, partial, decode=8)
    train, test = listing.train_root, listing.test_root
    return PreparedData(
        root=train,
        settings={"datarc.speech_commands_root": str(train), "datarc.speech_commands_test_root": str(test)},
        utterances=listing.utterances,
        audio=(*listing.train, *listing.dev, *listing.noise, *listing.test),
        sha256=speech_commands.content_hash(listing),
        **standing.facts,
    )


def adjust(downstream: Any) -> None:
    """Put the files of s3prl's data sets in the order of their names, the sampling weights with them.

    s3prl takes them in the order in which the file system lists folders, so that the same seed draws other
    files on another machine (an s3prl user saw 83 become 62 % accuracy, its issue 220). Noise stays last.
    """
    for dataset in (downstream.train_dataset, downstream.dev_dataset, downstream.test_dataset):
        order = sorted(range(len(dataset.data)), key=lambda index: _place(dataset.data[index]))
        dataset.data = [dataset.data[index] for index in order]
        if hasattr(dataset, "sample_weights"):
            dataset.sample_weights = [dataset.sample_weights[index] for index in order]


def _place(item: tuple[str, Any]) -> tuple[bool, str, str]:
    path = Path(item[1])
    return path.parent.name == "_background_noise_", path.parent.name, path.name


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files that s3prl wrote to `folder`, one line an item that was drawn."""
    truth = _labels.read_rows(folder / f"{split}_truth.txt", " ")
    predicted = _labels.read_rows(folder / f"{split}_predict.txt", " ")
    return (_labels.score(truth, predicted, _speaker),)


def _speaker(name: str) -> str:
    """The speaker in a name such as `yes-0a7c2a8d_nohash_0.wav`, or the name itself."""
    found = re.search(r"([0-9a-f]{8})_nohash_", name)
    return found[1] if found else name


def demo(folder: Path) -> Path:
    """The synthetic corpus in Speech Commands' layout, made in `folder`."""
    from downstream_runs.corpora.demo import speech_commands

    return speech_commands.make(folder)


TASK = TaskSpec(
    name="ks",
    title="Keyword spotting",
    s3prl_name="speech_commands",
    aliases=("keyword-spotting", "speech-commands", "speech-command", "kws"),
    corpus=Corpus(
        name="Speech Commands v0.01 and its test set",
        licence="CC BY 4.0",
        size="1.4 GB + 69 MB",
        url="http://download.tensorflow.org/data/speech_commands_v0.01.tar.gz and "
        "http://download.tensorflow.org/data/speech_commands_test_set_v0.01.tar.gz",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("speech_commands/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_predict.txt", "test_truth.txt"),
    recipes=Recipes("ks"),
    prepare=prepare,
    look=look,
    score=score,
    demo=demo,
    split_batches=True,
    random_items=True,
    pooled=True,
    adjust=adjust,
)
