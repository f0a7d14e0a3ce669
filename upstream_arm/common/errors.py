"""The ways in which a command ends badly: one sentence for the user and an exit code."""

import contextlib
import re
import sys
import textwrap
from collections.abc import Iterator

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130
"""Exit codes of every command."""

INTERRUPTION = "interrupted; the same command continues from the last checkpoint"


class SuperbError(Exception):
    """The root of our errors. The message is one sentence: what was found, what was expected, what to do.

    exit_code: of the command that it ends; word: what the sentence begins with.
    """

    exit_code = FAILED
    word = "failed"


class UsageError(SuperbError):
    """Wrong use, or input that is missing or cannot be used."""

    exit_code = WRONG_USE
    word = "error"


class UpstreamError(UsageError, ValueError):
    """A configuration, checkpoint or waveform that cannot be used."""


@contextlib.contextmanager
def about(file: object) -> Iterator[None]:
    """Within it, an UpstreamError's sentence begins with the file that it is about."""
    try:
        yield
    except UpstreamError as error:
        raise UpstreamError(f"{file}: {error}") from None


class ReportError(UsageError):
    """A result file or row that cannot be used."""


class RunFailed(SuperbError):
    """A run that started and could not be finished."""


class Diverged(RunFailed):
    """A loss or gradient that is not a finite number."""


def sentence(error: object) -> str:
    """An error as it is printed: words that no terminal could show whole lose their middle."""
    return re.sub(r"\S{400,}", lambda word: f"{word[0][:100]}...{word[0][-20:]}", str(error))


def reason(error: BaseException) -> str:
    """Why something failed, in one short line: the system's words, else the error's own, else its kind."""
    words = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return textwrap.shorten(str(words), 160, placeholder=" ...") or type(error).__name__


def say(text: str, code: int) -> int:
    """Print a sentence on standard error, if that can be written; returns `code`."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
    return code


def tell(error: SuperbError) -> int:
    """Print an error as one sentence on standard error; returns its exit code."""
    return say(f"{error.word}: {sentence(error)}", error.exit_code)
