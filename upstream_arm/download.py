"""Download a released checkpoint of the authors into the Hugging Face cache, unless it is there already."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import logging
import os
import re
import sys
from collections.abc import Iterator
from http.client import HTTPException
from pathlib import Path
from urllib.parse import urlsplit

from upstream_arm.common import transfer
from upstream_arm.common.errors import UpstreamError, reason
from upstream_arm.common.files import atomic_path
from upstream_arm.common.words import near
from upstream_arm.names import ALIASES, RELEASED, REPOSITORY, canonical, is_released_name


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's argument."""
    parser.add_argument("name", metavar="NAME", help="for example armhubert or armhubert_s_100h")


def run(options: argparse.Namespace) -> int:
    """Fetch a checkpoint and print its path."""
    print(fetch(options.name))
    return 0


def released_file(name: str) -> str:
    """The file of a released name in the authors' repository; UpstreamError if there is none."""
    if is_released_name(name):
        return RELEASED[canonical(name)]
    hint = near(name, [*RELEASED, *ALIASES]) or f"; expected one of {', '.join(RELEASED)}"
    raise UpstreamError(f"there is no released checkpoint {name!r}{hint}")


def cached(name: str) -> Path | None:
    """Where the released checkpoint already is in the Hugging Face cache, None if it is not; no network."""
    from huggingface_hub import try_to_load_from_cache

    path = try_to_load_from_cache(REPOSITORY, released_file(name))
    return Path(path) if isinstance(path, str) else None


def fetch(name: str) -> Path:
    """Where the released checkpoint is in the Hugging Face cache; it is downloaded if it is not there.

    UpstreamError, which says how to place the file by hand, if it cannot be had.
    """
    from huggingface_hub import hf_hub_download, hf_hub_url

    if path := cached(name):
        return path
    file = released_file(name)
    print(f"asking for {hf_hub_url(REPOSITORY, file)}", file=sys.stderr)
    try:
        with quiet_retries():
            return Path(hf_hub_download(REPOSITORY, file))
    # The hub client raises the errors of whichever HTTP library its version is built on.
    except Exception as error:
        raise UpstreamError(
            f"{file} cannot be downloaded ({reason(error)}); get {hf_hub_url(REPOSITORY, file)} by other "
            f"means, put it in any folder and name it with --ckpt FILE or {name}_local(ckpt=FILE)"
        ) from None


@contextlib.contextmanager
def quiet_retries() -> Iterator[None]:
    """Without the hub client's two lines for each of its retries: the last error says what they say."""
    logger = logging.getLogger("huggingface_hub.utils._http")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def fetch_url(url: str) -> Path:
    """Download an https address (http from this machine itself) into our cache, unless it is there already.

    The cache is `superb-arm` in $XDG_CACHE_HOME or ~/.cache; a file's name holds its address' hash.
    UpstreamError if the address is of another kind, holds a password, or the file cannot be had in full.
    """
    _check_address(url)
    folder = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "superb-arm"
    name = Path(urlsplit(url).path).name
    stem = re.sub(r"[^A-Za-z0-9._-]", "_", name)[-80:] or "checkpoint"
    target = folder / f"{hashlib.sha256(url.encode()).hexdigest()[:16]}-{stem}"
    if target.is_file():
        return target
    try:
        with atomic_path(target) as part:
            transfer.fetch(url, part, name)
    except (OSError, HTTPException) as error:
        raise UpstreamError(
            f"{url} cannot be downloaded ({transfer.why(error)}); get the file by other means and name it "
            "with --ckpt FILE"
        ) from None
    return target


def check_credentials(url: str) -> None:
    """UpstreamError, which does not repeat them, if an address holds a user name or a password."""
    parts = urlsplit(url)
    if parts.username is not None or parts.password is not None:
        raise UpstreamError(
            f"the address at {parts.hostname} holds a user name or a password, which results and logs would "
            "show; download the file and name it with --ckpt"
        )


def _check_address(url: str) -> None:
    check_credentials(url)
    if not transfer.is_safe(url):
        raise UpstreamError(
            f"{url} is not an https address; give one, or download the file and name it with --ckpt"
        )
