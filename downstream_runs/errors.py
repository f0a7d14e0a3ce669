"""The two ways in which a command ends badly."""

import re

INTERRUPTION = "interrupted; the same command continues from the last checkpoint"


def sentence(error: object) -> str:
    """An error as it is printed: words that no terminal could show whole lose their middle."""
    return re.sub(r"\S{400,}", lambda word: f"{word[0][:100]}...{word[0][-20:]}", str(error))


class UsageError(Exception):
    """Wrong use or missing input: one sentence for the user, exit code 2."""


class RunFailed(Exception):
    """A run that started and could not be finished: one sentence for the user, exit code 1."""


class Diverged(RunFailed):
    """A loss or gradient that is not a finite number."""
