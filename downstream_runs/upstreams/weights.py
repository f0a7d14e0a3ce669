"""Which weights an upstream name stands for on this machine; nothing is downloaded and nothing is guessed."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from downstream_runs.core.run import begun_revision, file_identity
from downstream_runs.upstreams import sources
from downstream_runs.upstreams.names import NEED_CHECKPOINT, check_upstream
from downstream_runs.upstreams.sources import HF, Source
from upstream_arm import download, names
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM

TEMPLATE = "customized_upstream"  # s3prl's example entry, which does read --ckpt


@dataclass(frozen=True)
class Upstream:
    """The name of a hub entry, its checkpoint file if it has one, and what the user must be told of it.

    source, revision, trust_remote_code: of an upstream that is from elsewhere, as in `RunPlan`.
    """

    name: str
    ckpt: str | None
    note: str | None = None
    source: str | None = None
    revision: str | None = None
    trust_remote_code: bool = False


def choose(
    name: str, ckpt: str | None, demo: bool, trust_remote_code: bool = False, out: Path | None = None
) -> Upstream:
    """The weights for a name or another source, with `--ckpt` and `--demo` as given.

    out: the folder of runs: a branch of the hub stays the commit that the first run there had.

    A released name (`armhubert`) is for the authors' checkpoint, as the Hugging Face hub gave it: other
    weights under it become `armhubert_local` (of an address `armhubert_url`), and the note says so. Only a
    demo may go on without any, with the seeded untrained student, and its note says so.

    Raises UsageError for an unknown name, for one that needs `--ckpt` and has none, for one that would
    ignore it, and for a released checkpoint that is not there or was changed since it was downloaded;
    UpstreamError for an address with a password.
    """
    source = sources.parse(name)
    if ckpt is not None and Path(ckpt).is_dir():
        raise UsageError(
            f"--ckpt {ckpt} is a folder: one of transformers is an upstream by itself, type "
            f"{ckpt if '/' in ckpt else f'./{ckpt}'} in the place of {name}; else name a file"
        )
    if source.kind != "name":
        return _elsewhere(source, ckpt, trust_remote_code, out)
    check_upstream(name)
    if name.startswith("hf_") and ckpt is not None and not Path(ckpt).exists() and HF.fullmatch(f"hf:{ckpt}"):
        raise UsageError(f"--ckpt {ckpt} is no file; for that model of the hub type hf:{ckpt} and no --ckpt")
    if ckpt is not None and "://" in ckpt:
        download.check_credentials(ckpt)  # before a plan, a log or a result holds them
    own = name in names.names()
    if name.endswith(NEED_CHECKPOINT):
        if ckpt is None:
            raise UsageError(f"{name} builds its model from a checkpoint: name one with --ckpt FILE")
        return Upstream(name, ckpt)
    released = own and not name.endswith("_random")
    if ckpt is not None and not released and name != TEMPLATE:
        weights = "has seeded random weights" if own else "brings its own weights"
        stem = names.canonical(name) if own else name.split("_")[0]
        raise UsageError(
            f"{name} {weights} and would ignore --ckpt: leave it out, or use {stem}_local --ckpt FILE"
        )
    if not released:
        note = "the upstream has seeded random weights: its result is labelled untrained" if own else None
        return Upstream(name, ckpt, None if ckpt else note)
    return _released(name, demo) if ckpt is None else _given(name, ckpt)


def _elsewhere(source: Source, ckpt: str | None, trust_remote_code: bool, out: Path | None) -> Upstream:
    """An upstream that is no name of a hub, as it is now; what is run of it and where it is from is noted."""
    if source.kind in ("hf", "folder") and ckpt is not None:
        raise UsageError(f"{source.text} brings its own weights and would ignore --ckpt: leave it out")
    begun = None if out is None else begun_revision(out, source.name, source.text)
    pinned = sources.pin(source, trust_remote_code, begun)
    told = [f"{source.text} is commit {pinned.revision}"] if source.kind == "hf" else []
    told += [f"{source.text} runs code of its own (--trust-remote-code)"] if pinned.code else []
    note = "; ".join(told) or None
    return Upstream(source.name, ckpt, note, source.text, pinned.revision, pinned.code)


def is_released(name: str, sha256: str | None) -> bool:
    """Whether `sha256` is that of the authors' checkpoint of a released name, as the hub gave it here.

    The project knows no hashes of these files itself. The Hugging Face cache does: a file there is a link to
    `blobs/SHA-256`, by the hash that the hub told before the download.
    """
    return sha256 is not None and sha256 == _recorded(name)


def honest(name: str, sha256: str | None) -> str:
    """The name for weights of that hash: a released name only for the released ones."""
    return name if not names.is_released_name(name) or is_released(name, sha256) else f"{name}_local"


def told(name: str, ckpt: str | None, sha256: str | None, revision: str | None = None) -> str | None:
    """What tells the weights of an upstream beside its name: their file and the beginning of its SHA-256.

    Of one from another source the beginning of its revision. None where the name says it all: released
    weights, and upstreams without a file.
    """
    if revision is not None:
        return ", ".join(filter(None, (revision[:8], told(name, ckpt, sha256))))
    if ckpt is None or (names.is_released_name(name) and is_released(name, sha256)):
        return None
    if "://" in ckpt:
        return Path(urlsplit(ckpt).path).name or ckpt
    return f"{Path(ckpt).name}, {sha256[:8]}" if sha256 else Path(ckpt).name


def _recorded(name: str) -> str | None:
    file = download.cached(name)
    blob = None if file is None else file.resolve()
    if blob is None or blob.parent.name != "blobs" or not re.fullmatch("[0-9a-f]{64}", blob.name):
        return None
    return blob.name


def _given(name: str, ckpt: str) -> Upstream:
    """`--ckpt` under a released name."""
    if "://" in ckpt:
        own = f"{name}_url"
        return Upstream(own, ckpt, f"what is at {ckpt} need not be released weights: they are called {own}")
    own = f"{name}_local"
    if not Path(ckpt).is_file():  # the plan refuses it
        return Upstream(own, ckpt)
    sha256 = file_identity(ckpt)
    if is_released(name, sha256):
        # The same file, under the path that shows where it is from.
        cached = str(download.cached(name))
        return Upstream(name, cached if file_identity(cached) == sha256 else ckpt)
    return Upstream(
        own,
        ckpt,
        f"{ckpt} (SHA-256 {sha256}) is not known to be the released checkpoint of {name}: runs, results and "
        f"tables call it {own} ({told(own, ckpt, sha256)})",
    )


def _released(name: str, demo: bool) -> Upstream:
    preset = names.canonical(name)
    file = download.cached(name)
    if file is not None:
        recorded, found = _recorded(name), file_identity(str(file))
        if recorded is None:
            return _given(name, str(file))
        if recorded != found:
            raise UsageError(
                f"{file} is not what was downloaded: its SHA-256 is {found}, that of the released checkpoint "
                f"{recorded}; delete it and fetch it again with `{PROGRAM} fetch {preset}`, or run "
                f"these weights as {name}_local --ckpt FILE"
            )
        return Upstream(name, str(file))
    if demo:
        return Upstream(
            f"{preset}_random",
            None,
            f"the released checkpoint of {name} is not on this machine: the demo uses {preset}_random, the "
            "same student with seeded random weights, and labels its result untrained",
        )
    raise UsageError(
        f"{name} is the released checkpoint {names.RELEASED[preset]} of {names.REPOSITORY} on Hugging Face, "
        f"which is not in the cache of this machine: fetch it with `{PROGRAM} fetch {preset}`, "
        "or name a copy with --ckpt FILE"
    )
