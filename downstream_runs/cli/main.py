"""The command line: `UPSTREAM TASK` is a run, any other first word is a command, a file of this folder each.

Only the standard library is imported up here: `--help` and a mistyped name answer at once.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from upstream_arm.common.arguments import check_words, run_command
from upstream_arm.common.errors import (
    INTERRUPTED,
    INTERRUPTION,
    WRONG_USE,
    SuperbError,
    UsageError,
    say,
    tell,
)
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near, shown

COMMANDS: Mapping[str, str] = {
    "run": "run tasks; so does UPSTREAM TASK alone",
    "plan": "what a command would do",
    "estimate": "hours and disk on this machine",
    "inspect": "measure an upstream: shape, costs, what its features depend on",
    "list": "upstreams, tasks and the recipes of each task",
    "recipe": "show a task's recipes, or print one",
    "doctor": "check packages, GPU, data, checkpoint and disk",
    "data": "fetch the corpora of tasks, link or verify them",
    "check": "check the corpora of tasks",
    "mix": "make Libri2Mix for sd from LibriSpeech and WHAM! noise",
    "status": "what the runs are doing",
    "logs": "the ends of runs' logs",
    "cancel": "stop runs, or take them from the queue",
    "clean": "delete runs",
    "repeat": "run a result again and compare",
    "extend": "a finished run to more steps",
    "test-only": "the head of a finished run on another test set",
    "verify": "recompute a result's scores",
    "fetch": "download a released checkpoint, or a model of the Hugging Face hub",
    "distill": "make a student from a teacher (--demo for its speech)",
    "evaluate-run": "every student that a distillation keeps through tasks, a proxy",
    "score": "score hypotheses against references",
    "table": "a table of results, published and ours",
    "compare": "systems or runs side by side, with differences and tests",
    "submit": "the leaderboard's predict.zip",
    "publish": "share runs in a repository of results",
    "pull": "take others' results from one, checked",
    "site": "a leaderboard of a repository of results, for any web server",
    "card": "the evaluation block of a model card, and BibTeX",
    "report": "all tables, figures and a page of results",
    "version": "versions of this project, s3prl, torch and Python",
}
"""Name of a command, which is that of its file -> what it does."""

MODULES: Mapping[str, str] = {
    "distill": "upstream_arm.distillation.command",
    "evaluate-run": "downstream_runs.cli.evaluate_run",
    "test-only": "downstream_runs.cli.test_only",
}
"""Commands that are not a file of this folder."""

REPORTS: Mapping[str, str] = {"table": "table", "compare": "compare", "report": "build"}
"""Commands of `python -m reports` -> their names there."""

EPILOG = f"""\
other commands (COMMAND --help says more):
{chr(10).join(f"  {name:<8} {about}" for name, about in COMMANDS.items())}
  test     run the project's tests (of ./run_superb.sh only; arguments go to pytest)
  --latest before any command, of ./run_superb.sh only: install the newest releases, not the tested set

examples:
  {PROGRAM} armhubert asr --demo
  {PROGRAM} armhubert asr --data /corpora --recipe paper
  {PROGRAM} armhubert,fbank all --demo
  {PROGRAM} armhubert_local asr --data /corpora --ckpt student.ckpt --model-config student.yaml

exit codes: 0 done, 1 a run failed or was skipped, 2 wrong use or missing input, 130 interrupted
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and prints every error of the user's as one sentence.

    `__main__` tells the rest: BrokenPipeError, for whoever reads the output wants no more of it, and an error
    of the output itself, which names no file.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        # distill takes '' for no validation.
        check_words(arguments, ("--dev", "--train") if arguments[:1] == ["distill"] else ())
        return _run(*_command(arguments))
    except SuperbError as error:
        return tell(error)
    except KeyboardInterrupt:
        return say(INTERRUPTION, INTERRUPTED)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        name, reason = shown(str(error.filename)), error.strerror or error
        advice = "check the path and its permissions, or name another"
        return say(f"error: {name} cannot be used ({reason}): {advice}", WRONG_USE)


def _command(arguments: Sequence[str]) -> tuple[str, Sequence[str]]:
    """The command that is meant, and its arguments: `help COMMAND`, `--version` and `-V` are known too."""
    first, rest = (arguments[0], arguments[1:]) if arguments else ("", ())
    if first == "help":
        if rest and rest[0] not in COMMANDS:
            raise UsageError(
                f"there is no command {rest[0]}{near(rest[0], COMMANDS)} ({PROGRAM} --help shows all)"
            )
        return (rest[0] if rest and rest[0] in COMMANDS else ""), ["--help"]
    if first in ("--version", "-V"):
        return "version", rest
    return (first, rest) if first in COMMANDS else ("", arguments)


def _run(name: str, arguments: Sequence[str]) -> int:
    """Run a command; without a name it is a run of UPSTREAM TASK."""
    if name in REPORTS:
        from reports.__main__ import main as reports

        return reports([REPORTS[name], *arguments], f"{PROGRAM} {name}")
    if name == "distill":
        arguments = _distill_words(arguments)
    if name:
        module = MODULES.get(name, f"downstream_runs.cli.{name}")
        return run_command(module, f"{PROGRAM} {name}", arguments)
    from downstream_runs.cli import run

    parser = run.run_parser(EPILOG)
    if not arguments:
        parser.print_help(sys.stderr)
        return WRONG_USE
    first = arguments[0]
    hint = near(first, [*COMMANDS, "--version"])
    try:
        options = parser.parse(arguments)
        if hint and first.isidentifier():
            from downstream_runs.upstreams.names import check_upstream

            check_upstream(first)
    except UsageError:
        if not hint:
            raise
        raise UsageError(
            f"{first} is no command, and a run is UPSTREAM TASK{hint} ({PROGRAM} --help shows both)"
        ) from None
    return run.run(options)


def _distill_words(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments of `distill`, in which `--demo` is the folder of its synthetic speech, made now."""
    if "--demo" not in arguments:
        return arguments
    if "--data" in arguments:
        raise UsageError("--demo and --data both name a corpus: give one of the two")
    from downstream_runs import tasks
    from downstream_runs.core import run_folder

    data = Path("runs") / run_folder.DEMO_DATA
    tasks.get("asr").corpus.make_demo(data)
    return [*(word for word in arguments if word != "--demo"), "--data", str(data)]
