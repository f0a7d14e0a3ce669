"""Where an upstream is from, in one line, and the one function that builds the module of a run.

    fbank, wavlm_base, armhubert      a name of s3prl's hub or of this project
    hf:ORG/NAME[@REVISION]            a model of the Hugging Face hub, read by transformers
    ./folder                          the same in a folder, as `save_pretrained` writes it
    py:FILE.py:NAME[:KEY=VALUE]...    a function or class of one's own, which gives a module as s3prl's are
    NAME                              a plug-in: an installed package names it in the group `superb.upstreams`

A command pins what it is given: a branch of the hub to a commit, a folder or a file of code to a SHA-256.
Runs, their workers and their repetitions build exactly that, or say what has changed.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from downstream_runs.core.run import RunPlan
from downstream_runs.upstreams import names, own_code
from upstream_arm import names as students
from upstream_arm.common.errors import SuperbError, UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near
from upstream_arm.encoders import hub, model_files

if TYPE_CHECKING:
    from torch import nn

HF = hub.HF
PY = re.compile(r"py:(?P<file>[^:]+\.py):(?P<name>[A-Za-z_]\w*)(?P<options>(?::[A-Za-z_]\w*=.*)?)")
FORMS = "hf:ORG/NAME, hf:ORG/NAME@REVISION, ./folder, py:FILE.py:NAME or py:FILE.py:NAME:KEY=VALUE"


@dataclass(frozen=True)
class Source:
    """Where an upstream is from.

    text: as it was typed, but with whole paths, so that every process reads the same from it.
    name: in folders and tables. place: the repository, the folder or FILE.py:NAME; for the others the name.
    revision: of a repository, as typed. options: keyword arguments of a function or class.
    """

    kind: Literal["name", "hf", "folder", "py", "plugin"]
    text: str
    name: str
    place: str
    revision: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Pinned:
    """What a source is now, as `RunPlan.revision` has it; code: whether code of the model's own is run."""

    revision: str
    code: bool = False


def parse(text: str) -> Source:
    """The source that is written so; UsageError for a text that cannot be one."""
    if text.startswith("hf:"):
        repository, revision = hub.parse(text)
        return Source("hf", text, repository, repository, revision)
    if text.startswith("py:"):
        if not (found := PY.fullmatch(text)):
            raise UsageError(f"{text!r} is no upstream in a file, expected py:FILE.py:NAME[:KEY=VALUE]...")
        place = f"{_whole(found['file'])}:{found['name']}"
        text = f"py:{place}{found['options']}"
        return Source("py", text, _free(found["name"], "py"), place, None, _options(found["options"]))
    if "/" in text or text in (".", ".."):
        folder = _whole(text)
        return Source("folder", folder, _free(Path(folder).name, "folder"), folder)
    if not names.is_known(text) and text in own_code.plugins():
        return Source("plugin", text, text, text)
    return Source("name", text, text, text)


def pin(source: Source, trust_remote_code: bool, commit: str | None = None) -> Pinned:
    """What a source that is no name is now; what is wrong with it is one sentence (UsageError).

    commit: of a repository, where it is known already. Of a model on the hub only its settings are fetched.
    """
    if source.kind == "hf":
        commit = commit or hub.resolve(source.place, source.revision)
        return Pinned(commit, hub.has_code(source.place, commit, trust_remote_code))
    if source.kind == "folder":
        model = _in_folder(source, trust_remote_code)
        return Pinned(model.sha256(), bool(model.code))
    return Pinned(_code_sha256(source))


def build(plan: RunPlan) -> nn.Module:
    """The upstream of a run, from its plan alone; UsageError that names the upstream if it cannot be built.

    A module of another kind than torch's passes through: its outputs are checked where it is used. One of
    transformers has `files_sha256`, the SHA-256 of its files of weights.
    """
    try:
        module = _from_hub(plan) if plan.source is None else _from_source(plan, parse(plan.source))
    except (MemoryError, SuperbError):  # ours says itself what is wrong
        raise
    except Exception as error:  # an upstream may raise anything
        given = f" with ckpt {plan.ckpt}" if plan.ckpt else "" if plan.source else " without a ckpt"
        reason = " ".join(str(error).split()) or "no reason given"
        raise UsageError(
            f"upstream {plan.upstream}{given} could not be built: {type(error).__name__}: {reason}"
        ) from error
    if plan.source is not None:
        _check_weights(module, plan)
    return module


def usual_batching(plan: RunPlan) -> str:
    """`batching` where none is given: exact of students and of models of transformers, else as s3prl does."""
    source = None if plan.source is None else parse(plan.source)
    exact = plan.upstream in students.names() if source is None else source.kind in ("hf", "folder")
    return "exact" if exact else students.STOCK


