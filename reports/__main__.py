"""`python -m reports`: tables of results."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from upstream_arm.common.errors import ReportError

if TYPE_CHECKING:
    from reports.gather import Collection

    Commands = argparse._SubParsersAction[argparse.ArgumentParser]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 2 and one sentence for each input that cannot be used."""
    arguments = _parser().parse_args(argv)
    try:
        code: int = arguments.run(arguments)
        return code
    except ReportError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _score(arguments: argparse.Namespace) -> int:
    from reports.score_command import score

    text, notes = score(arguments.rows)
    print(text, end="")
    for note in notes:
        print(note, file=sys.stderr)
    return 0


def _paper(arguments: argparse.Namespace) -> int:
    _small_matrices()
    from reports import build

    return _made(arguments, *build.paper(_places(arguments), arguments.to))


def _build(arguments: argparse.Namespace) -> int:
    _small_matrices()
    from reports import build

    return _made(arguments, *build.build(_places(arguments), arguments.to))


def _small_matrices() -> None:
    """Keep numpy to one thread: on matrices this small its threads take longer than their work."""
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


def _places(arguments: argparse.Namespace) -> list[Path]:
    return [*arguments.place, *([] if arguments.out is None else [arguments.out])]


def _made(arguments: argparse.Namespace, paths: list[Path], collection: Collection) -> int:
    from reports import build

    print(build.summary(paths, collection, arguments.to))
    for note in collection.notes:
        print(f"note: {note}", file=sys.stderr)
    for problem in collection.problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if collection.problems else 0


def _compare(arguments: argparse.Namespace) -> int:
    _small_matrices()
    from reports import compare
    from reports.gather import gather
    from reports.render import csvfile, latex, markdown

    collection = gather(arguments.runs or ())
    chosen, problems = compare.with_evidence(compare.find(arguments.system, collection))
    if len(chosen) < 2:
        raise ReportError(f"{len(chosen)} system was named, at least two were expected")
    render = {"markdown": markdown.render, "latex": latex.render, "csv": csvfile.render}[arguments.format]
    tables = [compare.values_table(chosen)]
    if any(system.evidence for system in chosen):
        tables.append(compare.tests_table([chosen]))
    print("\n".join(render(table) for table in tables), end="")
    problems = [*collection.problems, *problems]
    for problem in problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if problems else 0


def _table(arguments: argparse.Namespace) -> int:
    from reports import columns, rows, store, table

    asked = columns.of_tasks(arguments.task or columns.TASKS)
    found = store.find(arguments.place)
    usable = [(path, result) for path, result in found.results if result.task in {c.task for c in asked}]
    if not arguments.task and not arguments.all_tasks and usable:
        asked = columns.of_tasks(result.task for _, result in usable)
    ours = rows.our_rows(usable)
    said = table.warning(ours)
    if arguments.format == "csv":
        print(table.as_csv(asked, ours), end="")
        if said:
            print(said, file=sys.stderr)
        if not ours:
            print(_none(arguments), file=sys.stderr)
    else:
        print(table.markdown(asked, ours, _none(arguments)), end="")
    for path, result in found.results:
        if result.task not in columns.TASKS:
            print(f"note: {path}: the task {result.task!r} has no column in this table", file=sys.stderr)
    for _, sentence in found.unfinished:
        print(f"note: {sentence}", file=sys.stderr)
    for _, problem in found.problems:
        print(f"error: {problem}", file=sys.stderr)
    return 2 if found.problems else 0


def _none(arguments: argparse.Namespace) -> str:
    from reports import store, table

    places = " ".join(map(str, arguments.place)) or f"{store.RUNS}/"
    tasks = f" for {', '.join(arguments.task)}" if arguments.task else ""
    return f"No results of ours{tasks} were found in {places}: {table.MAKE_ONE} makes one."


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m reports", description="Tables of SUPERB results.")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add_table(commands)
    _add_score(commands)
    _add_compare(commands)
    _add_reports(commands)
    return parser


def _add_compare(commands: Commands) -> None:
    compare = commands.add_parser(
        "compare",
        help="any systems side by side, with differences and tests",
        description="Print systems side by side, each with its difference to the first, and paired "
        "tests between runs of ours on the same test items. A system is an upstream or a row's name of ours, "
        "or a published model.",
    )
    compare.add_argument("system", nargs="+", metavar="SYSTEM", help='for example armhubert "HuBERT BASE"')
    compare.add_argument(
        "--runs",
        action="append",
        type=Path,
        metavar="FOLDER",
        help="where our results are; may be given again (default: runs/)",
    )
    formats = ("markdown", "latex", "csv")
    compare.add_argument("--format", choices=formats, default="markdown", help="default: markdown")
    compare.set_defaults(run=_compare)


def _add_reports(commands: Commands) -> None:
    to = Path("reports") / "out"
    for name, run, about, text in (
        (
            "paper",
            _paper,
            "Tables 1 to 4 of the paper with our block",
            "Write Tables 1 to 4 of arXiv 2305.11685",
        ),
        (
            "build",
            _build,
            "every table and figure, and one page of all",
            "Write every table, figure and one page",
        ),
    ):
        command = commands.add_parser(
            name,
            help=about,
            description=f"{text}, from published rows and, in blocks of their own, our results.",
        )
        command.add_argument(
            "place",
            nargs="*",
            type=Path,
            metavar="FOLDER_OR_RESULT",
            help="a result.json, or a folder to search for them (default: runs/)",
        )
        command.add_argument(
            "--out", type=Path, metavar="DIR", help="where runs are, as in every command (default: runs)"
        )
        command.add_argument(
            "--to", type=Path, default=to, metavar="DIR", help=f"where the report goes (default: {to})"
        )
        command.set_defaults(run=run)


def _add_score(commands: Commands) -> None:
    score = commands.add_parser(
        "score",
        help="overall, superb_s and superb_r of any rows",
        description="Print the overall score, superb_s and superb_r of each row of a CSV file, as CSV. A row "
        "that lacks a task has no overall and no superb_s; the task is named. A missing metric counts 0 in "
        "superb_r.",
    )
    score.add_argument(
        "rows",
        type=Path,
        metavar="ROWS.csv",
        help="columns model, pr_per, asr_wer, ks_acc, qbe_mtwv_x100 (or qbe_mtwv, a fraction), sid_acc, "
        "asv_eer, sd_der, ic_acc, sf_f1, sf_cer, er_acc, in percent",
    )
    score.set_defaults(run=_score)


def _add_table(commands: Commands) -> None:
    table = commands.add_parser(
        "table",
        help="the paper's Table 1 with our results below it",
        description="Print the rows of Table 1 of arXiv 2305.11685 as published and, in a block of their "
        "own, our results with their labels, selection rules and deviations from the protocol.",
    )
    table.add_argument(
        "place",
        nargs="*",
        type=Path,
        metavar="FOLDER_OR_RESULT",
        help="a result.json, or a folder to search for them (default: runs/)",
    )
    choice = table.add_mutually_exclusive_group()
    choice.add_argument(
        "--task",
        action="append",
        metavar="TASK",
        help="only this task's columns; may be given again (default: the tasks that ours have results for)",
    )
    choice.add_argument("--all-tasks", action="store_true", help="all eleven columns")
    table.add_argument("--format", choices=("markdown", "csv"), default="markdown", help="default: markdown")
    table.set_defaults(run=_table)


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
