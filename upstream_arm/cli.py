"""`python -m upstream_arm`: convert, distill, fetch, register, profile."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

from upstream_arm.common.errors import UpstreamError

if TYPE_CHECKING:
    from pathlib import Path

PROGRAM = "python -m upstream_arm"
_PROFILE_HELP = "size and cost of a student"


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        The exit code: 0, or 2 with one sentence on stderr for input that cannot be used.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments[:1] == ["profile"]:
            return _profile(arguments[1:])
        if arguments[:1] == ["distill"]:
            return _distill(arguments[1:])
        options = _parser().parse_args(arguments)
        run = {"convert": _convert, "fetch": _fetch, "register": _register}[options.command]
        return run(options)
    except UpstreamError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted; run the same command again", file=sys.stderr)
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="ARMHuBERT students as s3prl upstreams.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    convert = commands.add_parser(
        "convert", help="write a checkpoint's student as a small self-describing safetensors file"
    )
    convert.add_argument("source", metavar="IN", help="the authors' Lightning file or a state dict")
    convert.add_argument("target", metavar="OUT", help="the new .safetensors file")
    convert.add_argument("--model-config", metavar="YAML", help="the student's training yaml, if IN has none")

    fetch = commands.add_parser("fetch", help="download a released checkpoint into the Hugging Face cache")
    fetch.add_argument("name", metavar="NAME", help="for example armhubert or armhubert_s_100h")

    register = commands.add_parser("register", help="make your own s3prl clone find these upstreams")
    register.add_argument("--s3prl-root", required=True, metavar="DIR", help="the clone's folder")
    register.add_argument("--undo", action="store_true", help="take the stub out again")

    # Their arguments are their own: `main` hands them over before this parser sees them.
    commands.add_parser("profile", help=_PROFILE_HELP)
    commands.add_parser("distill", help="make a student: distil it from a frozen teacher")
    return parser


def _convert(options: argparse.Namespace) -> int:
    from pathlib import Path

    from upstream_arm.convert import convert

    config = convert(options.source, options.target, model_config=options.model_config)
    before, after = (Path(path).stat().st_size / 1e6 for path in (options.source, options.target))
    print(
        f"wrote {options.target} ({after:.1f} MB, from {before:.1f} MB): a student of {config.layers} "
        f"layers, width {config.embed_dim}"
    )
    return 0


def _fetch(options: argparse.Namespace) -> int:
    from upstream_arm.download import fetch

    print(fetch(options.name))
    return 0


def _register(options: argparse.Namespace) -> int:
    from upstream_arm.register import find_hub, register, undo

    hub = find_hub(options.s3prl_root)
    if options.undo:
        print(f"removed the stub from {hub}" if undo(options.s3prl_root) else f"{hub} has no stub")
        return 0
    state = "added the stub to" if register(options.s3prl_root) else "the stub is already in"
    print(
        f"{state} {hub}; {_how_to_run(hub.parent)}; "
        f"'{PROGRAM} register --s3prl-root {options.s3prl_root} --undo' takes it out"
    )
    return 0


def _how_to_run(folder: Path) -> str:
    """How to use the clone's `run_downstream.py` with the torchaudio that is installed here."""
    import torchaudio

    # The first thing that s3prl 0.4.18 calls and that torchaudio dropped in 2.9.
    if hasattr(torchaudio, "set_audio_backend"):
        return f"now 'python run_downstream.py -u arm_hubert ...' in {folder} finds it"
    return (
        f"now run_downstream.py in {folder} knows -u arm_hubert, for torchaudio before 2.9; with "
        "the one installed here use 's3prl run_downstream.py -u arm_hubert ...', in any folder"
    )


def _distill(argv: list[str]) -> int:
    from upstream_arm.distillation import command

    parser = argparse.ArgumentParser(
        prog=f"{PROGRAM} distill", description="Distil a student from a frozen teacher."
    )
    command.add_arguments(parser)
    if not argv:
        parser.print_help(sys.stderr)
        return 2
    return command.run(parser.parse_args(argv), argv)


def _profile(argv: Sequence[str]) -> int:
    from upstream_arm.profiling import command

    parser = argparse.ArgumentParser(prog=f"{PROGRAM} profile", description=_PROFILE_HELP.capitalize() + ".")
    command.add_arguments(parser)
    options = parser.parse_args(argv)
    print(command.text(options.names, options.config, options.json))
    return 0
