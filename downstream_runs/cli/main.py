"""The command line: one run of a task, and the small commands around it.

Only the standard library is imported up here: `--help` and a mistyped name answer at once.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.cli.options import DEMO_DATA, PROGRAM, plan_of, run_parser, slurm_options
from downstream_runs.cli.parser import Parser, check_words
from downstream_runs.core.run_folder import RESULT
from upstream_arm.common.errors import (
    INTERRUPTION,
    ReportError,
    RunFailed,
    UpstreamError,
    UsageError,
    sentence,
)
from upstream_arm.common.words import shown

if TYPE_CHECKING:
    from downstream_runs.core.run import RunPlan
    from downstream_runs.launch.expand import Row
    from downstream_runs.launch.job import Launch

__all__ = ["main", "plan_of", "run_parser"]

DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and prints every error of the user's as one sentence.

    `__main__` tells the rest: BrokenPipeError, for whoever reads the output wants no more of it, and an error
    of the output itself, which names no file.
    """
    arguments = _plain(list(sys.argv[1:] if argv is None else argv))
    try:
        # distill takes '' for no validation.
        check_words(arguments, ("--dev", "--train") if arguments[:1] == ["distill"] else ())
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments)
        if not arguments:
            run_parser().print_help(sys.stderr)
            return WRONG_USE
        return _run(_run_options(arguments), arguments)
    except (UsageError, UpstreamError, ReportError) as error:
        return say(f"error: {sentence(error)}", WRONG_USE)
    except RunFailed as error:
        return say(f"failed: {sentence(error)}", FAILED)
    except KeyboardInterrupt:
        return say(INTERRUPTION, INTERRUPTED)
    except BrokenPipeError:
        raise
    except OSError as error:
        if error.filename is None:
            raise
        name = shown(str(error.filename))
        reason = error.strerror or str(error)
        told = f"error: {name} cannot be used ({reason}): check the path and its permissions, or name another"
        return say(told, WRONG_USE)


def say(text: str, code: int) -> int:
    """Print a sentence on standard error, if that can be written; returns `code`."""
    with contextlib.suppress(OSError):
        print(text, file=sys.stderr, flush=True)
    return code


def _plain(arguments: list[str]) -> list[str]:
    """`help` and `help COMMAND` as the option --help, and the other way of asking for the version."""
    if arguments[:1] == ["help"]:
        return [*(name for name in arguments[1:2] if name in COMMANDS), "--help"]
    return ["--version"] if arguments == ["-V"] else arguments


def _run_options(arguments: Sequence[str]) -> argparse.Namespace:
    """The options of a run; UsageError, where a command was meant with its name."""
    try:
        return run_parser().parse_args(arguments)
    except UsageError:
        from upstream_arm.common.words import near

        hint = near(arguments[0], COMMANDS)
        if not hint or arguments[0].startswith("-"):
            raise
        raise UsageError(
            f"{arguments[0]} is no command, and a run is UPSTREAM TASK{hint} ({PROGRAM} --help shows both)"
        ) from None


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from downstream_runs.launch import expand

    slurm_options(options)
    rows = expand.rows(options, arguments)
    several = len(rows) > 1 or bool(rows[0].rates) or options.launcher != "local"
    split = (options.jobs or 1) > 1 and rows[0].plan.task.folds
    return _run_many(rows, options) if several or split else _run_one(rows[0].plan, options)


def _launch(options: argparse.Namespace) -> Launch:
    if options.launcher == "slurm":
        from downstream_runs.launch import slurm

        asked = slurm.Options(**slurm_options(options), parallel=options.jobs)
        return functools.partial(slurm.run_all, rerun=options.rerun, demo=options.demo, options=asked)
    from downstream_runs.launch import local

    return functools.partial(local.run_all, rerun=options.rerun, jobs=options.jobs or 1, demo=options.demo)


def _run_many(rows: Sequence[Row], options: argparse.Namespace) -> int:
    from downstream_runs.launch import before, expand, job

    skipped = {} if options.demo else before.unusable(rows)
    usable = [row for row in rows if row.plan.task.name not in skipped]
    ended = job.run(usable, options.rerun, _launch(options)) if usable else []
    good = [row.result for row in ended if row.result is not None]
    if good:
        _reports(["table", *map(str, good)])
    bad = [row for row in ended if row.result is None]
    for row in bad:
        print(f"{expand.name(row.row.plan)}: {row.said}" + (f" (log: {row.log})" if row.log else ""))
    for one in rows:
        if one.plan.task.name in skipped:
            print(f"{expand.name(one.plan)}: skipped: {skipped[one.plan.task.name]}")
    print(f"\n{len(good)} of {len(rows)} runs have results, under {options.out}")
    return WRONG_USE if not usable else FAILED if bad or skipped else DONE