def fetch(plan: RunPlan) -> None:
    """Have what a run needs of the Hugging Face hub on this machine, before other processes ask for it."""
    source = None if plan.source is None else parse(plan.source)
    if source is not None and source.kind == "hf":
        hub.model(source.place, str(plan.revision), plan.trust_remote_code)


def _from_hub(plan: RunPlan) -> Any:
    import s3prl.hub

    entry = getattr(s3prl.hub, plan.upstream, None)
    if entry is None or plan.upstream.startswith("_"):
        known = [name for name in dir(s3prl.hub) if not name.startswith("_")]
        raise UsageError(
            f"s3prl has no upstream {plan.upstream!r}{near(plan.upstream, known)}; see `{PROGRAM} list`"
        )
    switches = plan.switches if plan.upstream in students.names() else {}  # s3prl's entries have none
    return entry(ckpt=plan.ckpt, model_config=plan.model_config, refresh=False, **switches)


def _from_source(plan: RunPlan, source: Source) -> Any:
    if source.kind in ("hf", "folder"):
        from upstream_arm.encoders.transformers_encoder import TransformersEncoder

        model = _model(plan, source)
        made: Any = TransformersEncoder(
            model.folder, trust_remote_code=plan.trust_remote_code, **plan.switches
        )
        made.files_sha256 = model.weights_sha256()  # now: the files may change while a run trains
        return made
    _check_unchanged(plan, source, _code_sha256(source))
    entry = own_code.plugin(source.place) if source.kind == "plugin" else own_code.load(*_file(source))
    files = {"ckpt": plan.ckpt, "model_config": plan.model_config}
    return own_code.call(entry, source.text, source.options, files)


def _model(plan: RunPlan, source: Source) -> model_files.ModelFiles:
    if source.kind == "hf":
        return hub.model(source.place, str(plan.revision), plan.trust_remote_code)
    model = _in_folder(source, plan.trust_remote_code)
    _check_unchanged(plan, source, model.sha256())
    return model


def _in_folder(source: Source, trust_remote_code: bool) -> model_files.ModelFiles:
    if not Path(source.place).is_dir():
        raise UsageError(f"there is no folder {source.place}; an upstream is a name, {FORMS}")
    return model_files.in_folder(Path(source.place), trust_remote_code)


def _code_sha256(source: Source) -> str:
    """SHA-256 over the code of a function or class, what it imports, and the options of its call."""
    code: Any
    if source.kind == "plugin":
        code = own_code.code_of_plugin(source.place)
    else:
        own_code.check_file(*_file(source))
        code = own_code.sha256_of_file(_file(source)[0])
    called = json.dumps([code, source.place.rpartition(":")[2], source.options], sort_keys=True)
    return hashlib.sha256(called.encode()).hexdigest()


def _file(source: Source) -> tuple[Path, str]:
    file, _, name = source.place.rpartition(":")
    return Path(file), name


def _check_unchanged(plan: RunPlan, source: Source, found: str) -> None:
    if found != plan.revision:
        raise UsageError(
            f"{source.text} is not what this run was begun with (SHA-256 {found[:12]}, then "
            f"{str(plan.revision)[:12]}): put that back, or start the command again for a run of its own"
        )


def _check_weights(module: Any, plan: RunPlan) -> None:
    import torch

    for name, weight in module.named_parameters() if isinstance(module, torch.nn.Module) else ():
        if not weight.isfinite().all():
            raise UsageError(
                f"upstream {plan.upstream} has weights that are no finite numbers ({name}): its file is "
                "damaged, or of a training that failed; get another"
            )


def _options(text: str) -> dict[str, Any]:
    """`:KEY=VALUE:KEY=VALUE` as keyword arguments; values as JSON has them, else as YAML, else words."""
    import yaml

    options = {}
    for one in re.split(r":(?=[A-Za-z_]\w*=)", text)[1:]:
        key, _, value = one.partition("=")
        for read in (json.loads, yaml.safe_load, str):
            try:
                options[key] = read(value)
                json.dumps(options[key])  # what JSON has not, such as a date, is a word
                break
            except (ValueError, TypeError, RecursionError, yaml.YAMLError):
                continue
    return options


def _whole(path: str) -> str:
    return os.path.abspath(os.path.expanduser(path))


def _free(name: str, kind: str) -> str:
    """The name, or another where a hub has an upstream of that name."""
    return f"{kind}_{name}" if names.is_known(name) else name
