"""The command line: one run of a task, and the small commands around it.

Only the standard library is imported up here: `--help` and a mistyped name answer at once.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs import settings
from downstream_runs.errors import RunFailed, UsageError
from reports.errors import ReportError
from upstream_arm import names
from upstream_arm.errors import UpstreamError

if TYPE_CHECKING:
    from downstream_runs.engine.plan import RunPlan
    from downstream_runs.features.source import Settings
    from downstream_runs.tasks.spec import TaskSpec

PROGRAM = "./run_superb.sh"
DEMO_DATA = "demo-data"
DONE, FAILED, WRONG_USE, INTERRUPTED = 0, 1, 2, 130

EPILOG = f"""\
other commands:
  list     upstreams, tasks and the recipes of each task
  doctor   check packages, GPU, data, checkpoint and disk
  check    check the corpora of tasks              (check --help)
  status   what the runs are doing                 (status --help)
  fetch    download a released checkpoint           (fetch --help)
  score    score hypotheses against references      (score --help)
  table    a table of results, published and ours   (table --help)
  submit   the leaderboard's predict.zip            (submit --help)
  report   all tables, figures and a page of results (report --help)
  test     run the project's tests (of {PROGRAM} only; arguments go to pytest)

examples:
  {PROGRAM} armhubert asr --demo
  {PROGRAM} armhubert asr --data /corpora --recipe paper
  {PROGRAM} armhubert,fbank all --demo
  {PROGRAM} armhubert_local asr --data /corpora --ckpt student.ckpt --model-config student.yaml

