"""Show the runs of a folder."""

from __future__ import annotations

import argparse
import contextlib
import math
import shutil
import sys
import time
from collections.abc import Sequence
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs.runs.status import Status, as_json, chosen, find, table, told_apart
from upstream_arm.common.errors import DONE, UsageError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import columns, near

WATCH_SECONDS, LEAST_SECONDS, MOST_SECONDS = 5.0, 0.2, 86_400.0
BETWEEN_SECONDS = 30.0
"""How long one run of a command may take to begin after another has ended, with all its imports."""
CLEAR = "\x1b[H\x1b[2J\x1b[3J"
"""To the corner, and the terminal empty (ECMA-48 CUP and ED)."""
STATES = ("done", "running", "waiting", "failed", "stopped")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Where the runs are, and how they are shown."""
    add = parser.add_argument
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs are (default: runs)")
    add("--upstream", type=_names, default=(), metavar="NAMES", help="only these, or runs of these --name's")
    add("--task", type=_names, default=(), metavar="TASKS", help="only these, as asr,ks")
    add("--state", type=_names, default=(), metavar="STATES", help=f"only these: {', '.join(STATES)}")
    add("--html", type=Path, metavar="FILE", help="write it as a page into FILE")
    add(
        "--json",
        action="store_true",
        help="print all that is known, for programs: results, settings, reasons",
    )
    add(
        "--watch",
        type=float,
        nargs="?",
        const=WATCH_SECONDS,
        metavar="SECONDS",
        help="show it again every so many seconds (default: 5) until no run is running or waiting, or Ctrl-C",
    )


def _names(text: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in text.split(",")))


def run(options: argparse.Namespace) -> int:
    """Print a line for each run, or write a page of them, once or until nothing changes any more."""
    out, seconds = options.out.absolute(), options.watch
    if seconds is not None and not LEAST_SECONDS <= seconds <= MOST_SECONDS:
        raise UsageError(
            f"--watch is {seconds:g}, expected at least {LEAST_SECONDS:g} seconds and at most a day"
        )
    for word in options.state:
        if word not in STATES:
            raise UsageError(f"--state {word} is unknown{near(word, STATES)}; there are {', '.join(STATES)}")
    if options.json and (seconds is not None or options.html is not None):
        raise UsageError("--json is printed once: leave out --watch and --html")
    if not out.is_dir():
        raise UsageError(
            f"{options.out} is no folder, so there are no runs; {PROGRAM} UPSTREAM TASK makes one"
        )
    with contextlib.suppress(KeyboardInterrupt) if seconds is not None else contextlib.nullcontext():
        last = -math.inf
        while True:
            runs = chosen(told_apart(list(find(out))), options.upstream, options.task, options.state)
            if options.json:
                print(as_json(runs, out))
                break
            active, now = _show(runs, out, options.html, seconds), time.monotonic()
            last = now if active else last
            if seconds is None or (not active and now - last > BETWEEN_SECONDS):
                break
            time.sleep(seconds)
    return DONE


def _show(runs: Sequence[Status], out: Path, page: Path | None, seconds: float | None) -> bool:
    """Print the table, or write the page; returns whether something may still change."""
    active = any(run.state in ("running", "waiting") for run in runs)
    if page is not None:
        try:
            atomic_write_text(page, _html(runs, out, seconds if active else None))
        except OSError as error:
            raise UsageError(f"{page} cannot be written ({error.strerror}); give another FILE") from None
    text = _text(runs, out)
    if page is not None and seconds is None:
        print(f"page: {page}")
    elif seconds is not None and sys.stdout.isatty():
        width = shutil.get_terminal_size().columns
        now = datetime.now().astimezone().strftime("%H:%M:%S")
        lines = [*text.splitlines(), f"{now}, Ctrl-C ends"]
        print(CLEAR + "\n".join(line[:width] for line in lines), flush=True)
    else:
        print(text, flush=True)
    return active


def _text(runs: Sequence[Status], out: Path) -> str:
    """The table of the runs, what is to be said of single ones, and the totals."""
    if not runs:
        return f"there is no run in {out}, or none that was asked for"
    partial, full, failed = _below(runs, out)
    failed = [f"failed: {sentence}" for sentence in failed]
    return "\n".join([*columns(table(runs, out), right=()), "", *partial, *full, *failed, _totals(runs)])


def _html(runs: Sequence[Status], out: Path, seconds: float | None) -> str:
    """The same as a page that needs nothing beside it; a browser reads it again every so many `seconds`."""
    import jinja2  # takes a while to import

    page = Path(__file__).with_name("status.html").read_text(encoding="utf-8")
    partial, full, failed = _below(runs, out)
    heads, *cells = table(runs, out)
    return jinja2.Template(page, autoescape=True).render(
        rows=list(zip(runs, cells, strict=True)),
        out=out,
        now=datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
        totals=_totals(runs),
        columns=heads,
        lists={"On a part of the corpus": partial, "Store of features full": full, "Failed": failed},
        seconds=None if seconds is None else max(round(seconds), 1),
    )


def _below(runs: Sequence[Status], out: Path) -> tuple[list[str], ...]:
    """How much of a corpus partial runs have, which stores of features are full, and why runs failed."""
    named = [(run.folder.relative_to(out), run) for run in runs]
    return tuple(
        [f"{name}: {said}" for name, run in named if (said := getattr(run, about))]
        for about in ("partial", "full", "said")
    )


def _totals(runs: Sequence[Status]) -> str:
    """How many runs are in each state."""
    numbers = {state: sum(run.state == state for run in runs) for state in STATES}
    return ", ".join(f"{number} {state}" for state, number in numbers.items() if number)
