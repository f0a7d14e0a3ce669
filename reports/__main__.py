"""`python -m reports`: tables of results."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from upstream_arm.common.arguments import Parser
from upstream_arm.common.errors import UsageError

# What a command needs is imported by it: `--help` and `table` need no numpy.


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one sentence for each input that cannot be used."""
    try:
        options = _parser().parse_args(argv)
        code: int = options.run(options)
        return code
    except UsageError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _score(options: argparse.Namespace) -> int:
    from reports.score_command import score

    text, notes = score(options.rows)
    print(text, end="")
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def _report(options: argparse.Namespace) -> int:
    # On matrices this small numpy's threads take longer than their work.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from reports import build

    places = [*options.place, *([] if options.out is None else [options.out])]
    paths, collection = build.write(places, options.to, whole=options.whole, costs=options.efficiency)
    print(build.summary(paths, collection, options.to))
    return _told(collection.notes, collection.problems)


def _told(notes: Sequence[str], problems: Sequence[str]) -> int:
    for kind, sentences in (("note", notes), ("error", problems)):
        for sentence in sentences:
            print(f"{kind}: {sentence}", file=sys.stderr)
    return 2 if problems else 0


def _compare(options: argparse.Namespace) -> int:
    from reports import compare, render
    from reports.ours import gather

    collection = gather(options.runs or ())
    systems, problems = compare.with_items(compare.find(options.system, collection))
    if len(systems) < 2:
        raise UsageError(f"{len(systems)} system was named, at least two were expected")
    to_text = {"markdown": render.to_markdown, "latex": render.to_latex, "csv": render.to_csv}[options.format]
    tables = [compare.values_table(systems)]
    if any(system.items for system in systems):
        tables.append(compare.tests_table([systems]))
    print("\n".join(map(to_text, tables)), end="")
    return _told((), [*collection.problems, *problems])


def _table(options: argparse.Namespace) -> int:
    from reports import columns, render, store
    from reports.ours import gather
    from reports.tables import blocks, paper

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
        table = paper.table1(ours, asked, runs=True, costs=options.efficiency)
        print(render.to_markdown(table), end="" if ours else f"\n{none}\n")
    return _told(collection.notes, collection.problems)


def _parser() -> Parser:
    parser = Parser(prog="python -m reports", description="Tables of SUPERB results.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    about = "the paper's Table 1 with our results below it"
    text = (
        "Print Table 1 of arXiv 2305.11685 as published and, in blocks of their own, our results with their "
        "labels, selection rules and deviations from the protocol."
    )
    _add_table(commands.add_parser("table", help=about, description=text))
    about = "overall, superb_s and superb_r of any rows"
    text = (
        "Print the overall score, superb_s and superb_r of each row of a CSV file, as CSV. A row that lacks "
        "a task has no overall and no superb_s; the task is named. A missing metric counts 0 in superb_r."
    )
    _add_score(commands.add_parser("score", help=about, description=text))
    about = "any systems side by side, with differences and tests"
    text = (
        "Print systems side by side, each with its difference to the first, and paired tests between runs of "
        "ours on the same test items. A system is an upstream or a row's name of ours, or a published model."
    )
    _add_compare(commands.add_parser("compare", help=about, description=text))
    for name, about, text in (
        ("paper", "Tables 1 to 4 of the paper with our block", "Tables 1 to 4 of arXiv 2305.11685"),
        ("build", "every table and figure, and one page of all", "every table, figure and one page"),
    ):
        text = f"Write {text}, from published rows and, in blocks of their own, our results."
        report = commands.add_parser(name, help=about, description=text)
        _add_report(report)
        report.set_defaults(whole=name == "build")
    return parser


def _add_table(parser: argparse.ArgumentParser) -> None:
    _add_places(parser)
    choice = parser.add_mutually_exclusive_group()
    tasks = "only this task's columns; may be given again (default: the tasks that ours have results for)"
    choice.add_argument("--task", action="append", metavar="TASK", help=tasks)
    choice.add_argument("--all-tasks", action="store_true", help="all eleven columns")
    parser.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: markdown")
    _add_efficiency(parser)
    parser.set_defaults(run=_table)


def _add_score(parser: argparse.ArgumentParser) -> None:
    columns = (
        "columns model, pr_per, asr_wer, ks_acc, qbe_mtwv_x100 (or qbe_mtwv, a fraction), sid_acc, asv_eer, "
        "sd_der, ic_acc, sf_f1, sf_cer, er_acc, in percent"
    )
    parser.add_argument("rows", type=Path, metavar="ROWS.csv", help=columns)
    parser.set_defaults(run=_score)


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("system", nargs="+", metavar="SYSTEM", help='for example armhubert "HuBERT BASE"')
    where = "where our results are; may be given again (default: runs/)"
    parser.add_argument("--runs", action="append", type=Path, metavar="FOLDER", help=where)
    formats = ("markdown", "latex", "csv")
    parser.add_argument("--format", choices=formats, default="markdown", help="default: markdown")
    parser.set_defaults(run=_compare)


def _add_report(parser: argparse.ArgumentParser) -> None:
    _add_places(parser)
    where = "where runs are, as in every command (default: runs)"
    parser.add_argument("--out", type=Path, metavar="DIR", help=where)
    to = Path("reports") / "out"
    parser.add_argument(
        "--to", type=Path, default=to, metavar="DIR", help=f"where it is written (default: {to})"
    )
    _add_efficiency(parser)
    parser.set_defaults(run=_report)


def _add_efficiency(parser: argparse.ArgumentParser) -> None:
    told = "also MACs, and real-time factor and peak memory where a run measured its upstream (--efficiency)"
    parser.add_argument("--efficiency", action="store_true", help=told)


def _add_places(parser: argparse.ArgumentParser) -> None:
    places = "a result.json, or a folder to search for them (default: runs/)"
    parser.add_argument("place", nargs="*", type=Path, metavar="FOLDER_OR_RESULT", help=places)


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
