"""The evaluation block of a model card of the Hugging Face hub, and what is to be cited with it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from downstream_runs import tasks
from downstream_runs.core.results import LABELS, OWN_TASK, Metric, Result
from downstream_runs.share.private import Hidden
from reports import store
from upstream_arm import names
from upstream_arm.common.errors import ReportError, UsageError

if TYPE_CHECKING:
    from huggingface_hub import EvalResult

#: The hub's name of the tasks' kind, where it has one (its list of pipelines); else the task's own title.
KINDS = {
    **dict.fromkeys(("pr", "asr"), "automatic-speech-recognition"),
    **dict.fromkeys(("ks", "sid", "ic", "er"), "audio-classification"),
}
SUPERB, PAPER = "yang2021superb", "jang2023recycle"
#: Task -> the keys of its corpora in citations.bib.
CITED = {
    **dict.fromkeys(("pr", "asr"), ("panayotov2015librispeech",)),
    "ks": ("warden2018speech",),
    "qbe": ("anguera2015quesst",),
    **dict.fromkeys(("sid", "asv"), ("nagrani2017voxceleb",)),
    "sd": ("cosentino2020librimix", "panayotov2015librispeech"),
    "ic": ("lugosch2019speech",),
    "sf": ("coucke2018snips", "lai2021semi"),
    "er": ("busso2008iemocap",),
}


def card(places: Sequence[Path]) -> str:
    """The front matter with the block, a table's worth of words, and BibTeX, for the runs of one upstream.

    UsageError where there are none, or runs of several upstreams.
    """
    found = store.find(places)
    if found.problems:
        raise ReportError(found.problems[0])
    results = [result for _, result in found.results]
    upstreams = sorted({result.upstream for result in results})
    if len(upstreams) != 1:
        told = f"runs of {', '.join(upstreams)}" if upstreams else "no finished run"
        raise UsageError(f"a card is of one model, and {told} were found; name the runs of one upstream")
    results.sort(key=lambda result: (_order(result.task), result.created))
    return "\n".join([_block(upstreams[0], results), *_words(results), "", *_bibtex(upstreams[0], results)])


def evaluations(results: Sequence[Result]) -> list[EvalResult]:
    """Each headline as huggingface_hub holds it; what is no number of SUPERB says so in type and name."""
    from huggingface_hub import EvalResult

    times = Counter((result.task, result.labels) for result in results)
    made = []
    for result in results:
        again = f", seed {result.seed}" if times[result.task, result.labels] > 1 else ""
        for metric in (metric for metric in result.metrics if metric.role == "headline"):
            made.append(
                EvalResult(
                    task_type=KINDS.get(result.task, "other"),
                    task_name=_title(result),
                    dataset_type=_dataset_type(result),
                    dataset_name=result.corpus.name + _marks(result),
                    dataset_config=result.task,
                    dataset_split=metric.split,
                    metric_type=metric.name,
                    metric_value=metric.value,
                    metric_name=f"{metric.name} ({metric.unit}){again}{_marks(result)}",
                    metric_args=_details(result, metric),
                )
            )
    return made


def _details(result: Result, metric: Metric) -> dict[str, Any]:
    """What a reader must know of a number beside its value."""
    said: dict[str, Any] = {
        "official_protocol": metric.official,
        "selection": metric.selection,
        "recipe": result.recipe,
        "steps": result.steps,
        "seed": result.seed,
        "counts": dict(metric.counts),
    }
    if result.deviations:
        said["deviations"] = Hidden.of(result).value(result.deviations)
    if result.labels:
        said["not_comparable"] = [f"{label}: {LABELS.get(label, 'see the run')}" for label in result.labels]
    return said


def _dataset_type(result: Result) -> str:
    """`superb` only for a number that may stand beside published ones."""
    if OWN_TASK in result.config:
        return f"own-corpus-{result.task}"
    return "-".join(("not-superb", *result.labels)) if result.labels else "superb"


def _title(result: Result) -> str:
    if OWN_TASK in result.config:
        return f"{result.task}, a task of one's own, none of SUPERB's"
    return f"SUPERB {result.task.upper()}: {tasks.get(result.task).title}{_marks(result)}"


def _marks(result: Result) -> str:
    return f" [{', '.join(result.labels)}]" if result.labels else ""


def _order(task: str) -> tuple[int, str]:
    known = tasks.names()
    return (known.index(task) if task in known else len(known), task)


def _block(upstream: str, results: Sequence[Result]) -> str:
    """The YAML front matter; ReportError if huggingface_hub reads it otherwise than it was written."""
    from huggingface_hub import ModelCardData
    from huggingface_hub.repocard_data import model_index_to_eval_results

    made = evaluations(results)
    text = str(ModelCardData(model_name=upstream, eval_results=made).to_yaml())
    name, read = model_index_to_eval_results(yaml.safe_load(text)["model-index"])
    if name != upstream or sorted(map(repr, read)) != sorted(map(repr, made)):
        raise ReportError("huggingface_hub does not read the block as it was written; report this")
    return f"---\n{text.strip()}\n---\n"


def _words(results: Iterable[Result]) -> list[str]:
    """The same for readers: a line a number."""
    lines = ["## Evaluation", ""]
    limited = {label for result in results for label in result.labels}
    for label in (label for label in LABELS if label in limited):
        lines.append(f"**Not comparable to published numbers ({label})**: {LABELS[label]}.\n")
    lines += ["| task | metric | value | split | corpus |", "| --- | --- | --: | --- | --- |"]
    for result in results:
        for metric in (metric for metric in result.metrics if metric.role == "headline"):
            digits = 2 if metric.unit == "percent" else 4
            cells = (result.task, metric.name, f"{metric.value:.{digits}f}", metric.split)
            lines.append(f"| {' | '.join(cells)} | {result.corpus.name}{_marks(result)} |")
    return lines


def _bibtex(upstream: str, results: Iterable[Result]) -> list[str]:
    """The entries of what these numbers rest on."""
    entries = citations()
    keys = [key for result in results for key in CITED.get(result.task, ())]
    first = [SUPERB] if keys else []
    first += [PAPER] if names.canonical(upstream) in names.RELEASED else []
    chosen = dict.fromkeys([*first, *keys])
    return ["```bibtex", "\n\n".join(entries[key] for key in chosen), "```"] if chosen else []


def citations() -> dict[str, str]:
    """Key -> entry of citations.bib, from the publications themselves."""
    text = (Path(__file__).parent / "citations.bib").read_text(encoding="utf-8")
    return {re.split(r"[{,]", entry)[1]: entry.strip() for entry in text.split("\n\n") if entry.strip()}
