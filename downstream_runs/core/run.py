"""What a run is to do, before anything heavy is imported; where it goes, and what makes it the same run."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from downstream_runs.core import official, ranges
from downstream_runs.core.corpus import PreparedData, shortfall
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.results import INT8, NOISE
from downstream_runs.core.run_folder import PLAN, SWEEP_SUFFIX
from downstream_runs.core.settings import leaves, override, steady
from downstream_runs.core.task import TaskSpec
from upstream_arm import names
from upstream_arm.common import devices
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import file_identity, read_json
from upstream_arm.common.words import shown
from upstream_arm.published_states import STATES

DEFAULT_SEED = 1337  # s3prl's
LARGEST_SEED = 2**32 - 1  # numpy's
SOURCE_KEYS = ("source", "revision", "trust_remote_code")
QUIETEST, LOUDEST = -30.0, 100.0  # signal-to-noise ratios in dB
UNPINNED = ("settings", "weights", "source", "name")
"""Keys of `plan.json` that tell of others, each pinned by a hash, and the name, which may change."""
LONGEST_NAME = 60


@dataclass(frozen=True)
class Noise:
    """Noise for the recordings of a test. snr: speech to noise, dB; folder: of its files; sha256: of them."""

    snr: float
    folder: Path
    sha256: str

    def __post_init__(self) -> None:
        if not QUIETEST <= self.snr <= LOUDEST:
            raise UsageError(
                f"--noise {self.snr:g} cannot be used, expected a signal-to-noise ratio of {QUIETEST:g} to "
                f"{LOUDEST:g} dB"
            )

    @property
    def label(self) -> str:
        """Of every number that is measured with it: a word such as `noise-7p5db-0c2d4e`."""
        ratio = f"{self.snr:g}".replace("-", "minus").replace(".", "p")
        return f"{NOISE}{ratio}db-{self.sha256[:6]}"

    @property
    def pinned(self) -> dict[str, Any]:
        """What decides a number: all but the place of the files."""
        return {"snr": self.snr, "sha256": self.sha256}


@dataclass(frozen=True)
class RunPlan:
    """One run: a task's recipe on one upstream.

    ckpt, model_config: what s3prl hands to the upstream: a path, or for s3prl's own upstreams a URL.
    switches: settings that change what the upstream computes: those of this project's students, and
        `batching` of any (exact: each utterance by itself; stock: as s3prl does).
    data: the corpus folder.
    partial: whether the corpus may be a part of the official one. It says nothing of the run where the corpus
        is whole: what is part of the run's identity is the data that there is.
    out: the folder that run directories go to.
    device: a name of `upstream_arm.common.devices`.
    devices: how many processes train data-parallel, each on a device of its own (see `engine.distributed`).
    overrides: dotted keys of the recipe and their values, e.g. `optimizer.lr`.
    command: what the user typed, as arguments; `sys.argv` if empty.
    features: whether the upstream's features are stored and used again.
    states: the key of the upstream's output that the features are (s3prl's `-s`).
    layer: the one layer of them that is taken (s3prl's `-l`), from the end where negative; None for all.
    quantize: `int8` for dynamic int8 of the upstream's linear layers, on the CPU.
    efficiency: whether the run also measures what its upstream costs, which decides no other number.
    fold: of a task with folds, the one that this run is of; None for the whole task.
    group: folders within the task's that the run's directory lies in, such as a sweep's.
    source: where an upstream is from that is no name of s3prl's hub (`upstreams.sources`).
    revision: what a source is pinned to: the commit of a repository, the SHA-256 of files or of code.
    trust_remote_code: whether code that came with the weights is run.
    noise: what is added to the recordings of the test; the training is that of the plan without it.
    name: what the user calls the row of tables that the run is in; no part of the run's identity.
    """

    task: TaskSpec
    recipe: str
    upstream: str
    data: Path
    out: Path
    ckpt: str | None = None
    model_config: str | None = None
    switches: Mapping[str, str] = field(default_factory=dict)
    seed: int = DEFAULT_SEED
    device: str = "auto"
    devices: int = 1
    precision: str = "fp32"
    overrides: Mapping[str, Any] = field(default_factory=dict)
    command: tuple[str, ...] = ()
    fold: str | None = None
    features: FeatureOptions = field(default_factory=FeatureOptions)
    group: str = ""
    partial: bool = False
    states: str = STATES
    layer: int | None = None
    quantize: str | None = None
    efficiency: bool = False
    source: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False
    noise: Noise | None = None
    name: str = ""

    @property
    def folds(self) -> tuple[str, ...]:
        """The task's folds, of a partial corpus those that there are data for."""
        if self.partial and self.task.folds_of is not None:
            return self.task.folds_of(self.data)
        return self.task.folds

    @property
    def without_noise(self) -> RunPlan:
        """The run that trains what this one tests in noise; of a plan without noise itself."""
        return self if self.noise is None else dataclasses.replace(self, noise=None, name="")

    def __post_init__(self) -> None:
        devices.check(self.device)
        if not 0 <= self.seed <= LARGEST_SEED:
            raise UsageError(f"--seed {shown(self.seed)} cannot be used, expected 0 to {LARGEST_SEED:,}")
        if self.quantize not in (None, INT8):
            raise UsageError(f"--quantize {shown(self.quantize)} is unknown, expected {INT8}")
        if len(self.name) > LONGEST_NAME:
            raise UsageError(f"--name has {len(self.name)} characters, expected at most {LONGEST_NAME}")
        if self.devices < 1:
            raise UsageError(f"--devices {self.devices} is too few, expected at least 1")
        for name, value in (("--ckpt", self.ckpt), ("--model-config", self.model_config)):
            if value is not None and "://" not in value and not Path(value).is_file():
                raise UsageError(f"{name} {value} is no file; give the path of an existing one")


def resolve_config(plan: RunPlan) -> dict[str, Any]:
    """The recipe's configuration with the plan's overrides; UsageError for a key or value that is wrong."""
    config = plan.task.recipe(plan.recipe).copy_config()
    for key, value in plan.overrides.items():
        if plan.task.folds and key == plan.task.fold_key:
            raise UsageError(
                f"{key} cannot be chosen: the number is the mean over {', '.join(plan.task.folds)}, and "
                "each is run; leave it out"
            )
        override(config, key, value)
    if plan.fold is not None:
        override(config, plan.task.fold_key, plan.fold)
    if plan.task.train_split is not None and plan.devices > 1:
        config["runner"]["devices"] = plan.devices  # they decide the numbers, one is as before
    ranges.check(config)
    official.require(plan.task, config)
    return config


def config_hash(plan: RunPlan, config: Mapping[str, Any]) -> str:
    """SHA-256 over all that decides a run's numbers apart from corpus and upstream."""
    return _hash_json(
        {
            "task": plan.task.name,
            "recipe": plan.recipe,
            "settings": steady(config),
            "seed": plan.seed,
            "precision": plan.precision,
        }
    )


def run_dir(plan: RunPlan, config: Mapping[str, Any] | None = None) -> Path:
    """The plan's run directory: `out/UPSTREAM/TASK/RECIPE-HASH`, the hash over settings and files.

    A fold has a directory in that of its task, a run of a group one in that of its group. A run of one's own
    weights that an earlier version began under a released name stays where it is.
    """
    whole = dataclasses.replace(plan, fold=None)
    config = resolve_config(whole) if config is None or plan.fold is not None else config
    files = {"ckpt": file_identity(plan.ckpt), "model_config": file_identity(plan.model_config)}
    stored = {} if plan.features.mode == "off" else {"features": _stored(plan.features)}
    pinned = {} if plan.source is None else {"revision": plan.revision}
    parts = {
        **files,
        **plan.switches,
        **stored,
        **pinned,
        **taken_of(plan),
        **plan.task.pinned,
        **_noise_of(plan),
    }
    digest = _hash_json({"config": config_hash(plan, config), **parts})
    upstream = upstream_folder(plan.upstream)
    below = Path(plan.task.name, plan.group, f"{plan.recipe}-{digest[:8]}")
    folder = plan.out / upstream / below
    earlier = plan.out / _before(upstream) / below
    if not folder.is_dir() and (earlier.is_dir() or earlier.with_name(earlier.name + SWEEP_SUFFIX).is_dir()):
        folder = earlier
    return folder if plan.fold is None else folder / plan.fold


def begun_revision(out: Path, upstream: str, source: str) -> str | None:
    """What the first run of an upstream's source in `out` was pinned to; None where there is none."""
    folder = out / upstream_folder(upstream)
    # Also in folders of folds and of learning rates.
    paths = [
        path
        for depth in ("*/*", "*/*/*", "*/*/rates/*", "*/*/rates/*/*")
        for path in folder.glob(f"{depth}/{PLAN}")
    ]
    for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns):
        begun = read_json(path) or {}
        if begun.get("source") == source and begun.get("revision"):
            return str(begun["revision"])
    return None


