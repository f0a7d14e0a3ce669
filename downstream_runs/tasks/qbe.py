"""Query-by-example spoken term detection on QUESST 2014: features, DTW, MTWV, and no training."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import BENCHMARK, LAYERS, TRIALS
from downstream_runs.core.task import Corpus, MetricSpec, PreparedData, Score, TaskSpec
from downstream_runs.recipes import Recipes
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.quesst14 import Quesst14
    from downstream_runs.engine.bench import Bench

STORES = ("float32", "float16")

RECIPES = Recipes("qbe")


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """The same checks as `prepare`: they decode nothing."""
    return _load(data, config, partial)[1]


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find QUESST 2014 under `data` and check what is searched; nothing is written."""
    from downstream_runs.corpora import quesst14

    corpus, standing = _load(data, config, partial)
    return PreparedData(
        root=corpus.root,
        settings={},
        utterances={
            quesst14.DOCUMENTS: len(corpus.documents),
            **{split: len(queries) for split, queries in corpus.queries.items()},
        },
        audio=tuple(one.path for part in (corpus.documents, *corpus.queries.values()) for one in part),
        sha256=quesst14.content_hash(corpus),
        **standing.facts,
    )


def _load(data: Path, config: Mapping[str, Any], partial: bool) -> tuple[Quesst14, markers.Standing]:
    """The searched part of the data set, and what it is beside the official one."""
    from downstream_runs.corpora import quesst14

    _check_config(config)
    corpus = quesst14.load(quesst14.find_root(data).resolve(), partial)
    return corpus, quesst14.standing(corpus, partial)


def _check_config(config: Mapping[str, Any]) -> None:
    found, built = config["downstream_expert"], RECIPES["superb"].config["downstream_expert"]
    for key, value in built.items():
        if key != "feature_store" and found[key] != value:
            raise UsageError(
                f"downstream_expert.{key} is {found[key]!r}, and QbE is built for SUPERB's {value!r} only; "
                "leave it out, or run s3prl itself with the s3prl command"
            )
    if found["feature_store"] not in STORES:
        raise UsageError(
            f"downstream_expert.feature_store is {found['feature_store']!r}, "
            f"expected one of {', '.join(STORES)}"
        )


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """Nothing: MTWV is not scored split by split, see `test`."""
    return ()


def demo(folder: Path) -> Path:
    """The synthetic corpus in QUESST 2014's layout, made in `folder`."""
    from downstream_runs.corpora.demo import quesst14

    return quesst14.make(folder)


def test(bench: Bench) -> tuple[Metric, ...]:
    """Every layer on dev, the best on eval."""
    from downstream_runs.protocols import qbe

    return qbe.test(bench)


TASK = TaskSpec(
    name="qbe",
    title="Query-by-example spoken term detection",
    s3prl_name="quesst14_dtw",
    aliases=("query-by-example", "quesst14", "quesst14-dtw", "quesst", "spoken-term-detection"),
    corpus=Corpus(
        name="QUESST 2014, non-native English",
        licence="free for research, see the data set's own terms",
        size="23 hours of documents at 8 kHz, about 1.4 GB",
        url="https://speech.fit.vutbr.cz/files/quesst14Database.tgz",
    ),
    train_split=None,
    dev_splits=("dev",),
    test_splits=("eval",),
    metrics=(
        MetricSpec("mtwv", "maximum term weighted value", "fraction", "higher", None),
        MetricSpec(
            "mtwv_english",
            "maximum term weighted value, English queries and documents only",
            "fraction",
            "higher",
            None,
            official=False,
        ),
    ),
    selection=None,
    artefacts=(BENCHMARK, LAYERS, TRIALS),
    recipes=RECIPES,
    prepare=prepare,
    look=look,
    score=score,
    demo=demo,
    test=test,
)
