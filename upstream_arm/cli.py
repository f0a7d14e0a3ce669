"""`python -m upstream_arm`: ARMHuBERT students as s3prl upstreams."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import MappingProxyType

from upstream_arm.common.arguments import Parser, run_command
from upstream_arm.common.errors import INTERRUPTED, SuperbError, say, tell

PROGRAM = "python -m upstream_arm"
#: Name of a command -> its module, and what it does.
COMMANDS = MappingProxyType(
    {
        "convert": ("convert", "write a checkpoint's student as a small self-describing safetensors file"),
        "distill": ("distillation.command", "make a student: distil it from a frozen teacher"),
        "fetch": ("download", "download a released checkpoint into the Hugging Face cache"),
        "profile": ("profiling.command", "size and cost of a student"),
        "similarity": ("similarity.command", "how alike a model's attention maps are, and what they suggest"),
        "register": ("register", "make your own s3prl clone find these upstreams"),
    }
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; returns its exit code, 2 after one sentence on stderr for what cannot be used."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            module, _ = COMMANDS[arguments[0]]
            return run_command(f"upstream_arm.{module}", f"{PROGRAM} {arguments[0]}", arguments[1:])
        commands = "\n".join(f"  {name:<10} {about}" for name, (_, about) in COMMANDS.items())
        parser = Parser(
            prog=PROGRAM,
            description="ARMHuBERT students as s3prl upstreams.",
            epilog=f"commands (COMMAND --help says more):\n{commands}",
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.add_argument("command", metavar="COMMAND", choices=COMMANDS)
        parser.parse(arguments)
        return 0
    except SuperbError as error:
        return tell(error)
    except KeyboardInterrupt:
        return say("interrupted; run the same command again", INTERRUPTED)
