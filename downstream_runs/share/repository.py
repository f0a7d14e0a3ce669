"""A repository of results: a folder, or a git repository of the same layout.

    REPOSITORY/
    ├── bundles/UPSTREAM/TASK/ID/    a bundle each (`share.bundle`); what is in none is not read
    ├── index.jsonl                  a line a bundle, in the order of their places; derived from them
    └── .gitattributes               index.jsonl is merged by union

Two who share at a time write different folders, so that git merges them without a conflict. A bundle is put
together beside its place and moved there whole: whatever is killed leaves no half of one.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.core import results
from downstream_runs.core.results import Result
from downstream_runs.core.run_folder import BUNDLE, RESULT
from downstream_runs.share import bundle
from downstream_runs.share.bundle import Manifest
from upstream_arm.common.errors import SuperbError, UsageError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.common.stages import stage
from upstream_arm.common.words import shown

BUNDLES, INDEX, ATTRIBUTES = "bundles", "index.jsonl", ".gitattributes"
MERGED = f"{INDEX} merge=union\n"
#: How often a push is tried again after somebody else's came first.
TRIES = 5
#: Seconds after which what a killed process left is removed.
LEFT = 24 * 3600
_URL = re.compile(r"(?:file|https?|ssh|git)://.+|[\w.-]+@[\w.-]+:.+")
#: Nothing of a repository is run: no hook, no filter of large files, no transport but these.
_SAFE = {
    "GIT_ALLOW_PROTOCOL": "file:git:http:https:ssh",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_LFS_SKIP_SMUDGE": "1",
}
_SETTINGS = ("core.hooksPath=/dev/null", "core.symlinks=false", "core.autocrlf=false", "core.fsmonitor=false")


@dataclass(frozen=True)
class Shared:
    """A bundle in a repository: where it lies, and what it says."""

    folder: Path
    manifest: Manifest
    result: Result


def is_git(where: str) -> bool:
    """Whether this is a git repository rather than a folder: an address, or a bare repository."""
    bare = Path(where) / "HEAD"
    return _URL.fullmatch(where) is not None or (bare.is_file() and (Path(where) / "objects").is_dir())


def name_of(where: str) -> str:
    """What a repository is called: the last part of its path."""
    last = re.split(r"[/:]", where.rstrip("/"))[-1].removesuffix(".git")
    return re.sub(r"[^A-Za-z0-9._-]", "_", last).lstrip(".") or "results"


def listed(repository: Path) -> list[Path]:
    """The folders of bundles, in the order of their places; links are passed over."""
    found = [repository / BUNDLES]
    for _ in range(3):
        found = [Path(entry.path) for folder in found for entry in _folders(folder)]
    return [path for path in found if (path / BUNDLE).is_file()]


def _folders(folder: Path) -> list[os.DirEntry[str]]:
    if not folder.is_dir() or folder.is_symlink():
        return []
    with os.scandir(folder) as entries:
        some = [one for one in entries if one.is_dir(follow_symlinks=False) and not one.name.startswith(".")]
    return sorted(some, key=lambda one: one.name)


def read(folder: Path) -> Shared:
    """A bundle that lies where it says itself; UsageError for any other. Its numbers are not checked here."""
    manifest, result = bundle.read(folder), results.read(folder / RESULT)
    place = bundle.place(result, manifest)
    if folder.parts[-3:] != place.parts:
        raise UsageError(f"{folder} holds the bundle of {place}: it was moved, or changed by hand")
    return Shared(folder, manifest, result)


def put(repository: Path, made: Path, place: Path) -> bool:
    """Move a bundle to its place in a repository on the same disk; False where it is there already."""
    target = repository / BUNDLES / place
    if (target / BUNDLE).is_file():
        return False
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(made, target)
    return True


def write_index(repository: Path) -> list[str]:
    """Derive the index from the bundles; a sentence for each that cannot be read, which it leaves out."""
    lines, problems = [], []
    for folder in listed(repository):
        try:
            shared = read(folder)
        except (SuperbError, OSError) as error:
            problems.append(str(error))
            continue
        line = {
            "bundle": folder.relative_to(repository).as_posix(),
            "by": shared.manifest.by,
            "upstream": shared.result.upstream,
            "task": shared.result.task,
            "recipe": shared.result.recipe,
            "seed": shared.result.seed,
            "labels": list(shared.result.labels),
            "numbers": {one.name: one.value for one in shared.result.metrics if one.role == "headline"},
            "bundle_sha256": shared.manifest.bundle_sha256,
        }
        lines.append(json.dumps(line) + "\n")
    _write_changed(repository / INDEX, "".join(lines))
    _write_changed(repository / ATTRIBUTES, MERGED)
    return problems


def _write_changed(path: Path, text: str) -> None:
    if not path.is_file() or path.read_text(encoding="utf-8", errors="replace") != text:
        atomic_write_text(path, text)


@contextlib.contextmanager
def staging(repository: Path) -> Iterator[Path]:
    """A hidden folder in a repository, on its disk, for bundles that are not whole yet.

    UsageError for a folder with other things in it: publishing would mix bundles with them.
    """
    try:
        repository.mkdir(parents=True, exist_ok=True)
        names = {entry.name for entry in os.scandir(repository) if not entry.name.startswith(".")}
    except OSError as error:
        raise UsageError(f"{repository} cannot be used ({error.strerror}); name a folder") from None
    if names and BUNDLES not in names and not (repository / ".git").exists():
        raise UsageError(
            f"{repository} holds {sorted(names)[0]} and no {BUNDLES}/: it is no repository of results; name "
            "a new or empty folder"
        )
    remove_left(repository)
    with tempfile.TemporaryDirectory(prefix=".new-", dir=repository) as folder:
        yield Path(folder)


def remove_left(folder: Path) -> None:
    """Remove what processes left in a folder that were killed long ago."""
    for old in folder.glob(".new-*"):
        if time.time() - old.stat().st_mtime > LEFT:
            shutil.rmtree(old, ignore_errors=True)


@contextlib.contextmanager
def opened(where: str) -> Iterator[Path]:
    """A repository for reading: its folder, or a clone that is removed afterwards."""
    if not is_git(where):
        path = Path(where).expanduser()
        if not (path / BUNDLES).is_dir():
            raise UsageError(
                f"{path} has no folder {BUNDLES}: a repository of results was expected, a folder or the "
                "address of a git repository"
            )
        yield path
        return
    with tempfile.TemporaryDirectory(prefix="superb-results-") as folder:
        yield clone(where, Path(folder) / "clone")


def clone(where: str, folder: Path) -> Path:
    """The newest state of a git repository, an empty one too; UsageError if git cannot get it."""
    with stage(f"clone {where}"):
        # A path is no address to git's --depth, which then copies everything.
        source = Path(where).absolute().as_uri() if not _URL.fullmatch(where) else where
        git(folder.parent, "clone", "--quiet", "--depth", "1", "--no-tags", "--", source, str(folder))
    return folder


def commit(folder: Path, by: str, message: str) -> None:
    """Commit everything in a clone, under the user's name for git, or `by` where there is none."""
    git(folder, "add", "--all", "--", BUNDLES, INDEX, ATTRIBUTES)
    known = git(folder, "config", "--default", "", "--get", "user.email").strip()
    who = () if known else ("-c", f"user.name={by}", "-c", "user.email=nobody@results.invalid")
    git(folder, *who, "commit", "--quiet", "--no-verify", "--message", message)


