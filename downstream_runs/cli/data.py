"""Bring the corpora of tasks: a plan first, then downloads, checksums, unpacking, and `check` at the end.

What is killed goes on with the same command. What must be asked for is named, with the page, the files, and
the folder where to put them. Nothing is ever written into a corpus that is there.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sys
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timezone
from pathlib import Path

from downstream_runs import tasks
from downstream_runs.cli import check, mix
from downstream_runs.cli.findings import Finding, show
from downstream_runs.core.run_folder import CACHE
from downstream_runs.core.task import TaskSpec
from downstream_runs.corpora import data_root, folders, mixing, texts, verified
from downstream_runs.corpora.checks import CheckedCorpus
from downstream_runs.corpora.fetching import bring, linking, lists, plan, sources
from downstream_runs.corpora.fetching.plan import WORK, Step
from downstream_runs.corpora.fetching.sources import Source
from upstream_arm import listings
from upstream_arm.common import lock
from upstream_arm.common.errors import DONE, WRONG_USE, UsageError
from upstream_arm.common.files import atomic_write_text, read_json
from upstream_arm.common.program import PROGRAM

AGREED = "agreed.json"
"""When somebody agreed to the terms of which source."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The tasks, where their corpora go, and what is done."""
    add = parser.add_argument
    add("task", nargs="*", metavar="TASK", help="e.g. asr (default: every task)")
    add("--data", type=Path, metavar="DIR", help="folder of the corpora, made if it is not there")
    add("--agree", default="", metavar="NAMES", help="corpora whose terms you agree to, e.g. quesst14,wham")
    modes = parser.add_mutually_exclusive_group()
    modes.add_argument("--plan", action="store_true", help="print the plan, and do nothing")
    modes.add_argument(
        "--link", type=Path, metavar="DIR", help="make links to corpora that lie below DIR, in any layout"
    )
    modes.add_argument(
        "--verify", action="store_true", help="decode every file once; what was is trusted while it stays"
    )
    add("--partial", action="store_true", help="a part of a corpus will do, as for a run with --partial")
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where the tables of lengths are kept")
    mix.add_mixing(parser)


@listings.remembering()
def run(options: argparse.Namespace) -> int:
    """Do what is asked; 0 if every corpus is there and good in the end, else 2."""
    asked = [tasks.get(name) for name in options.task or tasks.names()]
    served = {task for source in sources.load() for task in source.tasks}
    if unknown := [task.name for task in asked if task.name not in served]:
        raise UsageError(
            f"of {unknown[0]} no published corpus is known, expected of {', '.join(tasks.names())}"
        )
    _require_mixing(asked, options)
    data, out = _folder(options), data_root.out_folder(options.out)
    if options.verify:
        return _verify(asked, data, out, options.partial)
    if options.link is not None:
        return _link(asked, data, out, options)
    return _bring(asked, data, out, options)


def _bring(asked: Sequence[TaskSpec], data: Path, out: Path, options: argparse.Namespace) -> int:
    """Print the plan, do it, and check; UsageError with the first thing that could not be done."""
    problems = {task.name: _problem(task, data) for task in asked}
    every = plan.steps(list(_needed(problems, options)), data)
    print("\n".join(plan.lines(every, data)) or f"nothing is to be fetched: all is in {data}", flush=True)
    if not options.partial:
        _tell_spoilt(every, problems)
    if problems.get("sd") and (options.librispeech or options.wham):
        print(f"Libri2Mix: made of {options.librispeech or data} and {options.wham or data}", flush=True)
    if options.plan:
        return DONE
    plan.require_room(every, data)
    if any(step.state == "to request" for step in every):
        with contextlib.suppress(OSError):  # only for convenience
            (data / plan.SHELF).mkdir(parents=True, exist_ok=True)
    absent = lists.missing(problems, data)
    came, failed = 0, list[str]()
    if absent or any(step.is_done for step in every) or bring.left(data, _every(data)):
        came, failed = _do(every, data, absent, options.agree)
    listings.forget()
    if problems.get("sd") and not failed:
        try:
            print(mix.make(options, data), flush=True)
            came += 1
        except UsageError as error:
            failed.append(str(error))
    unhashed = {task for step in every if step.is_done and not step.is_hashed for task in step.source.tasks}
    code = _check(asked, data, out, options, unhashed) if came or not failed else WRONG_USE
    if failed:
        others = f" (and {len(failed) - 1} more)" if len(failed) > 1 else ""
        raise UsageError(f"{failed[0]}{others}")
    return code