def upstream_folder(upstream: str) -> str:
    """The name of the folder of an upstream's runs."""
    return re.sub(r"[^A-Za-z0-9._-]", "_", upstream)


def _before(upstream: str) -> str:
    """The name under which earlier versions ran such weights: that of the released ones, for ours."""
    stem = re.sub("_(local|url)$", "", upstream)
    return stem if names.is_released_name(stem) else upstream


def identity(
    plan: RunPlan, config: Mapping[str, Any], data: PreparedData, weights: str | None
) -> dict[str, Any]:
    """What `plan.json` holds: everything that must stay the same for a run to be continued.

    Beside it `weights`, the words for what `ckpt` is the hash of, and `source`, where `revision` was found.
    """
    return {
        "task": plan.task.name,
        "recipe": plan.recipe,
        "upstream": plan.upstream,
        "weights": weights,
        "ckpt": file_identity(plan.ckpt),
        "model_config": file_identity(plan.model_config),
        "switches": dict(plan.switches),
        "config_sha256": config_hash(plan, config),
        "settings": dict(leaves(config)),
        "data_sha256": data.sha256,
        "data_listing_sha256": data.listing_sha256,
        "seed": plan.seed,
        "precision": plan.precision,
        "features": _stored(plan.features),
        **taken_of(plan),
        **plan.task.pinned,
        **_noise_of(plan),
        **({"labels": list(data.labels), "partial": dict(data.partial)} if data.partial else {}),
        **({key: getattr(plan, key) for key in SOURCE_KEYS} if plan.source is not None else {}),
        **({"name": plan.name} if plan.name else {}),
    }