def push(folder: Path) -> bool:
    """Push a clone's commit; False where somebody else's came first."""
    branch = git(folder, "symbolic-ref", "--short", "HEAD").strip()
    try:
        git(folder, "push", "--quiet", "origin", f"HEAD:refs/heads/{branch}")
    except UsageError as error:
        if re.search(r"fetch first|non-fast-forward|cannot lock ref|failed to update ref|stale", str(error)):
            return False
        raise
    return True


def own_name() -> str:
    """What git calls the user; UsageError where it does not know."""
    with contextlib.suppress(UsageError):
        if found := git(Path.home(), "config", "user.name").strip():
            return found
    raise UsageError("git has no user.name to share the runs by: add --by NAME, as tables will name you")


def git(folder: Path, *words: str) -> str:
    """What a git command prints; UsageError with its last words where it fails."""
    settings = [word for setting in _SETTINGS for word in ("-c", setting)]
    try:
        done = subprocess.run(
            ["git", "-C", str(folder), *settings, *words],
            capture_output=True,
            text=True,
            errors="replace",
            env={**os.environ, **_SAFE, "LC_ALL": "C"},
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        raise UsageError("git is not installed, which a repository of git needs; name a folder") from None
    if done.returncode != 0:
        told = [line for line in done.stderr.splitlines() if not line.startswith("hint:")]
        command = next((word for word in words if not word.startswith("-") and "=" not in word), "")
        raise UsageError(
            f"git {command} failed: {shown(' '.join(' '.join(told).split()), 500)}; check the address, and "
            "whether you may use it"
        )
    return done.stdout
