"""Hub entries by s3prl's habits: one function a name, called as `name(ckpt=…, model_config=…)`.

For each student of `names.RELEASED` (and the alias `arm_hubert`):

- `armhubert()` takes the authors' released checkpoint, downloaded once; or `ckpt`, where one is given.
- `armhubert_local(ckpt, model_config=None)` takes a file.
- `armhubert_url(ckpt, model_config=None)` takes an address, downloaded once.
- `armhubert_custom(ckpt, model_config=None)` takes either.
- `armhubert_random(model_config=None, seed=0)` is untrained.

All take the switches `reuse_softmax` ("double" or "single"), `batching` ("exact" or "released") and, for an
unfolded student, `repeats` (how often each block runs), and ignore further keywords of s3prl's runner.
`model_config` is needed only where the checkpoint does not carry its configuration.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from upstream_arm.common.errors import UpstreamError
from upstream_arm.names import SWITCHES, canonical, names

if TYPE_CHECKING:
    from upstream_arm.expert import UpstreamExpert

__all__ = list(names())

Entry = Callable[..., "UpstreamExpert"]


def _switches(options: dict[str, Any]) -> dict[str, Any]:
    return {name: options[name] for name in SWITCHES if name in options}


def _released(name: str) -> Entry:
    def entry(ckpt: str | None = None, model_config: str | None = None, **options: Any) -> UpstreamExpert:
        if ckpt is None:
            from upstream_arm.download import cached, fetch

            ckpt = str(cached(canonical(name)) or fetch(canonical(name)))
        return _custom(name)(ckpt=ckpt, model_config=model_config, **options)

    return entry


def _local(name: str) -> Entry:
    def entry(ckpt: str | None = None, model_config: str | None = None, **options: Any) -> UpstreamExpert:
        from upstream_arm.expert import from_checkpoint

        if ckpt is None:
            raise UpstreamError(
                f"{name} needs a checkpoint, none was given; give its path (-k, --ckpt or ckpt=)"
            )
        return from_checkpoint(ckpt, model_config, **_switches(options))

    return entry


def _url(name: str) -> Entry:
    def entry(ckpt: str | None = None, model_config: str | None = None, **options: Any) -> UpstreamExpert:
        from upstream_arm.download import fetch_url

        if ckpt is None:
            raise UpstreamError(f"{name} needs a checkpoint's address, none was given; give it (-k or ckpt=)")
        return _local(name)(ckpt=str(fetch_url(ckpt)), model_config=model_config, **options)

    return entry


def _custom(name: str) -> Entry:
    def entry(ckpt: str | None = None, **options: Any) -> UpstreamExpert:
        remote = ckpt is not None and str(ckpt).startswith(("https://", "http://"))
        return (_url if remote else _local)(name)(ckpt=ckpt, **options)

    return entry


def _random(name: str) -> Entry:
    def entry(
        ckpt: str | None = None, model_config: str | None = None, seed: int = 0, **options: Any
    ) -> UpstreamExpert:
        from upstream_arm.config import load_yaml
        from upstream_arm.expert import from_seed
        from upstream_arm.presets import preset

        if ckpt is not None:
            raise UpstreamError(
                f"{name} has random weights and takes no checkpoint, but {ckpt} was given; use "
                f"{name.removesuffix('_random')}_local for it"
            )
        config = preset(canonical(name)) if model_config is None else load_yaml(model_config)
        return from_seed(config, seed=seed, **_switches(options))

    return entry


_KINDS = {"_local": _local, "_url": _url, "_custom": _custom, "_random": _random}


def _entry(name: str) -> Entry:
    kind = next((make for suffix, make in _KINDS.items() if name.endswith(suffix)), _released)
    entry = kind(name)
    entry.__name__ = entry.__qualname__ = name
    entry.__doc__ = f"The upstream {name}; see upstream_arm.hub."
    return entry


globals().update({name: _entry(name) for name in names()})
