"""Hub entries by s3prl's habits: one function a name, called as `name(ckpt=…, model_config=…)`.

For each student of `names.RELEASED` (and the alias `arm_hubert`):

- `armhubert()` takes the authors' released checkpoint, downloaded once; or `ckpt`, where one is given.
- `armhubert_local(ckpt, model_config=None)` takes a file.
- `armhubert_url(ckpt, model_config=None)` takes an address, downloaded once.
- `armhubert_custom(ckpt, model_config=None)` takes either.
- `armhubert_random(model_config=None, seed=0)` is untrained.

All of these take the switches `reuse_softmax` ("double" or "single"), `batching` ("exact" or "released") and,
for an unfolded student, `repeats` (how often each block runs), and ignore further keywords of s3prl's runner.
`model_config` is needed only where the checkpoint does not carry its configuration.

For each family of `names.PEERS`: `dphubert_local(ckpt)` and so on take the file of the family's authors, a
yaml as `model_config` where that file does not describe itself, and the switch `batching`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UpstreamError
from upstream_arm.names import PEERS, SWITCHES, VARIANTS, canonical, names

if TYPE_CHECKING:
    from upstream_arm.expert import UpstreamExpert

__all__ = list(names())


def _entry(name: str) -> Callable[..., UpstreamExpert]:
    variant = next((suffix for suffix in VARIANTS if name.endswith(suffix)), "")

    def entry(
        ckpt: str | None = None, model_config: str | None = None, seed: int = 0, **options: Any
    ) -> UpstreamExpert:
        from upstream_arm import download, expert

        switches = {switch: options[switch] for switch in SWITCHES if switch in options}
        if variant == "_random":
            if ckpt is not None:
                raise UpstreamError(
                    f"{name} has random weights and takes no checkpoint, but {ckpt} was given; use "
                    f"{name.removesuffix(variant)}_local for it"
                )
            return expert.from_seed(model_config or canonical(name), seed, **switches)
        if ckpt is None and not variant:
            ckpt = str(download.fetch(canonical(name)))
        if ckpt is None:
            raise UpstreamError(
                f"{name} needs a checkpoint, none was given; give its path or address (-k, --ckpt or ckpt=)"
            )
        remote = str(ckpt).startswith(("https://", "http://")) and variant != "_local"
        file = download.fetch_url(ckpt) if remote or variant == "_url" else ckpt
        return expert.from_checkpoint(file, model_config, **switches)

    return _named(entry, name)


def _peer(name: str) -> Callable[..., UpstreamExpert]:
    def entry(
        ckpt: str | None = None,
        model_config: str | None = None,
        batching: str | None = None,
        **options: Any,
    ) -> UpstreamExpert:
        from upstream_arm.peers.loading import load_peer

        if ckpt is None:
            raise UpstreamError(f"{name} needs its authors' file, none was given; give its path (ckpt=)")
        if foreign := [switch for switch in SWITCHES if options.get(switch) is not None]:
            raise UpstreamError(f"{name} has no switch {foreign[0]}, only batching; leave it out")
        return load_peer(name, ckpt, model_config, batching)

    return _named(entry, name)


def _named(entry: Callable[..., UpstreamExpert], name: str) -> Callable[..., UpstreamExpert]:
    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"The upstream {name}; see upstream_arm.hub."
    return entry


globals().update({name: _peer(name) if name in PEERS else _entry(name) for name in names()})
