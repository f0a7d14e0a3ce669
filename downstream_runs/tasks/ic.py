"""Intent classification on Fluent Speech Commands: three slots, and an utterance counts if all are right."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.task import Corpus, PreparedData, Score, Selection, TaskSpec
from downstream_runs.recipes import Recipes
from downstream_runs.tasks import _labels

if TYPE_CHECKING:
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.fluent_commands import Utterance


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold Fluent Speech Commands under `data` against its tables and counts."""
    return _read(data, partial, decode=0)[2]


def _read(
    data: Path, partial: bool, decode: int
) -> tuple[Path, Mapping[str, tuple[Utterance, ...]], markers.Standing]:
    """The root, the utterances of each split, and what the corpus is."""
    from downstream_runs.corpora import fluent_commands, markers, wavs

    root = fluent_commands.find_root(data).resolve()
    utterances = fluent_commands.read(root, partial)
    made = markers.labels(root)
    standing = fluent_commands.standing(root, utterances, partial)
    wavs.require_good(
        fluent_commands.check(root, utterances, decode=decode),
        f"delete {root} and make the {' and '.join(made)} corpus again"
        if made
        else "unpack Fluent Speech Commands again, or try the path first with --demo",
    )
    return root, utterances, standing


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find Fluent Speech Commands under `data` and check its tables and audio."""
    from downstream_runs.corpora import fluent_commands

    root, utterances, standing = _read(data, partial, decode=8)
    digest = fluent_commands.content_hash(root, utterances)
    # Tables of a part name files by their whole paths.
    place = hashlib.sha256(f"{root}\0{digest}".encode("utf-8", "surrogateescape")).hexdigest()[:12]
    tables = fluent_commands.write_tables(root, utterances, cache.resolve() / f"fluent-{place}")
    return PreparedData(
        root=root,
        settings={"datarc.file_path": str(tables)},
        utterances={split: len(listed) for split, listed in utterances.items()},
        audio=tuple(utterance.path for listed in utterances.values() for utterance in listed),
        sha256=digest,
        **standing.facts,
        groups={utterance.path.stem: utterance.speaker for utterance in utterances["test"]},
    )


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Accuracy of `split` from the files that s3prl wrote to `folder`: `UTTERANCE,ACTION,OBJECT,LOCATION`."""
    truth = _labels.read_rows(folder / f"{split}_truth.csv", ",")
    predicted = _labels.read_rows(folder / f"{split}_predict.csv", ",")
    return (_labels.score(truth, predicted),)


def demo(folder: Path) -> Path:
    """The synthetic corpus in Fluent Speech Commands' layout, made in `folder`."""
    from downstream_runs.corpora.demo import fluent_commands

    return fluent_commands.make(folder)


TASK = TaskSpec(
    name="ic",
    title="Intent classification",
    s3prl_name="fluent_commands",
    aliases=("intent-classification", "fluent-commands", "fluent-speech-commands", "intent"),
    corpus=Corpus(
        name="Fluent Speech Commands",
        licence="Fluent Speech Commands Public License (academic research)",
        size="1.5 GB",
        url="https://fluent.ai/fluent-speech-commands-a-dataset-for-spoken-language-understanding-research/",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(_labels.accuracy_metric("fluent_commands/{split}-acc"),),
    selection=Selection(split="dev", metric="acc", artefact="dev-best.ckpt", s3prl_bound=0.0),
    artefacts=("dev-best.ckpt", "test_predict.csv", "test_truth.csv"),
    recipes=Recipes("ic"),
    prepare=prepare,
    look=look,
    score=score,
    demo=demo,
    split_batches=True,
    pooled=True,
)
