"""`python -m reports`: tables of results."""

from __future__ import annotations

import argparse
import gc
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from reports import columns, store
from reports.ours import gather
from reports.score_command import score
from reports.tables import blocks, paper
from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import UsageError, say, tell
from upstream_arm.common.stages import stage

# What a command needs is imported by it: `--help` and `table` need no numpy.


def main(argv: Sequence[str] | None = None, prog: str = "") -> int:
    """Run one command, `prog` in its help; 2 and one sentence for each input that cannot be used."""
    try:
        options = _parser(prog).parse_args(argv)
        code: int = options.run(options)
        return code
    except UsageError as error:
        return tell(error)


def _score(options: argparse.Namespace) -> int:
    text, notes = score(options.rows)
    print(text, end="")
    return _told(notes, ())


def _report(options: argparse.Namespace) -> int:
    # On matrices this small numpy's threads take longer than their work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    with stage("loading what draws and resamples"):
        from reports import build

    places = [*options.place, *([] if options.out is None else [options.out])]
    # Drawing makes objects by the million; a search for cycles after each figure or so frees as much memory.
    usual = gc.get_threshold()
    gc.set_threshold(30_000, 2, 1000)
    try:
        paths, collection = build.write(
            places, options.to, whole=options.whole, costs=options.efficiency, only=options.only
        )
    finally:
        gc.set_threshold(*usual)
    print(build.summary(paths, collection, options.to))
    return _told(collection.notes, collection.problems)


def _told(notes: Sequence[str], problems: Sequence[str]) -> int:
    for kind, sentences in (("note", notes), ("error", problems)):
        for sentence in sentences:
            say(f"{kind}: {sentence}", 0)
    return 2 if problems else 0


def _compare(options: argparse.Namespace) -> int:
    from reports import compare, render

    given = [path for name in options.system if (path := Path(name).expanduser()).exists()]
    usual = [store.RUNS] if store.RUNS.is_dir() else []
    collection = gather([*(options.runs or usual), *given])
    with stage("reading the test items"):
        systems, problems = compare.with_items(compare.find(options.system, collection))
    if len(systems) < 2:
        raise UsageError(f"{len(systems)} system was named, at least two were expected")
    tables = [compare.values_table(systems)]
    if any(system.items for system in systems):
        first, *others = systems
        with stage("testing"):
            tests = [(other, compare.tested(first, other)) for other in others]
        tables.append(compare.tests_table([(first, tests)]))
    print("\n".join(map(render.FORMATS[options.format], tables)), end="")
    return _told((), [*collection.problems, *problems])


def _table(options: argparse.Namespace) -> int:
    from reports import render

    asked = columns.of_tasks(options.task or columns.TASKS)
    collection = gather(options.place, [column.task for column in asked])
    ours = collection.systems
    if ours and not options.task and not options.all_tasks:
        asked = columns.of_tasks(result.task for result in blocks.results(ours))
    places = " ".join(map(str, options.place)) or f"{store.RUNS}/"
    tasks = f" for {', '.join(options.task)}" if options.task else ""
    none = f"No results of ours{tasks} were found in {places}: {store.MAKE_ONE} makes one."
    if options.format == "csv":
        print(paper.as_csv(ours, asked, options.efficiency), end="")
        remark = blocks.warning(ours) if ours else none
        if remark:
            print(remark, file=sys.stderr)
    else:
        theirs = () if options.task or options.all_tasks else collection.own
        if ours or not theirs:
            table = paper.table1(ours, asked, runs=True, costs=options.efficiency)
            print(render.to_markdown(table), end="" if ours else f"\n{none}\n")
        if theirs:
            from reports.tables import own

            print(render.to_markdown(own.table(theirs)), end="")
    return _told(collection.notes, collection.problems)


