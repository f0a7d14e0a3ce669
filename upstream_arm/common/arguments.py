"""How every command of the three packages reads its arguments: what cannot be used is one sentence.

A command is a module with `add_arguments(parser)` and `run(options)`, imported when it is called; its
docstring is what its `--help` says. Only the standard library is imported here: `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import math
import re
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import near, shown

LONGEST_WORD = 4096
"""Characters of an argument: as many as a path may have (Linux's PATH_MAX). `-o` takes longer lists."""
LONGEST_SETTING = 100_000


class Parser(argparse.ArgumentParser):
    """An ArgumentParser whose errors are UsageErrors, and whose numbers and paths are checked.

    `type=int` takes whole numbers in plain digits, `type=float` finite numbers, and `type=Path` paths whose
    `~` is replaced.
    """

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        super().__init__(*arguments, **settings)
        for kind, convert in ((int, whole), (float, number), (Path, path)):
            self.register("type", kind, convert)

    def print_help(self, file: Any = None) -> None:
        """As argparse does, but for errors of writing, which it swallows."""
        print(self.format_help(), end="", file=file or sys.stdout)

    def parse(self, words: Sequence[str]) -> argparse.Namespace:
        """The options, with the arguments as they were given as `words`."""
        return self.parse_args(words, argparse.Namespace(words=tuple(words)))

    def error(self, message: str) -> NoReturn:
        """Raise UsageError for arguments that do not fit."""
        unknown = re.match(r"unrecognized arguments: (--[\w-]+)", message)
        hint = near(unknown[1], self._option_string_actions) if unknown else ""
        raise UsageError(f"{' '.join(message.split())}{hint} ({self.prog} --help shows what there is)")


def run_command(module: str, prog: str, words: Sequence[str]) -> int:
    """Run the command in `module` with its arguments; returns its exit code."""
    command = importlib.import_module(module)
    parser = Parser(prog=prog, description=command.__doc__, allow_abbrev=False)
    command.add_arguments(parser)
    code: int = command.run(parser.parse(words))
    return code


def whole(text: str) -> int:
    """A whole number; ArgumentTypeError for anything else."""
    if not re.fullmatch(r"[+-]?[0-9]{1,18}", text.strip()):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no whole number of at most 18 digits")
    return int(text)


def number(text: str) -> float:
    """A finite number; ArgumentTypeError for anything else."""
    value = float(text) if re.fullmatch(r"[0-9.eE+-]+", text.strip()) else math.nan
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{shown(text)} is no finite number")
    return value


def between(low: int, high: int) -> Callable[[str], int]:
    """A type of arguments: whole numbers from `low` to `high`."""

    def convert(text: str) -> int:
        value = whole(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(
                f"{value} was given, expected at least {low} and at most {high:,}"
            )
        return value

    return convert


def path(text: str) -> Path:
    """A path with `~` and `~NAME` replaced; ArgumentTypeError for the home of nobody."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise argparse.ArgumentTypeError(
            f"{shown(text)} names the home of a user that there is not"
        ) from None


def check_words(arguments: Sequence[str], may_be_empty: Sequence[str] = ()) -> None:
    """UsageError for an argument that nobody can mean: empty, too long, not UTF-8, with control characters.

    An empty one mostly stands for a variable that is not set, and as a path would be the current folder.
    may_be_empty: options for which it has a meaning.
    """
    before = ""
    for word in arguments:
        option, equals, value = word.partition("=")
        named = option if equals and option.startswith("--") else before if before.startswith("-") else ""
        what = f"{named} is" if named else "an argument is"
        if not (value if named == option and equals else word).strip() and named not in may_be_empty:
            raise UsageError(f"{what} empty: is a variable not set? give it a value, or leave it out")
        if len(word) > (LONGEST_SETTING if named == "-o" or word.startswith("-o") else LONGEST_WORD):
            raise UsageError(f"{what} {len(word):,} characters long ({shown(word)}); shorten it")
        kinds = {unicodedata.category(character) for character in word}
        if "Cs" in kinds:
            raise UsageError(
                f"{what} {word!a}, which is not UTF-8, and results could not name it: rename that file "
                "or folder"
            )
        if "Cc" in kinds:
            raise UsageError(f"{what} {shown(word)}, with a line break or control character: take that out")
        before = word


def without(words: Sequence[str], options: Sequence[str]) -> list[str]:
    """The words of a command but for these options with values: `--steps 3`, `--steps=3`, `-o 3`, `-o3`."""
    kept: list[str] = []
    value = False
    for word in words:
        name = word.partition("=")[0] if word.startswith("--") else word[:2]
        if not value and name not in options:
            kept.append(word)
        value = not value and word in options
    return kept
