"""Models of the Hugging Face hub: each at one commit, and only the files of it that are needed.

What is in the Hugging Face cache is found without a network. `huggingface_hub` is imported when it is used.
"""

from __future__ import annotations

import contextlib
import re
import sys
import textwrap
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.download import quiet_retries
from upstream_arm.encoders import model_files
from upstream_arm.encoders.model_files import ModelFiles

_NAME = r"\w(?:[\w.-]{0,94}\w)?"
HF = re.compile(
    # What the hub allows: elsewhere its client raises errors of many kinds.
    rf"hf:(?!.*(?:--|\.\.|\.git(?:@|$)))(?P<repository>{_NAME}(?:/{_NAME})?)(?:@(?P<revision>\w[\w./-]*))?",
    re.ASCII,
)


class _Unknown(Exception):
    """The cache does not tell whether the model has a file."""


def parse(written: str) -> tuple[str, str | None]:
    """The repository and the revision of hf:ORG/NAME[@REVISION]; UsageError for another text."""
    if not (found := HF.fullmatch(written)):
        raise UsageError(f"{written!r} is no model of the Hugging Face hub, expected hf:ORG/NAME[@REVISION]")
    return found["repository"], found["revision"]


def resolve(repository: str, revision: str | None, renew: bool = False) -> str:
    """The commit that a revision (a branch, tag or commit; None for the main branch) stands for.

    As the cache has it; `renew`, or where it has none: as the hub has it now. UsageError if neither tells.
    """
    found = None if renew else _cached(repository, revision or "main")(model_files.CONFIG, known=False)
    found = found or _fetched(repository, revision or "main")(model_files.CONFIG)
    if found is None:
        raise UsageError(
            f"{text(repository, revision)} has no {model_files.CONFIG}: it is no model of transformers"
        )
    return found.parent.name


def has_code(repository: str, commit: str, trust_remote_code: bool) -> bool:
    """Whether a model runs code of its own; UsageError, also where that is not allowed, as `model`."""
    where = text(repository, commit)
    try:
        settings = model_files.settings(_cached(repository, commit), where, trust_remote_code)
    except _Unknown:
        settings = model_files.settings(_fetched(repository, commit), where, trust_remote_code)
    return settings.asks_for_code


def model(repository: str, commit: str, trust_remote_code: bool) -> ModelFiles:
    """The files of a model at a commit, in the cache; what is missing there is fetched.

    A download that was cut goes on where it was. UsageError as `model_files.find`, and if the hub cannot be
    reached or has no such model.
    """
    where = text(repository, commit)
    cached = _cached(repository, commit)

    def code_cached() -> Iterable[Path]:
        found = sorted(config.parent.glob("*.py")) if (config := cached(model_files.CONFIG)) else []
        if not found:
            raise _Unknown("*.py")
        return found

    def code_fetched() -> Iterable[Path]:
        from huggingface_hub import HfApi

        with _plain_errors(repository, commit):
            names = HfApi().list_repo_files(repository, revision=commit)
        get = _fetched(repository, commit)
        return [path for name in names if re.fullmatch(r"[\w-]+\.py", name) and (path := get(name))]

    try:
        return model_files.find(cached, where, trust_remote_code, code_cached)
    except _Unknown:
        print(f"fetching {where} into the Hugging Face cache", file=sys.stderr)
    return model_files.find(_fetched(repository, commit), where, trust_remote_code, code_fetched)


def file(repository: str, commit: str, name: str) -> Path | None:
    """One file of a model, from the cache or fetched; None if the model has none. UsageError as `model`."""
    try:
        return _cached(repository, commit)(name)
    except _Unknown:
        return _fetched(repository, commit)(name)


def text(repository: str, revision: str | None) -> str:
    """How a model is written on the command line."""
    return f"hf:{repository}" + (f"@{revision}" if revision else "")


def _cached(repository: str, revision: str) -> Callable[..., Path | None]:
    from huggingface_hub import _CACHED_NO_EXIST, try_to_load_from_cache

    def get(name: str, known: bool = True) -> Path | None:
        found: Any = try_to_load_from_cache(repository, name, revision=revision)
        if found is None and known:
            raise _Unknown(name)
        return None if found in (None, _CACHED_NO_EXIST) else Path(found)

    return get


def _fetched(repository: str, revision: str) -> model_files.Get:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def get(name: str) -> Path | None:
        with _plain_errors(repository, revision):
            try:
                return Path(hf_hub_download(repository, name, revision=revision))
            except LocalEntryNotFoundError:  # not on this machine, and the hub cannot be asked
                raise
            except EntryNotFoundError:
                return None

    return get


@contextlib.contextmanager
def _plain_errors(repository: str, revision: str) -> Iterator[None]:
    """The errors of the hub's client, which are also those of its HTTP library, as one sentence each."""
    from huggingface_hub import constants, errors

    named = text(repository, revision if revision != "main" else None)
    try:
        with quiet_retries():
            yield
    except UsageError:
        raise
    except errors.GatedRepoError:
        said = f"the hub gives {repository} only to who has agreed to its terms: agree on its page, log in "
        raise UsageError(said + "with `hf auth login`, and start the same command again") from None
    except errors.RepositoryNotFoundError:
        said = f"the hub has no model {repository} that you may read: correct its name, or log in with "
        raise UsageError(said + "`hf auth login`") from None
    except errors.RevisionNotFoundError:
        raise UsageError(f"{repository} has no revision {revision}: name a branch, tag or commit") from None
    except Exception as error:
        told = textwrap.shorten(str(error.__cause__ or error), 160, placeholder=" ...")
        reason = "HF_HUB_OFFLINE is set" if constants.HF_HUB_OFFLINE else told
        raise UsageError(
            f"{named} is not on this machine and cannot be fetched ({reason or type(error).__name__}): type "
            f"`{PROGRAM} fetch {named}` where there is a network, or name a folder with its files"
        ) from None
