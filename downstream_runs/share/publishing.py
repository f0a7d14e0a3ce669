"""`publish`: runs of one's own into a repository of results; and `pull`: those of others from one."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from downstream_runs.core.run_folder import BUNDLE
from downstream_runs.share import bundle, checked, repository
from downstream_runs.share.making import Maker, terms
from reports import store
from upstream_arm.common.errors import ReportError, SuperbError, UsageError
from upstream_arm.common.reading import open_regular
from upstream_arm.common.stages import stage

THEIRS = "theirs"
"""The folder below that of one's runs where others' bundles are put."""


@dataclass
class Done:
    """What a command did.

    made: places of new bundles; known: of those that were there. refused: why others are not used. terms: of
    corpora whose names and labels are in bundles.
    """

    made: list[str] = field(default_factory=list)
    known: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    terms: list[str] = field(default_factory=list)


def own_runs(places: Sequence[Path]) -> list[Path]:
    """The folders of the finished runs in or below places, those of others left out."""
    found = store.find(places)
    if found.problems:
        raise ReportError(found.problems[0])
    own = [path.parent for path, _ in found.results if not (path.parent / BUNDLE).exists()]
    if not own:
        named = ", ".join(map(str, places))
        raise UsageError(f"{named} holds no finished run of yours; name a run's folder, or one above some")
    return own


def publish(places: Sequence[Path], where: str, maker: Maker) -> Done:
    """Share the finished runs in or below `places`; a bundle that is there already stays as it is.

    UsageError if any of them cannot be shared: then nothing is.
    """
    runs, done = own_runs(places), Done()
    if repository.is_git(where):
        with tempfile.TemporaryDirectory(prefix="superb-results-") as folder:
            ready, said = _made(runs, Path(folder) / "bundles", maker)
            for attempt in range(repository.TRIES):
                done = Done(terms=said)
                clone = repository.clone(where, Path(folder) / f"clone-{attempt}")
                with repository.staging(clone) as stage_folder:
                    _put(clone, stage_folder, ready, done)
                if not done.made or _pushed(clone, maker.by, done):
                    return done
        raise UsageError(f"{where} changed {repository.TRIES} times while this was pushed; try again")
    target = Path(where).expanduser().absolute()
    with repository.staging(target) as stage_folder:
        ready, done.terms = _made(runs, stage_folder / "bundles", maker)
        _put(target, stage_folder, ready, done)
        done.refused = repository.write_index(target)
    return done


def _made(runs: Sequence[Path], folder: Path, maker: Maker) -> tuple[dict[str, Path], list[str]]:
    """The bundles of all runs, each checked as a reader will check it: place -> folder; and their terms."""
    ready: dict[str, Path] = {}
    said: list[str] = []
    for number, run in enumerate(runs):
        into = folder / str(number)
        into.mkdir(parents=True)
        with stage(f"bundle {number + 1} of {len(runs)}, {run}"):
            result, manifest = maker.make(run, into)
            try:
                checked.require(into)
            except UsageError as error:
                raise UsageError(f"{run} does not agree with itself, so it is not shared: {error}") from None
        ready[str(bundle.place(result, manifest))] = into
        said += filter(None, [terms(result)])
    return ready, list(dict.fromkeys(said))


def _put(target: Path, staging: Path, ready: dict[str, Path], done: Done) -> None:
    there = set()
    for folder in repository.listed(target):
        with suppress(UsageError):  # somebody's that is damaged
            manifest = bundle.read(folder)
            there.add((manifest.by, manifest.run_content_sha256))
    for place, made in ready.items():
        manifest = bundle.read(made)
        if (manifest.by, manifest.run_content_sha256) in there:  # perhaps by another version of this project
            done.known.append(place)
            continue
        copy = Path(shutil.copytree(made, staging / "copies" / place))
        new = repository.put(target, copy, Path(place))
        (done.made if new else done.known).append(place)


def _pushed(clone: Path, by: str, done: Done) -> bool:
    done.refused = repository.write_index(clone)
    tasks = sorted({place.split("/")[1] for place in done.made})
    repository.commit(clone, by, f"Add {len(done.made)} results of {', '.join(tasks)} by {by}")
    return repository.push(clone)


def pull(where: str, out: Path) -> Done:
    """Copy others' bundles below OUT/theirs/, each only if it agrees with itself; one's own are left out."""
    done, target = Done(), out / THEIRS / repository.name_of(where)
    mine = _own_hashes(out)
    with repository.opened(where) as source:
        folders = repository.listed(source)
        for number, folder in enumerate(folders):
            place = folder.relative_to(source / repository.BUNDLES)
            with stage(f"check {number + 1} of {len(folders)}, {place}"):
                try:
                    _pull_one(folder, place, target, mine, done)
                except (SuperbError, OSError) as error:
                    done.refused.append(str(error).replace(str(folder), str(place)))
    return done


def _pull_one(folder: Path, place: Path, target: Path, mine: set[str], done: Done) -> None:
    manifest = bundle.read(folder)
    if manifest.run_content_sha256 in mine or (target / place / BUNDLE).is_file():
        done.known.append(str(place))
        return
    wrong = bundle.differences(folder, manifest)
    if wrong:
        raise UsageError(f"{place} is refused: {wrong[0]}")
    with _beside(target / place) as copy:
        for name in (*manifest.files, BUNDLE):
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            with open_regular(folder / name) as source, (copy / name).open("wb") as file:
                file.write(source.read(bundle.FILE_BYTES))
        # What is checked is the copy, which nobody else changes.
        result, manifest = checked.require(copy)
        if bundle.place(result, manifest).parts != place.parts:
            raise UsageError(f"{place} is refused: it is the bundle of {bundle.place(result, manifest)}")
        os.replace(copy, target / place)
        done.made.append(str(place))


@contextmanager
def _beside(place: Path) -> Iterator[Path]:
    """A hidden folder on the disk of a place, removed unless it is moved there."""
    place.parent.mkdir(parents=True, exist_ok=True)
    repository.remove_left(place.parent)
    copy = Path(tempfile.mkdtemp(prefix=".new-", dir=place.parent))
    try:
        yield copy
    finally:
        shutil.rmtree(copy, ignore_errors=True)


def _own_hashes(out: Path) -> set[str]:
    """`content_sha256` of the results of one's own runs."""
    if not out.is_dir():
        return set()
    found = store.find([out]).results
    return {result.content_sha256 for path, result in found if not (path.parent / BUNDLE).exists()}