exit codes: 0 done, 1 a run failed, 2 wrong use or missing input, 130 interrupted
"""


def run_parser() -> argparse.ArgumentParser:
    """The parser of `UPSTREAM TASK [options]`."""
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Train and score one SUPERB task on a frozen upstream, or continue such a run.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "upstream",
        metavar="UPSTREAM",
        help="a name that `list` shows, e.g. armhubert or wavlm_base, or several with commas",
    )
    parser.add_argument("task", metavar="TASK", help="e.g. asr, or several as asr,ks, or all")
    parser.add_argument(
        "--data", type=Path, metavar="DIR", help="folder of the corpora; else SUPERB_DATA, superb.toml"
    )
    parser.add_argument("--demo", action="store_true", help="use a small synthetic corpus, made on first use")
    parser.add_argument(
        "--recipe", help="superb (the default), paper, demo (the default of --demo) or sample"
    )
    parser.add_argument(
        "--ckpt", metavar="FILE", help="weights for an upstream of this project or a NAME_local"
    )
    parser.add_argument(
        "--model-config", metavar="FILE", help="the model's yaml, where its checkpoint has none"
    )
    for switch, values in names.SWITCHES.items():
        parser.add_argument(
            f"--{switch.replace('_', '-')}",
            choices=values,
            help=f"of this project's students (default: {values[0]}); the README says what it does",
        )
    parser.add_argument(
        "--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)"
    )
    parser.add_argument("--device", default="auto", help="auto (the default), cpu, cuda or cuda:N")
    parser.add_argument(
        "--precision", default="fp32", help="of the upstream: fp32 (the default), bf16 or fp16"
    )
    parser.add_argument(
        "--jobs", type=int, default=1, metavar="N", help="of several runs, how many at a time (default: 1)"
    )
    parser.add_argument("--seed", type=int, default=1337, help="default: 1337, s3prl's")
    _add_features(parser)
    parser.add_argument(
        "--rerun",
        choices=("never", "missing", "always"),
        default="missing",
        help="what to do with an earlier run of the same plan: never touch it, do what is missing of it (the "
        "default), or discard it and start anew",
    )
    parser.add_argument(
        "-o",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe, e.g. -o optimizer.lr=5e-4; may be repeated",
    )
    return parser


def _add_features(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--features",
        default="auto",
        metavar="MODE",
        help="off: computed in every pass, as s3prl does; disk or memory: computed once and stored; auto "
        "(the default): stored where no number changes but for rounding in fp32",
    )
    parser.add_argument(
        "--features-precision",
        default="fp16",
        metavar="TYPE",
        help="of stored frames: fp16 (the default), bf16 or fp32",
    )
    parser.add_argument(
        "--features-gb",
        type=float,
        metavar="N",
        help="store no more than this (default: 4 of memory, or all but 2 of what the disk has free)",
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code and prints every error of the user's as one sentence."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        if arguments and arguments[0] in COMMANDS:
            return COMMANDS[arguments[0]](arguments)
        if not arguments:
            run_parser().print_help(sys.stderr)
            return WRONG_USE
        return _run(run_parser().parse_args(arguments), arguments)
    except (UsageError, UpstreamError, ReportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return WRONG_USE
    except RunFailed as error:
        print(f"failed: {error}", file=sys.stderr)
        return FAILED
    except KeyboardInterrupt:
        print("interrupted; the same command continues from the last checkpoint", file=sys.stderr)
        return INTERRUPTED


def _run(options: argparse.Namespace, arguments: Sequence[str]) -> int:
    from downstream_runs.launch import expand

    pairs = [(up, task) for up in expand.upstreams(options.upstream) for task in expand.tasks(options.task)]
    if options.jobs < 1:
        raise UsageError(f"--jobs is {options.jobs}, expected at least 1")
    plans = []
    for upstream, task in pairs:
        one = argparse.Namespace(**{**vars(options), "upstream": upstream, "task": task})
        plans.append(plan_of(one, arguments))
    return _run_one(plans[0], options) if len(plans) == 1 else _run_many(plans, options)


def _run_many(plans: Sequence[RunPlan], options: argparse.Namespace) -> int:
    from downstream_runs.engine.plan import run_dir
    from downstream_runs.launch import local

    outcomes = local.run_all(plans, rerun=options.rerun, jobs=options.jobs, demo=options.demo)
    good = [run_dir(outcome.plan) / "result.json" for outcome in outcomes if outcome.good]
    if good:
        _reports(["table", *map(str, good)])
    bad = [outcome for outcome in outcomes if not outcome.good]
    for outcome in bad:
        print(f"{outcome.plan.upstream} {outcome.plan.task.name}: {outcome.said} (log: {outcome.log})")
    print(f"\n{len(good)} of {len(outcomes)} runs have results, under {options.out}")
    return FAILED if bad else DONE


def _run_one(plan: RunPlan, options: argparse.Namespace) -> int:
    recipe, corpus = plan.task.recipes[plan.recipe], "synthetic speech (demo)" if options.demo else plan.data
    print(f"{plan.task.title} on {plan.upstream} with {corpus}", file=sys.stderr)
    print(f"recipe {recipe.name}: {recipe.note}", file=sys.stderr)
    if options.demo:
        plan.task.demo(plan.data)

    from downstream_runs import engine

    engine.run(plan, rerun=options.rerun)
    result = engine.run_dir(plan) / "result.json"
    code = _reports(["table", str(result)])
    print(f"\nresult: {result}\nrun:    {result.parent}")
    return code


def plan_of(options: argparse.Namespace, arguments: Sequence[str]) -> RunPlan:
    """The run that the options ask for. All names are checked before any data is looked for or made.

    Raises UsageError for names, files and folders that cannot be used.
    """
    from downstream_runs import tasks, weights
    from downstream_runs.engine.plan import RunPlan, resolve_config

    if options.demo and options.data is not None:
        raise UsageError("--demo makes its own corpus and --data names another: give one of the two")
    task = tasks.get(options.task)
    recipe = tasks.recipe(task, options.recipe or ("demo" if options.demo else "superb")).name
    overrides = dict(_override(text) for text in options.overrides)
    upstream = weights.choose(options.upstream, options.ckpt, options.demo)
    if upstream.note:
        print(f"note: {upstream.note}", file=sys.stderr)
    out = options.out.expanduser().absolute()
    plan = RunPlan(
        task=task,
        recipe=recipe,
        upstream=upstream.name,
        data=out / DEMO_DATA if options.demo else _data(task, options.data),
        out=out,
        ckpt=upstream.ckpt,
        model_config=options.model_config,
        switches=_switches(options, upstream.name),
        seed=options.seed,
        device=options.device,
        precision=options.precision,
        overrides=overrides,
        command=(PROGRAM, *arguments),
        features=_features(options),
    )
    resolve_config(plan)
    return plan


def _features(options: argparse.Namespace) -> Settings:
    from downstream_runs.features.source import Settings

    limit = None if options.features_gb is None else int(options.features_gb * 1e9)
    return Settings(options.features, options.features_precision, limit)


def _switches(options: argparse.Namespace, upstream: str) -> dict[str, str]:
    given = {switch: getattr(options, switch) for switch in names.SWITCHES}
    chosen = {switch: value for switch, value in given.items() if value is not None}
    if chosen and upstream not in names.names():
        option = "--" + next(iter(chosen)).replace("_", "-")
        raise UsageError(f"{option} is for this project's students and {upstream} is none: leave it out")
    return chosen


def _data(task: TaskSpec, option: Path | None) -> Path:
    found = settings.data_root(option)
    if found is None:
        corpus = task.corpus
        raise settings.no_data(task.name, f"{corpus.name} ({corpus.size}, {corpus.licence}, {corpus.url})")
    return found.path


def _override(text: str) -> tuple[str, Any]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UsageError(f"-o {text} is not KEY=VALUE, e.g. -o optimizer.lr=5e-4")
    try:
        return key, json.loads(value)
    except ValueError:  # a plain word is a string
        return key, value


def _list(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog=f"{PROGRAM} list", description="Show upstreams, tasks and recipes.")
    parser.parse_args(arguments[1:])
    from downstream_runs import listing

    print(listing.text(), end="")
    return DONE


def _doctor(arguments: Sequence[str]) -> int:
    from downstream_runs import doctor

    return doctor.main(arguments[1:])


def _check(arguments: Sequence[str]) -> int:
    from downstream_runs import check

    return check.main(arguments[1:])


def _status(arguments: Sequence[str]) -> int:
    from downstream_runs import status

    return status.main(arguments[1:])


def _submit(arguments: Sequence[str]) -> int:
    from downstream_runs import submission

    return submission.main(arguments[1:])


def _fetch(arguments: Sequence[str]) -> int:
    from upstream_arm.cli import main as upstream_arm

    return upstream_arm(arguments)


def _score(arguments: Sequence[str]) -> int:
    from downstream_runs.scoring.command import main as score

    return score(arguments[1:])


def _reports(arguments: Sequence[str]) -> int:
    from reports.__main__ import main as reports

    return reports(arguments)


COMMANDS: dict[str, Callable[[Sequence[str]], int]] = {
    "list": _list,
    "doctor": _doctor,
    "check": _check,
    "status": _status,
    "fetch": _fetch,
    "score": _score,
    "table": _reports,
    "submit": _submit,
    "report": lambda arguments: _reports(["build", *arguments[1:]]),
}
