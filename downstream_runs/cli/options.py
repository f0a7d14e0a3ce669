"""The options of a run, and the plan that they ask for.

Only the standard library is imported up here: `--help` and a mistyped name answer at once.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.cli.parser import Parser, between, whole
from downstream_runs.core.program import PROGRAM
from downstream_runs.corpora import data_root as settings
from upstream_arm import names
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown

if TYPE_CHECKING:
    from downstream_runs.core.task import TaskSpec
    from downstream_runs.engine.plan import RunPlan
    from downstream_runs.features.options import FeatureOptions

DEMO_DATA = "demo-data"
MOST_GB = 1_000_000

EPILOG = f"""\
other commands:
  plan     what a command would do                  (plan --help)
  estimate hours and disk on this machine           (estimate --help)
  list     upstreams, tasks and the recipes of each task
  doctor   check packages, GPU, data, checkpoint and disk
  check    check the corpora of tasks              (check --help)
  status   what the runs are doing                 (status --help)
  logs     the ends of runs' logs                   (logs --help)
  cancel   stop runs, or take them from the queue   (cancel --help)
  clean    delete runs                              (clean --help)
  repeat   run a result again and compare           (repeat --help)
  verify   recompute a result's scores              (verify --help)
  fetch    download a released checkpoint           (fetch --help)
  distill  make a student from a teacher            (distill --help; --demo for its speech)
  score    score hypotheses against references      (score --help)
  table    a table of results, published and ours   (table --help)
  submit   the leaderboard's predict.zip            (submit --help)
  report   all tables, figures and a page of results (report --help)
  test     run the project's tests (of ./run_superb.sh only; arguments go to pytest)
  --latest before any command, of ./run_superb.sh only: install the newest releases, not the tested set

examples:
  {PROGRAM} armhubert asr --demo
  {PROGRAM} armhubert asr --data /corpora --recipe paper
  {PROGRAM} armhubert,fbank all --demo
  {PROGRAM} armhubert_local asr --data /corpora --ckpt student.ckpt --model-config student.yaml