def name_of(plan: RunPlan, folder: Path) -> str | None:
    """What the run in `folder` is called: by its plan, or by the one that it was begun with."""
    name = plan.name or (read_json(folder / PLAN) or {}).get("name")
    return name if isinstance(name, str) else None


def taken_of(plan: RunPlan) -> dict[str, Any]:
    """What of the upstream's output is taken, and how it is quantized, where it is not as s3prl has it."""
    chosen = {"states": plan.states, "layer": plan.layer, "quantize": plan.quantize}
    return {key: value for key, value in chosen.items() if value not in (STATES, None)}


def _noise_of(plan: RunPlan) -> dict[str, Any]:
    return {} if plan.noise is None else {"noise": plan.noise.pinned}


def _stored(features: FeatureOptions) -> str:
    """What decides the numbers of stored features: not where they are, nor how many fit."""
    return features.mode if features.mode in ("off", "auto") else features.precision


def as_begun(stored: Mapping[str, Any], wanted: Mapping[str, Any]) -> dict[str, Any]:
    """`wanted` as it would have been written when the run of `stored` was begun.

    Before contents were sampled (`corpora.audio`), names and sizes were all that a run knew of its corpus.
    """
    if "data_listing_sha256" in stored:
        return dict(wanted)
    listing = wanted["data_listing_sha256"] or wanted["data_sha256"]
    return {key: value for key, value in wanted.items() if key != "data_listing_sha256"} | {
        "data_sha256": listing
    }


def check_same(stored: Mapping[str, Any], wanted: Mapping[str, Any], folder: Path) -> None:
    """UsageError that names what differs if the run in `folder` was started with another plan."""
    # A run on a part of a corpus says so, and then the corpus was completed: also where the data that it used
    # are the same.
    optional = ("labels", "partial", "states", "layer", "quantize", "noise")
    named = dict.fromkeys([*wanted, *(key for key in optional if key in stored)])
    differ = [key for key in named if key not in UNPINNED and stored.get(key) != wanted.get(key)]
    if "upstream" in differ and stored.get("upstream") == _before(wanted["upstream"]):
        differ.remove("upstream")  # an earlier version's name; `ckpt` says that the weights are the same
    if not differ:
        return
    if "partial" in differ:
        before, now = (_part(one.get("partial")) for one in (stored, wanted))
        raise UsageError(
            f"{folder} holds a run on {before}, now there is {now}, and two runs are never mixed; use "
            "--rerun always to discard it, or another --out"
        )
    if "config_sha256" in differ:
        old, new = stored.get("settings", {}), wanted["settings"]
        keys = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
        differ = [key for key in differ if key != "config_sha256"] + keys
    raise UsageError(
        f"{folder} holds a run with other {', '.join(differ)}, and two runs are never mixed; "
        "use --rerun always to discard it, or another --out"
    )


def _part(partial: object) -> str:
    """In words, what a corpus was of which the plan says this."""
    if not isinstance(partial, dict) or not partial:
        return "the whole corpus"
    return f"a {shortfall(partial)}"


def _hash_json(content: Any) -> str:
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
