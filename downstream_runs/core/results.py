"""The file that a finished run leaves, `result.json`: its schema, and the documentation of that schema.

Every key documented below is in every file. Where a value does not apply it is `null` if its text says so,
else an empty list or object. `read` refuses a file with a key too few or too many: a file is exactly of
SCHEMA_VERSION or is not used. Any change of the keys or of their meaning raises SCHEMA_VERSION, but for keys
that only add to what is there (ADDED): files of earlier versions are read as if they had their defaults.

`content_sha256` shows an edit by hand; it is no signature, and whoever edits on purpose can renew it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from downstream_runs.core.efficiency import Efficiency, Quantized
from downstream_runs.core.jsontypes import check_fields, filled, from_mapping, json_value, unique_keys
from upstream_arm.common.errors import ReportError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.reading import read_text
from upstream_arm.published_states import STATES

SCHEMA_VERSION = 1
AGAIN = f"make it again with {PROGRAM} UPSTREAM TASK"

#: The label of results on a part of a corpus, and how the deviation with the counts of its parts begins.
PARTIAL, PARTIAL_TEXT = "partial", "the corpus is partial: "

#: The label of results with quantized upstreams.
INT8 = "int8"

#: The label of results of tasks that are none of SUPERB's, and the block of their configuration that says
#: what the task is: its kind, its table and that one's SHA-256.
OWN_CORPUS, OWN_TASK = "own-corpus", "own_task"

#: How the label of results begins whose test recordings had noise added to them.
NOISE = "noise-"
#: The label of a trained head's numbers on another test set than its task's.
TEST_ONLY = "test-only"

#: Labels of results that no published row can be compared with, and why. A label that is not listed here is
#: possible and has the same effect.
LABELS: dict[str, str] = {
    "demo": "trained and scored on synthetic speech, not on the task's corpus",
    "untrained": "the upstream has random weights",
    "untrained-teacher": "the upstream was distilled from a teacher with random weights",
    "shortened": "trained for fewer steps than the recipe says",
    INT8: "the upstream's linear layers were quantized to int8",
    PARTIAL: "trained or scored on a part of the task's corpus, or on other recordings in its layout",
    "other-data": "trained, chosen or scored on other splits, recordings or references than the task's own",
    "own-recipe": "trained by a recipe of one's own, with other settings than each of the task's recipes",
    OWN_CORPUS: "a task of one's own, on a corpus of one's own, and none of SUPERB's",
    TEST_ONLY: "a trained head on another test set than its task's",
    "sample": "trained and scored on a small sample of the task's corpus",
}


def reason(label: str) -> str:
    """Why results of this label cannot be compared with published rows."""
    if label.startswith(NOISE):
        return "noise was added to the recordings of the test"
    return LABELS.get(label, "labelled so by its run")


#: Keys that files of earlier versions have not.
ADDED = (
    "upstream_source",
    "upstream_revision",
    "upstream_remote_code",
    "upstream_weights_sha256",
    "states",
    "layer",
    "quantize",
    "efficiency",
    "card",
    "name",
)

#: Metrics whose value must follow from the counts `errors` and `length`.
ERROR_RATES = frozenset({"wer", "cer", "per"})
TOLERANCE = 1e-9


@dataclass(frozen=True)
class Metric:
    """One number of a result. Raises ReportError for wrong types and for counts that contradict the value.

    name: `wer`, `per`, `acc`, `mtwv`, `eer`, `der`, `slot_type_f1`, `slot_value_cer`; any other name for
        information.
    value: in `unit`.
    unit: `percent` (100 times the fraction) or `fraction`.
    direction: which values are better.
    counts: whole numbers that the value was computed from; `errors` and `length` always for wer, cer and per,
        and wherever both are present the value must equal errors / length. Empty where nothing is counted.
    split: the part of the corpus, by the corpus's own name (`test-clean`).
    selection: how the evaluated checkpoint was chosen, in words ("lowest WER on dev-clean").
    official: true when split, selection and scorer are those of SUPERB's protocol for this task. It says
        nothing about corpus, weights or length of training: the labels and deviations of the result do.
    role: `headline` for the one value per name that tables print; `information` for every other.
    """

    name: str
    value: float
    unit: Literal["percent", "fraction"]
    direction: Literal["lower", "higher"]
    counts: Mapping[str, int]
    split: str
    selection: str
    official: bool
    role: Literal["headline", "information"]

    def __post_init__(self) -> None:
        check_fields(self)
        filled(self, "name", "split", "selection")
        counted = {"errors", "length"} <= self.counts.keys()
        if self.name in ERROR_RATES and not counted:
            raise ReportError(f"{self.name} comes without its counts, 'errors' and 'length' were expected")
        if not counted:
            return
        errors, length = self.counts["errors"], self.counts["length"]
        if errors < 0 or length <= 0:
            raise ReportError(f"{self.name} has {errors} errors in a length of {length}: no rate follows")
        expected = errors / length * (100 if self.unit == "percent" else 1)
        # The relative part is for rates far above 1, where rounding alone exceeds the absolute one.
        if not math.isclose(self.value, expected, rel_tol=1e-12, abs_tol=TOLERANCE):
            raise ReportError(
                f"{self.name} is {self.value!r} {self.unit}, but {errors} errors in a length of {length} "
                f"give {expected!r}"
            )

    def __str__(self) -> str:
        return f"{self.name} {self.value:.{2 if self.unit == 'percent' else 4}f}"


@dataclass(frozen=True)
class Corpus:
    """The speech of a run.

    name: `LibriSpeech`, or what the demo or sample calls itself.
    root: the folder as it was on the machine of the run.
    counts: utterances of each split that was used.
    hash: SHA-256 over the listing of the files used; two runs on the same files have the same.
    """

    name: str
    root: str
    counts: Mapping[str, int]
    hash: str

    def __post_init__(self) -> None:
        check_fields(self)
        filled(self, "name")
        _check_sha256(self.hash, "hash")


@dataclass(frozen=True, kw_only=True)
class Result:
    """One task, run and scored with one upstream. Raises ReportError for values that the schema excludes.

    upstream: the name by which the upstream was asked for.
    task: `pr`, `asr`, `ks`, `qbe`, `sid`, `asv`, `sd`, `ic`, `sf` or `er`.
    recipe: `superb` (s3prl's defaults), `paper` or `demo`, before any deviation.
    labels: empty for a run that published rows can be compared with; else what forbids it, as in LABELS.
    deviations: one sentence for each departure from the protocol of task and recipe; empty without one.
    metrics: at least one has the role `headline`; names of headlines are unique.
    command: the command line, as a list of arguments.
    config: the whole configuration after all overrides.
    config_hash: `config_hash(config)`. May be left out in Python.
    seed: the one seed of the run.
    steps: optimiser steps done; 0 for a task without training.
    packages: version of each package that can change a number (`torch`, `s3prl`, ...).
    git_commit: the toolkit's commit, with `-dirty` behind it when files differed; null when it was not run
        from a git checkout.
    upstream_checkpoint: path or address of the weights; null when there is none (random weights, FBANK).
    upstream_checkpoint_sha256: of the weights' file; null exactly when `upstream_checkpoint` is.
    upstream_switches: options that change what the upstream computes (precision, attention path); may be
        empty.
    upstream_parameters: how many parameters the upstream has; null when nobody counted them.
    upstream_source: where the upstream is from, as `hf:ORG/NAME`, a folder, `py:FILE.py:NAME` or the name of
        a plug-in; null for a name of s3prl's hub.
    upstream_revision: what pins the source: the commit of a repository on the hub, the SHA-256 of a folder's
        files, or of the code and its options; null for a name of s3prl's hub.
    upstream_remote_code: whether code was run that came with the weights (`--trust-remote-code`).
    upstream_weights_sha256: of the weights' files of a model of transformers, of the module's tensors for any
        other; null when nobody looked.
    states: the key of the upstream's output that the features are, s3prl's `-s`.
    layer: the one layer of them that was taken, s3prl's `-l`; null for the weighted sum over all.
    quantize: what quantizing made of the upstream, see Quantized; null where it was left as it is.
    efficiency: what the upstream costs, see Efficiency; null where the run did not measure it.
    card: what was measured of the upstream before the run, `upstreams.card.Card` without what is not known:
        its shape, how it was batched, and whether an utterance's features depend on its batch; null where
        that could not be measured.
    name: what the user calls the row that the result is in (`--name`); null, and then not in the file, where
        it has none.
    device: what it ran on, in words (`cpu`, `NVIDIA A100`).
    wall_seconds: duration of training and evaluation, summed over interrupted parts.
    corpus: see Corpus.
    artefacts: path relative to the folder of the result -> SHA-256, for each file that the numbers need.
    created: end of the run, ISO 8601 with the offset from UTC.
    schema_version: SCHEMA_VERSION.
    content_sha256: SHA-256 of the canonical JSON of all other keys; set by `write`, checked by `read`, empty
        before that.
    """

    upstream: str
    task: str
    recipe: str
    labels: tuple[str, ...]
    deviations: tuple[str, ...]
    metrics: tuple[Metric, ...]
    command: tuple[str, ...]
    config: Mapping[str, Any]
    config_hash: str = ""
    seed: int
    steps: int
    packages: Mapping[str, str]
    git_commit: str | None
    upstream_checkpoint: str | None
    upstream_checkpoint_sha256: str | None
    upstream_switches: Mapping[str, Any]
    upstream_parameters: int | None = None
    upstream_source: str | None = None
    upstream_revision: str | None = None
    upstream_remote_code: bool = False
    upstream_weights_sha256: str | None = None
    states: str = STATES
    layer: int | None = None
    quantize: Quantized | None = None
    efficiency: Efficiency | None = None
    card: Mapping[str, Any] | None = None
    name: str | None = None
    device: str
    wall_seconds: float
    corpus: Corpus
    artefacts: Mapping[str, str]
    created: str
    schema_version: int = SCHEMA_VERSION
    content_sha256: str = ""

    def __post_init__(self) -> None:
        check_fields(self)
        if self.schema_version != SCHEMA_VERSION:
            raise ReportError(f"schema_version is {self.schema_version}, {SCHEMA_VERSION} was expected")
        filled(self, "upstream", "task", "recipe", "command", "device", "states")
        self._check_names()
        self._check_hashes()
        for name in ("steps", "wall_seconds", "upstream_parameters"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ReportError(f"{name} is {value}, a number not below 0 was expected")
        try:
            has_offset = datetime.fromisoformat(self.created.replace("Z", "+00:00")).tzinfo is not None
        except ValueError:
            has_offset = False
        if not has_offset:
            expected = "an ISO 8601 time with its offset from UTC"
            raise ReportError(f"created is {self.created!r}, {expected} was expected")

    def headline(self, name: str) -> Metric | None:
        """The metric of this name that tables print, or None."""
        return next((item for item in self.metrics if item.role == "headline" and item.name == name), None)

    @property
    def shortfall(self) -> str:
        """The deviation with the counts of a part of a corpus; empty for a result on another."""
        partial = (text for text in self.deviations if text.startswith(PARTIAL_TEXT))
        return next(partial, "") if PARTIAL in self.labels else ""

    def _check_names(self) -> None:
        for label in self.labels:
            if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", label):
                raise ReportError(f"labels holds {label!r}, a lower-case word was expected")
        if len(set(self.labels)) != len(self.labels):
            raise ReportError(f"labels {list(self.labels)} names a label twice")
        names = [item.name for item in self.metrics if item.role == "headline"]
        if not names:
            raise ReportError("metrics has no headline, at least one was expected")
        if len(set(names)) != len(names):
            raise ReportError(f"metrics has two headlines of one name among {names}")

    def _check_hashes(self) -> None:
        expected = config_hash(self.config)
        if not self.config_hash:
            object.__setattr__(self, "config_hash", expected)
        elif self.config_hash != expected:
            raise ReportError(f"config_hash is {self.config_hash!r}, the configuration gives {expected!r}")
        if (self.upstream_checkpoint is None) != (self.upstream_checkpoint_sha256 is None):
            raise ReportError("only one of upstream_checkpoint and upstream_checkpoint_sha256 is null")
        if self.upstream_checkpoint_sha256 is not None:
            _check_sha256(self.upstream_checkpoint_sha256, "upstream_checkpoint_sha256")
        if self.upstream_weights_sha256 is not None:
            _check_sha256(self.upstream_weights_sha256, "upstream_weights_sha256")
        if (self.upstream_source is None) != (self.upstream_revision is None):
            raise ReportError("only one of upstream_source and upstream_revision is null")
        for name, digest in self.artefacts.items():
            path = PurePosixPath(name)
            if not name or path.is_absolute() or ".." in path.parts:
                raise ReportError(f"artefacts names {name!r}, a path within the result's folder was expected")
            _check_sha256(digest, f"artefacts.{name}")


def config_hash(config: Mapping[str, Any]) -> str:
    """SHA-256 in hex of the canonical JSON of a configuration, whatever the order of its keys.

    Raises ReportError for values that JSON does not have.
    """
    return _sha256(json_value(config, "config"))


def write(path: Path, result: Result) -> Result:
    """Write `result` to `path`, whole or not at all; returns it with `content_sha256` set.

    Checks it once more before, because its mappings could have been changed since (ReportError).
    """
    content = dataclasses.asdict(dataclasses.replace(result, content_sha256=""))
    if result.name is None:
        del content["name"]
    content["content_sha256"] = _content_hash(content)
    atomic_write_text(path, json.dumps(content, indent=2, allow_nan=False) + "\n")
    return dataclasses.replace(result, content_sha256=content["content_sha256"])


def write_unless_same(path: Path, result: Result) -> Result:
    """`write`, unless a result is there that was made from the same files: it keeps its date and its hash."""
    with contextlib.suppress(ReportError):
        if read(path).artefacts == result.artefacts:
            return named(path, result.name)
    return write(path, result)


def named(path: Path, name: str | None) -> Result:
    """The result at `path`, written again where it has another name than the one that is given."""
    result = read(path)
    return result if name in (None, result.name) else write(path, dataclasses.replace(result, name=name))


def read(path: Path) -> Result:
    """Read and check the result at `path`; ReportError, one sentence with the file's name, if unusable."""
    try:
        return _from_content(json.loads(read_text(path), object_pairs_hook=unique_keys))
    except ReportError as error:
        raise ReportError(f"{path}: {error}; {AGAIN}") from None
    except OSError as error:
        problem = f"cannot be read ({error.strerror})"
    except (ValueError, RecursionError) as error:
        problem = f"is not JSON ({error})"
    raise ReportError(f"{path} {problem}, a result file was expected; {AGAIN}")


def _from_content(content: Any) -> Result:
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        given = "it has no schema_version" if version is None else f"schema_version is {version!r}"
        raise ReportError(f"{given}, a result of schema version {SCHEMA_VERSION} was expected")
    # Keys first, so that a file of another program is not called edited.
    defaults = {field.name: field.default for field in dataclasses.fields(Result)}
    missing = defaults.keys() - content.keys() - set(ADDED)
    if not missing and content["content_sha256"] != _content_hash(content):
        raise ReportError("the file was edited by hand: its content does not give its content_sha256")
    added = {name: defaults[name] for name in ADDED}
    result: Result = from_mapping(Result, {**added, **content}, "the result")
    return result


def _content_hash(content: Mapping[str, Any]) -> str:
    return _sha256({key: value for key, value in content.items() if key != "content_sha256"})


def _sha256(value: Any) -> str:
    try:
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError:
        raise ReportError("a number is not finite, finite numbers were expected") from None
    return hashlib.sha256(canonical.encode("ascii")).hexdigest()


def _check_sha256(value: str, where: str) -> None:
    if not re.fullmatch(r"[0-9a-f]{64}", value):
        raise ReportError(f"{where} is {value!r}, 64 hexadecimal digits (SHA-256) were expected")
