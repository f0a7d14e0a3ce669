"""Parameters and multiply-accumulates of students, HuBERT BASE and s3prl upstreams."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm import hub
from upstream_arm.common import devices
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.words import columns, near
from upstream_arm.config_yaml import load_yaml
from upstream_arm.names import canonical
from upstream_arm.presets import PRESETS
from upstream_arm.profiling.profile import RULE, Profile, of_config, of_hubert_base
from upstream_arm.profiling.utterances import BUCKETS, LENGTHS, SECONDS

if TYPE_CHECKING:
    from upstream_arm.peers.presets import PeerPreset

# s3prl's two names of the checkpoint of HuBERT BASE.
_HUBERT_BASE = ("hubert_base", "hubert")
_OWN = (*PRESETS, "hubert_base", "table2")

# The paper's Table 2 (arXiv 2305.11685), rows in its order: pattern, preset, parameters in M and MACs in G
# as printed there.
TABLE2 = (
    ("6by2", "table2_6by2", "20.90", "423"),
    ("3by4", "table2_3by4", "21.65", "437"),
    ("6by2-up", "table2_6by2_up", "22.39", "440"),
    ("3by4-up", "table2_3by4_up", "22.39", "445"),
    ("2by6", "table2_2by6", "22.39", "450"),
    ("None", "table2_none", "24.64", "490"),
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a preset, hubert_base, distilhubert or another paper's student, a student's yaml, an s3prl "
        "upstream (measured), or table2 for the paper's Table 2; several give a comparison",
    )
    parser.add_argument(
        "--config",
        metavar="YAML",
        type=Path,
        help="profile the student of this yaml (the authors' or ours); NAME is then only its label",
    )
    parser.add_argument(
        "--ckpt",
        metavar="FILE",
        help="profile what the upstream NAME, such as dphubert_local, reads from this file",
    )
    parser.add_argument(
        "--device",
        metavar="NAME",
        default="cpu",
        help=f"where an s3prl upstream is run to be counted, which changes no count: {devices.NAMES}; "
        "default %(default)s",
    )
    parser.add_argument("--json", action="store_true", help="print json: one object, or a list for several")


def run(options: argparse.Namespace) -> int:
    """Print what was asked for."""
    devices.check(options.device)
    print(_text(options.names, options.config, options.ckpt, options.json, options.device))
    return 0


def _text(names: list[str], config: Path | None, ckpt: str | None, as_json: bool, device: str) -> str:
    if ckpt is not None:
        profiles = [_of_file(names, ckpt, config)]
    elif config is not None:
        if len(names) > 1:
            raise UpstreamError(f"--config describes one student but {len(names)} names were given; give one")
        profiles = [of_config(names[0] if names else config.stem, load_yaml(config))]
    elif not names:
        raise UpstreamError(
            f"no model was named, expected a yaml, table2, hubert_base or one of {', '.join(PRESETS)}; "
            "for example: python -m upstream_arm profile armhubert"
        )
    elif names == ["table2"]:
        profiles = [of_config(preset, PRESETS[preset]) for _, preset, _, _ in TABLE2]
        if not as_json:
            return _table2(profiles)
    else:
        profiles = [resolve(name, device) for name in names]
    if as_json:
        documents = [profile.to_mapping() for profile in profiles]
        return json.dumps(documents[0] if len(documents) == 1 else documents, indent=2)
    return _one(profiles[0]) if len(profiles) == 1 else _several(profiles)


def resolve(name: str, device: str = "cpu") -> Profile:
    """The profile of a preset, HuBERT BASE, a yaml, or an s3prl upstream, in this order.

    UpstreamError if there is none of that name, or it cannot be loaded.
    """
    if name.endswith((".yaml", ".yml")):
        return of_config(name, load_yaml(name))
    if canonical(name) in PRESETS:
        return of_config(name, PRESETS[canonical(name)])
    if name == "table2":
        raise UpstreamError("table2 is a table of its own, not one of several models; name it alone")
    if name in _HUBERT_BASE:
        return of_hubert_base(name)
    from upstream_arm.peers.presets import PEER_PRESETS  # loads torch

    if canonical(name) in PEER_PRESETS:
        return _of_peer(name, PEER_PRESETS[canonical(name)])
    # Its loader may print, warn or download; all of that goes to stderr so that stdout holds the result.
    with contextlib.redirect_stdout(sys.stderr):
        return _measured(name, device)


def _of_peer(name: str, preset: PeerPreset) -> Profile:
    """Another paper's student, of its shape; UpstreamError if that is not published."""
    if preset.build is None:
        raise UpstreamError(
            f"the layers' sizes of {name} are in its file alone (published are {preset.published}); give "
            "that file with --ckpt FILE"
        )
    import torch

    with torch.device("meta"):
        student = preset.build()
    notes = (f"{name}: published are {preset.published}",) if preset.published else ()
    return _of_student(name, student, notes)