def _run_one(plan: RunPlan, options: argparse.Namespace) -> int:
    recipe, corpus = plan.task.recipes[plan.recipe], "synthetic speech (demo)" if options.demo else plan.data
    print(f"{plan.task.title} on {plan.upstream} with {corpus}", file=sys.stderr)
    print(f"recipe {recipe.name}: {recipe.note}", file=sys.stderr)
    from downstream_runs import engine
    from downstream_runs.launch import attempt

    with attempt.recorded(plan):
        if options.demo:
            attempt.make_demo(plan.task, plan.data)
        engine.run(plan, rerun=options.rerun)
    result = engine.run_dir(plan) / RESULT
    code = _reports(["table", str(result)])
    print(f"\nresult: {result}\nrun:    {result.parent}")
    return code


def _plan(arguments: Sequence[str]) -> int:
    from downstream_runs.launch import dryrun, expand

    options = run_parser("plan").parse_args(arguments[1:])
    print(dryrun.text(expand.rows(options, arguments[1:]), options), end="")
    return DONE


def _estimate(arguments: Sequence[str]) -> int:
    from downstream_runs.estimate import command

    return command.main(arguments[1:])


def _version(arguments: Sequence[str]) -> int:
    import platform

    from downstream_runs.bridge.command import version_of

    Parser(prog=f"{PROGRAM} --version").parse_args(arguments[1:])
    packages = map(version_of, ("superb-arm", "s3prl", "torch", "torchaudio"))
    print(", ".join([*packages, f"Python {platform.python_version()}"]))
    return DONE


def _list(arguments: Sequence[str]) -> int:
    parser = Parser(prog=f"{PROGRAM} list", description="Show upstreams, tasks and recipes.")
    parser.parse_args(arguments[1:])
    from downstream_runs.upstreams import listing

    print(listing.text(), end="")
    return DONE


def _recipe(arguments: Sequence[str]) -> int:
    from downstream_runs.cli import recipe

    return recipe.main(arguments[1:])


def _doctor(arguments: Sequence[str]) -> int:
    from downstream_runs.cli import doctor

    return doctor.main(arguments[1:])


def _check(arguments: Sequence[str]) -> int:
    from downstream_runs.cli import check

    return check.main(arguments[1:])


def _status(arguments: Sequence[str]) -> int:
    from downstream_runs.runs import status

    return status.main(arguments[1:])


def _manage(arguments: Sequence[str]) -> int:
    from downstream_runs.runs import manage

    commands = {"logs": manage.logs, "cancel": manage.cancel, "clean": manage.clean}
    return commands[arguments[0]](arguments[1:])


def _proof(arguments: Sequence[str]) -> int:
    from downstream_runs.runs import proof

    commands = {"repeat": proof.repeat, "verify": proof.verify}
    return commands[arguments[0]](arguments[1:])


def _submit(arguments: Sequence[str]) -> int:
    from downstream_runs.runs import submission

    return submission.main(arguments[1:])


def _fetch(arguments: Sequence[str]) -> int:
    from upstream_arm.cli import main as upstream_arm

    return upstream_arm(arguments)


def _distill(arguments: Sequence[str]) -> int:
    """As `python -m upstream_arm distill`; `--demo` makes the synthetic corpus first."""
    from downstream_runs import tasks
    from downstream_runs.launch import attempt
    from upstream_arm.cli import main as upstream_arm

    given = list(arguments)
    if "--demo" in given:
        if "--data" in given:
            raise UsageError("--demo and --data both name a corpus: give one of the two")
        given.remove("--demo")
        data = Path("runs") / DEMO_DATA
        attempt.make_demo(tasks.get("asr"), data)
        given += ["--data", str(data)]
    return upstream_arm(given)


def _score(arguments: Sequence[str]) -> int:
    from downstream_runs.scoring.command import main as score

    return score(arguments[1:])


def _reports(arguments: Sequence[str]) -> int:
    from reports.__main__ import main as reports

    return reports(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "--version": _version,
    "plan": _plan,
    "estimate": _estimate,
    "list": _list,
    "recipe": _recipe,
    "doctor": _doctor,
    "check": _check,
    "status": _status,
    "logs": _manage,
    "cancel": _manage,
    "clean": _manage,
    "repeat": _proof,
    "verify": _proof,
    "fetch": _fetch,
    "distill": _distill,
    "score": _score,
    "table": _reports,
    "submit": _submit,
    "report": lambda arguments: _reports(["build", *arguments[1:]]),
}
