"""A module that the caller made, as an upstream among s3prl's for as long as it is evaluated."""

from __future__ import annotations

import hashlib
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from downstream_runs.upstreams.checked import weights_sha256
from upstream_arm.common.errors import UsageError

PLAIN = (bool, int, float, str, bytes, type(None))


@contextmanager
def registered(module: nn.Module, name: str | None) -> Iterator[str]:
    """Within it, `s3prl.hub` has the module as an entry of the name that is yielded.

    UsageError for what is no upstream. The module is in its former mode (training or not) afterwards.
    """
    from downstream_runs import bridge

    _check(module)
    label = f"{_plain_name(name or type(module).__name__)}-{identity(module)[:12]}"
    bridge.apply()
    import s3prl.hub as hub

    training = module.training
    setattr(hub, label, lambda **_: module)
    try:
        yield label
    finally:
        delattr(hub, label)
        module.train(training)


def identity(module: nn.Module) -> str:
    """SHA-256 over what decides a module's output, as far as that can be seen.

    Its weights and buffers, and of it and each of its parts the class, the class's source where Python can
    find it, and the attributes that are plain values. Two modules that differ in anything else, such as a
    function that they call, look the same: they need different names.
    """
    digest = hashlib.sha256(weights_sha256(module).encode())
    for path, part in module.named_modules():
        kind = type(part)
        digest.update(f"\n{path} {kind.__qualname__}\n{_source(kind)}\n".encode())
        for key, value in sorted(vars(part).items()):
            # `training` is set by whoever uses the module.
            if key != "training" and _plain(value):
                digest.update(f"{key} = {value!r}\n".encode())
    return digest.hexdigest()


def _source(kind: type) -> str:
    if kind.__module__.partition(".")[0] == "torch":
        return ""  # its layers are told apart by name and attributes
    try:
        return inspect.getsource(kind)
    except (OSError, TypeError):
        return ""


def _plain(value: Any) -> bool:
    if isinstance(value, (list, tuple)):
        return all(_plain(one) for one in value)
    return isinstance(value, PLAIN)


def _plain_name(name: str) -> str:
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_.-]*", name):
        raise UsageError(f"name is {name!r}, expected letters, digits, dots, hyphens and underscores")
    return name


def _check(module: Any) -> None:
    if not isinstance(module, nn.Module):
        raise UsageError(
            f"the upstream is a {type(module).__name__}, expected a name or a torch.nn.Module that gives "
            "hidden states"
        )
    if not callable(getattr(module, "get_downsample_rates", None)):
        raise UsageError(
            f"{type(module).__name__} has no method get_downsample_rates(key), which tells how many samples "
            "a frame stands for: add it, as s3prl's upstreams have it"
        )