exit codes: 0 done, 1 a run failed or was skipped, 2 wrong use or missing input, 130 interrupted
"""


def run_parser(command: str = "") -> argparse.ArgumentParser:
    """The parser of `UPSTREAM TASK [options]`, of a run or of the command `plan` that only tells of it."""
    parser = Parser(
        prog=f"{PROGRAM} {command}".strip(),
        description="Print the runs that these arguments stand for; nothing is written."
        if command
        else "Train and score SUPERB tasks on frozen upstreams, or continue such runs.",
        epilog=None if command else EPILOG,
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
    parser.add_argument(
        "--partial",
        action="store_true",
        help="take a part of a corpus, or recordings of your own in its layout, and label results partial, "
        "with how many of the official utterances there are; a whole corpus gets none (default: refuse)",
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
        "--jobs",
        type=between(1, 10_000),
        metavar="N",
        help="of several runs, how many at a time (default: 1; on Slurm as many as it has room for)",
    )
    parser.add_argument(
        "--seed",
        type=_seeds,
        default=(1337,),
        metavar="N[,N]",
        help="several make a run each (default: 1337, s3prl's)",
    )
    parser.add_argument(
        "--lr",
        metavar="RATES",
        help="a learning rate, or several as 1e-2,1e-3 to try each and keep the best on dev, or sweep for "
        "1e-1 to 1e-5",
    )
    parser.add_argument(
        "--stop-hopeless",
        type=float,
        nargs="?",
        const=10.0,
        metavar="POINTS",
        help="of several rates, give one up that is more than POINTS (default: 10) behind another on dev at "
        "the same step, once a quarter of the steps is done; the result says so",
    )
    _add_devices(parser)
    _add_features(parser)
    _add_launcher(parser)
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


def _add_devices(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--devices",
        type=between(1, 1024),
        default=1,
        metavar="N",
        help="train a run data-parallel on N CUDA devices of this machine, or with --device cpu on N "
        "processes (default: 1); a step then has N times as many utterances",
    )


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


def _add_launcher(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("where the runs go")
    group.add_argument(
        "--launcher",
        choices=("local", "slurm"),
        default="local",
        help="this machine (the default), or jobs of a Slurm cluster, where --jobs is how many at once",
    )
    group.add_argument("--slurm-partition", metavar="NAME")
    group.add_argument(
        "--slurm-time",
        type=between(1, 10_000_000),
        metavar="MINUTES",
        help="of one job; what is left goes on in a further one",
    )
    group.add_argument("--slurm-gres", metavar="GRES", help="e.g. gpu:1")
    group.add_argument("--slurm-mem", metavar="SIZE", help="e.g. 32G")
    group.add_argument("--slurm-constraint", metavar="FEATURES")
    group.add_argument("--slurm-cpus", type=between(1, 100_000), metavar="N", help="of one job (default: 4)")


def slurm_options(options: argparse.Namespace) -> dict[str, Any]:
    """What the options ask of Slurm; UsageError if they do without `--launcher slurm`."""
    given = {
        name: getattr(options, f"slurm_{name}")
        for name in ("partition", "time", "gres", "mem", "constraint", "cpus")
        if getattr(options, f"slurm_{name}") is not None
    }
    if given and options.launcher != "slurm":
        raise UsageError(f"--slurm-{next(iter(given))} is for --launcher slurm: add that, or leave it out")
    for name, value in given.items():
        # They become lines of a script, where a space begins another option.
        if isinstance(value, str) and not re.fullmatch(r"[^\s-]\S*", value):
            raise UsageError(f"--slurm-{name} is {shown(value)}, expected one word as Slurm takes it")
    return given


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(whole(number) for number in text.split(",")))


def plan_of(options: argparse.Namespace, arguments: Sequence[str], seed: int | None = None) -> RunPlan:
    """The run that the options ask for, learning rates apart; of several seeds the first, or `seed`.

    All names are checked before any data is looked for or made. Raises UsageError for names, files and
    folders that cannot be used.
    """
    from downstream_runs import tasks
    from downstream_runs.cli import overrides
    from downstream_runs.engine.plan import RunPlan, leaves, resolve_config
    from downstream_runs.upstreams import weights

    if options.demo and options.data is not None:
        raise UsageError("--demo makes its own corpus and --data names another: give one of the two")
    task = tasks.get(options.task)
    recipe = tasks.recipe(task, options.recipe or ("demo" if options.demo else "superb"))
    changed = overrides.read(options.overrides, dict(leaves(recipe.config)))
    upstream = weights.choose(options.upstream, options.ckpt, options.demo)
    if upstream.note:
        print(f"note: {upstream.note}", file=sys.stderr)
    out = settings.out_folder(options.out)
    plan = RunPlan(
        task=task,
        recipe=recipe.name,
        upstream=upstream.name,
        data=out / DEMO_DATA if options.demo else _data(task, options.data),
        out=out,
        ckpt=upstream.ckpt,
        model_config=options.model_config,
        switches=_switches(options, upstream.name),
        seed=options.seed[0] if seed is None else seed,
        device=options.device,
        devices=options.devices,
        precision=options.precision,
        overrides=changed,
        command=(PROGRAM, *arguments),
        features=features_of(options),
        partial=options.partial,
    )
    resolve_config(plan)
    return plan


def features_of(options: argparse.Namespace) -> FeatureOptions:
    """What the options say of stored features; UsageError if they cannot go together."""
    from downstream_runs.features.options import FeatureOptions

    gb = options.features_gb
    if gb is not None and not 0 < gb <= MOST_GB:
        raise UsageError(f"--features-gb is {gb:g}, expected more than 0 and at most {MOST_GB:,}")
    limit = None if gb is None else int(gb * 1e9)
    return FeatureOptions(options.features, options.features_precision, limit)


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
