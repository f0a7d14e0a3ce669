"""The `profile` command: parameters and multiply-accumulates of students, HuBERT BASE and s3prl upstreams."""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.words import near
from upstream_arm.config import load_yaml
from upstream_arm.names import canonical
from upstream_arm.presets import PRESETS
from upstream_arm.profiling import table
from upstream_arm.profiling.profile import Profile, measured, of_config, of_hubert_base

# s3prl's two names of the checkpoint of HuBERT BASE.
_HUBERT_BASE = ("hubert_base", "hubert")
_OWN = (*PRESETS, "hubert_base", "table2")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="a preset, hubert_base, a student's yaml, another s3prl upstream (measured), or table2 for the "
        "paper's Table 2; several give a comparison",
    )
    parser.add_argument(
        "--config",
        metavar="YAML",
        type=Path,
        help="profile the student of this yaml (the authors' or ours); NAME is then only its label",
    )
    parser.add_argument("--json", action="store_true", help="print json: one object, or a list for several")


def run(args: argparse.Namespace) -> int:
    """Print what was asked for.

    Returns:
        0, or 2 after one sentence on stderr.
    """
    try:
        print(_text(args.names, args.config, args.json))
    except UpstreamError as error:
        print(error, file=sys.stderr)
        return 2
    return 0


def _text(names: list[str], config: Path | None, as_json: bool) -> str:
    if config is not None:
        if len(names) > 1:
            raise UpstreamError(f"--config describes one student but {len(names)} names were given; give one")
        profiles = [of_config(names[0] if names else config.stem, load_yaml(config))]
    elif not names:
        raise UpstreamError(
            f"no model was named, expected a yaml, table2, hubert_base or one of {', '.join(PRESETS)}; "
            "for example: python -m upstream_arm profile armhubert"
        )
    elif names == ["table2"]:
        if not as_json:
            return table.table2()
        profiles = [of_config(preset, PRESETS[preset]) for _, preset, _, _ in table.TABLE2]
    else:
        profiles = [resolve(name) for name in names]
    if as_json:
        documents = [profile.to_mapping() for profile in profiles]
        return json.dumps(documents[0] if len(documents) == 1 else documents, indent=2)
    return table.one(profiles[0]) if len(profiles) == 1 else table.several(profiles)


def resolve(name: str) -> Profile:
    """The profile of a preset, HuBERT BASE, a yaml, or an s3prl upstream, in this order.

    Raises:
        UpstreamError: if there is none of that name, or it cannot be loaded.
    """
    if name.endswith((".yaml", ".yml")):
        return of_config(name, load_yaml(name))
    if canonical(name) in PRESETS:
        return of_config(name, PRESETS[canonical(name)])
    if name == "table2":
        raise UpstreamError("table2 is a table of its own, not one of several models; name it alone")
    if name in _HUBERT_BASE:
        return of_hubert_base(name)
    return _measure(name)


def _measure(name: str) -> Profile:
    """Load an s3prl upstream and count its products.

    Its loader may print, warn or download; all of that goes to stderr so that stdout holds the result.
    """
    with contextlib.redirect_stdout(sys.stderr):
        hub = _hub(name)
        offered = hub.options()
        if name not in offered:
            hint = near(name, [*_OWN, *offered]) or f", expected one of s3prl's or of {', '.join(PRESETS)}"
            raise UpstreamError(f"there is no model {name!r}{hint}")
        from upstream_arm.profiling import hooks
        from upstream_arm.profiling.utterances import LENGTHS

        try:
            module = getattr(hub, name)()
            counts = hooks.count(module, LENGTHS)
        except Exception as error:  # third-party loaders fail in any way: no file, no network, no package
            raise UpstreamError(
                f"the s3prl upstream {name!r} cannot be profiled ({_reason(error)}); check that its "
                "checkpoint and packages are installed"
            ) from None
    return measured(name, hooks.parameters(module), counts, hooks.RULE)


def _hub(name: str) -> Any:
    try:
        from upstream_arm.s3prl_hub import load

        return load()
    except Exception as error:  # s3prl's import fails in several ways on a newer torchaudio
        raise UpstreamError(
            f"s3prl's hub, which may have the model {name!r}, cannot be imported here ({_reason(error)}); "
            f"install this project with its dependencies{near(name, _OWN)}"
        ) from None


def _reason(error: Exception) -> str:
    first_line = (str(error).strip().splitlines() or [""])[0]
    return f"{type(error).__name__}: {first_line}".rstrip(": ")
