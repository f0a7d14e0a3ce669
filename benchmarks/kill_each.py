"""Kills every run of one command when it has stepped, starts the command again, and sees each one step on.

`python benchmarks/kill_each.py -- fbank ks,asr --recipe superb --data DIR --out DIR --jobs 2` adds
`-o runner.log_step=25 -o runner.save_step=25` and starts the command. Each run's process is killed with
SIGKILL when its journal has its second checkpoint, of step 50; the command goes on with its next run. Then
the same command is started again: each run must resume where it was and step on. When all have, the command
and all its processes are killed at one moment.

It is for corpora of full size, where a training's end is far: nothing is evaluated, no number is compared
(`kill_proof.py` does both, on small corpora). It prints a row for each run, with the seconds from its
journal's first event to its first kept step, which hold the reading of a first epoch's order, not the look at
the corpus before. QbE, which trains nothing, is killed when it has stored some features, and its steps are
the bytes of them. Exit code 1 if a run did not step, resume, and step on.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from pathlib import Path

import kill_proof

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from downstream_runs.core import records
from downstream_runs.core.run_folder import EVENTS, PLAN
from upstream_arm.common.files import read_json

POLL_SECONDS = 0.5
STORED = 20_000_000
"""Bytes of QbE's features when it is killed, at least."""


@dataclass(frozen=True)
class Session:
    """What one process did of a run: its first event, the step that it began at, and the last that it kept.

    begun: for QbE the fewest bytes that were seen. seconds: from the first event to the first checkpoint.
    """

    event: str
    begun: int
    pid: int
    reached: int
    seconds: float


def session(run: Path) -> Session | None:
    """The newest process of a run that has kept a step; None if the newest has kept none yet."""
    lines = list(records.read(run / EVENTS))
    starts = [number for number, line in enumerate(lines) if line["event"] in records.SESSION_EVENTS]
    first, *rest = lines[starts[-1] :] if starts else [{}]
    kept = [(line["step"], records.moment(line)) for line in rest if line["event"] == "checkpoint"]
    if first and trains_nothing(run):
        stored = sum(path.stat().st_size for path in (run / "features").rglob("*.pack"))
        kept = [(stored, datetime.now(timezone.utc))]
    if not kept:
        return None
    begun, (_, stepped) = records.moment(first), kept[0]
    seconds = (stepped - begun).total_seconds() if begun and stepped else 0.0
    reached = kept[-1][0]
    return Session(first["event"], first["step"], first["pid"], reached, seconds)


def trains_nothing(run: Path) -> bool:
    """Whether a run has bytes of features and no steps."""
    return (read_json(run / PLAN) or {}).get("task") == "qbe"


def runs(out: Path) -> list[Path]:
    """The folders of all runs below `out`, of a task with folds each fold's."""
    return sorted(path.parent for path in out.glob(f"*/*/**/{PLAN}"))


def until_killed(
    words: Sequence[str], out: Path, before: Mapping[Path, Session], least: int, minutes: float
) -> Mapping[Path, Session]:
    """Start the command, and kill each run when it has stepped; what each did, by its folder.

    least: the first step to be killed at. before: what the runs did until now; when all of them have stepped
    on, the command is killed with them.
    """
    done: dict[Path, Session] = {}
    fewest: dict[int, int] = {}
    process = kill_proof.start(words, out / "kill_each.log")
    deadline = time.monotonic() + 60 * minutes
    try:
        while (
            process.poll() is None
            and time.monotonic() < deadline
            and not (before and before.keys() <= done.keys())
        ):
            time.sleep(POLL_SECONDS)
            for run in runs(out):
                one, earlier = session(run), before.get(run)
                if one is not None and trains_nothing(run):
                    fewest[one.pid] = min(one.reached, fewest.get(one.pid, one.reached))
                    one = replace(one, begun=fewest[one.pid])
                enough = STORED if trains_nothing(run) else least
                if run in done or one is None or one.reached < enough:
                    continue
                if earlier is not None and (one.pid == earlier.pid or one.reached <= earlier.reached):
                    continue
                done[run] = one
                if not (before and before.keys() <= done.keys()):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(one.pid, signal.SIGKILL)
                print(
                    f"  {run.relative_to(out)}: {one.event} at {one.begun}, killed at {one.reached}",
                    flush=True,
                )
    finally:
        kill_proof.kill(process)
    return done


def main(argv: Sequence[str] | None = None) -> int:
    """Start twice, print the rows; 0 if every run stepped, resumed and stepped on."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--minutes", type=float, default=60.0, help="of either start at most (default: 60)")
    parser.add_argument(
        "--every", type=int, default=25, metavar="N", help="steps to a checkpoint (default: 25)"
    )
    parser.add_argument("command", nargs="+", metavar="-- UPSTREAM TASK [options]")
    options = parser.parse_args(argv)
    every = options.every
    words = [*options.command, "-o", f"runner.log_step={every}", "-o", f"runner.save_step={every}"]
    out = Path(words[words.index("--out") + 1])
    out.mkdir(parents=True, exist_ok=True)
    first = until_killed(words, out, {}, 2 * every, options.minutes)
    second = until_killed(words, out, first, 2 * every, options.minutes)
    print("| run | first step after | killed at | resumed at | next step after | stepped on to |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    good = set()
    for run in runs(out):
        cells = ["", "", "", "", ""]
        if run in first:
            cells[:2] = [f"{first[run].seconds:.1f} s", str(first[run].reached)]
        if run in second:
            again = second[run]
            cells[2:] = [str(again.begun), f"{again.seconds:.1f} s", str(again.reached)]
            if again.event == "resume" and again.begun >= first[run].reached:
                good.add(run)
        print(f"| {run.relative_to(out)} | {' | '.join(cells)} |")
    print(f"{len(good)} of {len(runs(out))} runs stepped, were killed, resumed and stepped on")
    return 0 if good and len(good) == len(runs(out)) else 1


if __name__ == "__main__":
    raise SystemExit(main())