def _require_mixing(asked: Sequence[TaskSpec], options: argparse.Namespace) -> None:
    """UsageError for options of Libri2Mix where none is made."""
    given = [f"--{name.replace('_', '-')}" for name in mix.MIXING if getattr(options, name)]
    names = [task.name for task in asked]
    if given and "sd" not in names:
        raise UsageError(
            f"{given[0]} is for sd, which is not among {', '.join(names)}: leave it out, or add sd"
        )
    if given and (options.verify or options.link):
        mode = "--verify" if options.verify else "--link"
        raise UsageError(f"{mode} makes no Libri2Mix: leave {given[0]} out, or {mode}")


def _needed(problems: Mapping[str, str], options: argparse.Namespace) -> Iterator[Source]:
    """The sources of tasks with a problem; sd needs none that an option says to be elsewhere."""
    elsewhere = {name for name in ("librispeech", "wham") if getattr(options, name)}
    for source in sources.load():
        tasks = {task for task in source.tasks if problems.get(task)}
        if tasks - ({"sd"} if source.name in elsewhere else set()):
            on_the_fly = source.makes and options.mix_on_the_fly
            yield replace(source, makes_gb=mixing.TABLES_GB) if on_the_fly else source


def _every(data: Path) -> list[Step]:
    """The state of all archives, of whatever tasks."""
    return plan.steps(list(sources.load()), data)


def _folder(options: argparse.Namespace) -> Path:
    """The data folder, which need not be there where it is named by --data."""
    if options.data is not None:
        data = folders.place(options.data)
        if data.exists() and not data.is_dir():
            raise UsageError(f"{data} is no folder: name another place with --data")
        return data
    root = data_root.data_root(None)
    if root is None:
        raise data_root.no_data("data", "a folder for the corpora")
    return root.path


def _problem(task: TaskSpec, data: Path) -> str:
    """What keeps a task's corpus from being whole; empty if nothing does."""
    if not data.is_dir():
        return "no folder"
    try:
        task.corpus.look(data, None, task.recipes["superb"].copy_config())
    except UsageError as error:
        return str(error)
    return ""


def _tell_spoilt(every: Sequence[Step], problems: Mapping[str, str]) -> None:
    """Print what is wrong with corpora of which all archives are there."""
    lacking = {task for step in every if step.state != "there" for task in step.source.tasks}
    for task, problem in problems.items():
        if problem and task not in lacking:
            print(f"{task}: {problem}", flush=True)


def _do(every: Sequence[Step], data: Path, absent: Sequence[Path], agree: str) -> tuple[int, list[str]]:
    """Do the steps and fetch the lists: how many came, and a sentence on each that did not."""
    work, came, failed = data / WORK, 0, list[str]()
    with texts.writing(work):
        work.mkdir(parents=True, exist_ok=True)
    with lock.hold(work, "--data"):
        _agree(every, work, agree)
        bring.remove(bring.left(data, _every(data)))
        for step in (step for step in every if step.is_done):
            try:
                bring.bring(step, data)
                print(f"{step.archive.place.to}: there", flush=True)
                came += 1
            except UsageError as error:
                failed.append(str(error))
        try:
            for path in lists.bring(absent, work):
                print(f"s3prl's lists: {path}", flush=True)
        except UsageError as error:
            failed.append(str(error))
    if any(step.state == "given" for step in every) and not failed:
        print(f"the archives in {data / plan.SHELF} are unpacked, and may be deleted")
    return came, failed


