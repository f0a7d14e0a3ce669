"""Which weights an upstream name stands for on this machine; nothing is downloaded and nothing is guessed."""

from __future__ import annotations

from dataclasses import dataclass

from downstream_runs.errors import UsageError
from downstream_runs.listing import NEED_CHECKPOINT, check_upstream, own_names

TEMPLATE = "customized_upstream"  # s3prl's example entry, which does read --ckpt


@dataclass(frozen=True)
class Upstream:
    """The name of a hub entry, its checkpoint file if it has one, and what the user must be told of it."""

    name: str
    ckpt: str | None
    note: str | None = None


def choose(name: str, ckpt: str | None, demo: bool) -> Upstream:
    """The weights for a name, with `--ckpt` and `--demo` as given.

    A released name (`armhubert`) is the authors' checkpoint: that of `--ckpt`, or the one in the Hugging Face
    cache. Only a demo may go on without it, with the seeded untrained student, and its note says so.

    Raises UsageError for an unknown name, for one that needs `--ckpt` and has none, for one that would
    ignore it, and for a released checkpoint that is not there; UpstreamError for an address with a password.
    """
    from upstream_arm import names

    check_upstream(name)
    if ckpt is not None and "://" in ckpt:
        from upstream_arm import download

        download.check_credentials(ckpt)  # before a plan, a log or a result holds them
    own = name in own_names()
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
    if ckpt is not None or not released:
        note = "the upstream has seeded random weights: its result is labelled untrained" if own else None
        return Upstream(name, ckpt, None if ckpt else note)
    return _released(name, demo)


def _released(name: str, demo: bool) -> Upstream:
    from upstream_arm import download, names

    preset = names.canonical(name)
    file = download.cached(name)
    if file is not None:
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
        f"which is not in the cache of this machine: fetch it with `./run_superb.sh fetch {preset}`, "
        "or name a copy with --ckpt FILE"
    )