def _of_file(names: list[str], ckpt: str, config: Path | None) -> Profile:
    """The student that an upstream of ours reads from a file."""
    from torch import nn

    if len(names) != 1 or names[0] not in hub.__all__:
        raise UpstreamError(
            f"--ckpt is for one upstream that reads a file, but {' '.join(names) or 'none'} was given; "
            "give one such as armhubert_local or dphubert_local"
        )
    student = getattr(hub, names[0])(ckpt=ckpt, model_config=config).student
    # On the meta device torch writes recurrent layers out, frame by frame: slower than to run them.
    recurrent = any(isinstance(part, nn.RNNBase) for part in student.modules())
    return _of_student(names[0], student if recurrent else student.to("meta"))


def _of_student(name: str, student: Any, notes: tuple[str, ...] = ()) -> Profile:
    """A student, mostly on the meta device, where shapes are all that is computed."""
    from upstream_arm.profiling import hooks

    counts = hooks.count(student, LENGTHS, lambda module, wav: module(wav.unsqueeze(0), [len(wav)]))
    return Profile(name, "measured", hooks.parameters(student), counts, hooks.RULE, notes=notes)


def _measured(name: str, device: str) -> Profile:
    """Load an s3prl upstream and count its products on that device."""
    try:
        from upstream_arm.s3prl_hub import load

        hub: Any = load()
    except Exception as error:  # s3prl's import fails in several ways on a newer torchaudio
        raise UpstreamError(
            f"s3prl's hub, which may have the model {name!r}, cannot be imported here ({_reason(error)}); "
            f"install this project with its dependencies{near(name, _OWN)}"
        ) from None
    offered = hub.options()
    if name not in offered:
        hint = near(name, [*_OWN, *offered]) or f", expected one of s3prl's or of {', '.join(PRESETS)}"
        raise UpstreamError(f"there is no model {name!r}{hint}")
    from upstream_arm.profiling import hooks

    place = devices.pick(device)
    try:
        module = getattr(hub, name)().to(place)
        counts = hooks.count(module, LENGTHS)
    except Exception as error:  # third-party loaders fail in any way: no file, no network, no package
        raise UpstreamError(
            f"the s3prl upstream {name!r} cannot be profiled ({_reason(error)}); check that its "
            "checkpoint and packages are installed"
        ) from None
    return Profile(name, "measured", hooks.parameters(module), counts, hooks.RULE)


def _reason(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}".rstrip(": ")


def _one(profile: Profile) -> str:
    """Everything about one model."""
    params, macs = profile.params_by_part, profile.macs_by_part
    rows = [
        [part.replace("_", " "), _number(params.get(part)), _giga(macs.get(part))]
        for part in dict.fromkeys([*params, *macs])
    ]
    rows.append(["total", _number(profile.params), _giga(profile.macs)])
    buckets = [[bucket, _giga(profile.buckets[bucket])] for bucket in BUCKETS]
    lines = [
        profile.name,
        "",
        *columns([["part", "parameters", "MACs (G)"], *rows]),
        "",
        *columns([["bucket of 8", "MACs (G)"], *buckets, ["sum", _giga(profile.macs)]]),
        "",
        f"{profile.macs_per_second / 1e9:.3f} G MACs per second of audio, over {SECONDS:.2f} s in "
        f"{len(LENGTHS)} utterances",
    ]
    if profile.frames_rule:
        lines.append(f"frames: {profile.frames_rule}")
    if profile.switches:
        chosen = ", ".join(f"{key} {value}" for key, value in profile.switches.items())
        lines.append(f"switches (none changes these counts): {chosen}")
    return "\n".join([*lines, *(f"note: {note}" for note in profile.notes), f"rule: {profile.rule}"])


def _several(profiles: Sequence[Profile]) -> str:
    """Several models side by side, a row each."""
    rows = [["model", "parameters", *(f"{b} (G)" for b in BUCKETS), "MACs (G)", "G MACs per second"]]
    for profile in profiles:
        counts = [*(profile.buckets[bucket] for bucket in BUCKETS), profile.macs, profile.macs_per_second]
        rows.append([profile.name, _number(profile.params), *map(_giga, counts)])
    notes = dict.fromkeys(note for profile in profiles for note in profile.notes)
    rules = dict.fromkeys(f"rule ({profile.method}): {profile.rule}" for profile in profiles)
    return "\n".join([*columns(rows), "", *(f"note: {note}" for note in notes), *rules])


def _table2(profiles: Sequence[Profile]) -> str:
    """Table 2's parameters and MACs, computed from the shapes, beside the published values."""
    rows = [["pattern", "params (M)", "published", "MACs (G)", "published"]]
    for (pattern, _, params, macs), profile in zip(TABLE2, profiles, strict=True):
        rows.append([pattern, f"{profile.params / 1e6:.2f}", params, f"{profile.macs / 1e9:.1f}", macs])
    source = "published: as printed in Table 2 of arXiv 2305.11685; the columns before are computed here."
    return "\n".join([*columns(rows), "", source, f"rule: {RULE}"])


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _giga(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.3f}"