def _agree(every: Sequence[Step], work: Path, agree: str) -> None:
    """Ask for the terms that nobody has agreed to, or take the names that were given; UsageError without."""
    agreed = dict(read_json(work / AGREED) or {})
    names = {source.name for source in sources.load() if source.agree}
    given = [name for name in agree.split(",") if name]
    if unknown := [name for name in given if name not in names]:
        raise UsageError(f"--agree {unknown[0]} is no such corpus, expected of {', '.join(sorted(names))}")
    missing = [source for source in plan.need_agreement(every, agreed) if source.name not in given]
    given += [source.name for source in missing if sys.stdin.isatty() and _asks(source)]
    if left := [source for source in missing if source.name not in given]:
        listed = "; ".join(f"{source.title}: {source.licence} ({source.page})" for source in left)
        raise UsageError(
            f"terms must be agreed to first: {listed}; read them and add --agree "
            f"{','.join(source.name for source in left)}, or name other tasks"
        )
    now = datetime.now(timezone.utc).isoformat(timespec="seconds")
    atomic_write_text(work / AGREED, json.dumps({**dict.fromkeys(given, now), **agreed}, indent=1) + "\n")


def _asks(source: Source) -> bool:
    try:
        answer = input(f"{source.title}: {source.licence} ({source.page}). Do you agree to its terms? [y/N] ")
    except EOFError:
        return False
    return answer.strip().lower() in ("y", "yes")


def _link(asked: Sequence[TaskSpec], data: Path, out: Path, options: argparse.Namespace) -> int:
    kept = folders.place(options.link)
    if not kept.is_dir():
        raise UsageError(f"{kept}, named by --link, is no folder: name the one that the corpora lie in")
    names = {task.name for task in asked}
    for line in linking.link([one for one in sources.load() if names & set(one.tasks)], kept, data):
        print(line, flush=True)
    listings.forget()
    return _check(asked, data, out, options)


def _verify(asked: Sequence[TaskSpec], data: Path, out: Path, partial: bool) -> int:
    good, seen = True, set[Path]()
    for task in asked:
        good = show(_verified(task, data, out / CACHE, partial, seen)) and good
    print(f"kept in {out / CACHE / 'verified'}: runs and `check` trust it while sizes and times agree")
    return DONE if good else WRONG_USE


def _verified(task: TaskSpec, data: Path, cache: Path, partial: bool, seen: set[Path]) -> Iterator[Finding]:
    """All damage of a task's corpus, unless its root is in `seen`, to which it is added."""
    corpus, config = task.corpus, check.config_of(task, data, partial)
    assert isinstance(corpus, CheckedCorpus)  # as those of SUPERB's tasks are
    try:
        listing = corpus.listing(data, cache, config, partial)
        corpus.standing(listing, partial)
        if listing.root not in seen:
            seen.add(listing.root)
            found = verified.verify(listing.root, [file.path for file in listing.files], cache)
            yield from (Finding(problem, False, problem.remedy) for problem in found.problems)
            yield from (Finding(f"{name} has changed since it was verified") for name in found.changed)
            whole = f", together SHA-256 {found.sha256}" if found.sha256 else ""
            yield Finding(f"{listing.root}: {found.files:,} files decoded to their ends{whole}")
            if found.problems:
                return
        corpus.examine(data, cache, config, partial)
    except UsageError as error:
        yield Finding(f"{task.name}: {error}", False, f"{PROGRAM} data {task.name} --data {data}")


def _check(
    asked: Sequence[TaskSpec], data: Path, out: Path, options: argparse.Namespace, full: Collection[str] = ()
) -> int:
    """`check` of each task, of those in `full` with every file decoded; then the one command to run next."""
    good: Mapping[str, bool] = {
        task.name: show(check.corpus(task, data, out, options.partial, task.name in full, brief=True))
        for task in asked
    }
    ready = [name for name, is_good in good.items() if is_good]
    if ready:
        partial = " --partial" if options.partial else ""
        listed = "all" if len(ready) == len(asked) and not options.task else ",".join(ready)
        print(f"next: {PROGRAM} armhubert {listed} --data {data}{partial}")
    return DONE if len(ready) == len(asked) else WRONG_USE