#: Name of a command -> what runs it, what it is for, and what it does.
_COMMANDS: dict[str, tuple[Callable[[argparse.Namespace], int], str, str]] = {
    "table": (
        _table,
        "the paper's Table 1 with our results below it",
        "Print Table 1 of arXiv 2305.11685 as published and, in blocks of their own, our results with their "
        "labels, selection rules and deviations from the protocol.",
    ),
    "score": (
        _score,
        "overall, superb_s and superb_r of any rows",
        "Print the overall score, superb_s and superb_r of each row of a CSV file, as CSV. A row that lacks "
        "a task has no overall and no superb_s; the task is named. A missing metric counts 0 in superb_r.",
    ),
    "compare": (
        _compare,
        "any systems side by side, with differences and tests",
        "Print systems side by side, each with its difference to the first, and paired tests between runs of "
        "ours on the same test items. A system is a published model or a row of ours, by its name, its "
        "upstream, or the folder, or first digits of the hash, of one of its runs.",
    ),
    "paper": (
        _report,
        "Tables 1 to 4 of the paper with our block",
        "Write Tables 1 to 4 of arXiv 2305.11685, with our results in blocks of their own.",
    ),
    "build": (
        _report,
        "every table and figure, and one page of all",
        "Write every table, figure and one page, with our results in blocks of their own.",
    ),
}


def _parser(prog: str) -> Parser:
    parser = Parser(prog="python -m reports", description="Tables of SUPERB results.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    made = {}
    for name, (run, about, text) in _COMMANDS.items():
        called = prog or f"{parser.prog} {name}"
        made[name] = commands.add_parser(name, prog=called, help=about, description=text)
        made[name].set_defaults(run=run, whole=name == "build")
    for name in ("table", "paper", "build"):
        places = "a result.json, or a folder to search for them (default: runs/)"
        made[name].add_argument("place", nargs="*", type=Path, metavar="FOLDER_OR_RESULT", help=places)
    choice = made["table"].add_mutually_exclusive_group()
    tasks = "only this task's columns; may be given again (default: the tasks that ours have results for)"
    choice.add_argument("--task", action="append", metavar="TASK", help=tasks)
    choice.add_argument("--all-tasks", action="store_true", help="all eleven columns")
    columns = (
        "columns model, pr_per, asr_wer, ks_acc, qbe_mtwv_x100 (or qbe_mtwv, a fraction), sid_acc, asv_eer, "
        "sd_der, ic_acc, sf_f1, sf_cer, er_acc, in percent"
    )
    made["score"].add_argument("rows", type=Path, metavar="ROWS.csv", help=columns)
    example = 'for example armhubert "HuBERT BASE"'
    made["compare"].add_argument("system", nargs="+", metavar="SYSTEM", help=example)
    told = "also MACs, and real-time factor and peak memory where a run measured its upstream (--efficiency)"
    for name in ("table", "paper", "build"):
        made[name].add_argument("--efficiency", action="store_true", help=told)
    where = "where our results are; may be given again (default: runs/)"
    made["compare"].add_argument("--runs", action="append", type=Path, metavar="FOLDER", help=where)
    for name, formats in (("table", ("markdown", "csv")), ("compare", ("markdown", "latex", "csv"))):
        made[name].add_argument("--format", choices=formats, default="markdown", help="default: markdown")
    for name in ("paper", "build"):
        where = "where runs are, as in every command (default: runs)"
        made[name].add_argument("--out", type=Path, metavar="DIR", help=where)
        made[name].set_defaults(only=[])
        to, where = Path("reports", "out"), "where it is written (default: %(default)s)"
        made[name].add_argument("--to", type=Path, default=to, metavar="DIR", help=where)
    which = "mine: without published tables and figures; else a row of ours by its name; may be given again"
    made["build"].add_argument("--only", action="append", metavar="mine|ROW", help=which)
    return parser


def _run() -> int:
    try:
        code = main()
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for example, wants no more
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return code


if __name__ == "__main__":
    sys.exit(_run())
