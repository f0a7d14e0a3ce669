"""`./run_superb.sh recipe`: the recipes of a task, or one of them as the file that it is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from downstream_runs.cli.parser import Parser
from downstream_runs.core.program import PROGRAM


def main(argv: Sequence[str]) -> int:
    """Print what was asked for; UsageError for unknown names and for a file that is no recipe of the task."""
    parser = Parser(
        prog=f"{PROGRAM} recipe",
        description="Show the recipes of a task, or one of them. To change one: "
        f"{PROGRAM} recipe asr superb > mine.yaml, then --recipe mine.yaml.",
    )
    parser.add_argument("task", metavar="TASK", help="e.g. asr")
    parser.add_argument(
        "recipe", metavar="RECIPE", nargs="?", help="a name, or a FILE.yaml of your own, to check it"
    )
    options = parser.parse_args(argv)
    from downstream_runs import recipes, tasks

    task = tasks.get(options.task)
    if options.recipe is None:
        for name, recipe in task.recipes.items():
            print(f"{name:<8} {recipe.note} ({recipe.source})")
        return 0
    _, chosen = recipes.chosen(task, options.recipe)
    own = options.recipe.endswith(recipes.ENDINGS)
    path = Path(options.recipe).expanduser() if own else recipes.path_of(task.name, chosen.name)
    print(path.read_text(encoding="utf-8"), end="")
    return 0
