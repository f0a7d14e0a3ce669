"""Stand-ins for packages that s3prl's ten tasks import for one name each, where they are not installed."""

from __future__ import annotations

import importlib.util
import sys
import types
from importlib.machinery import ModuleSpec
from typing import NoReturn

from downstream_runs.bridge import catalyst_compat, distutils_compat, dtw_compat, lxml_compat
from downstream_runs.scoring.distance import rapidfuzz_distance
from upstream_arm.common.errors import UsageError


class Transformer:
    """Stands for pysox's class, which ASV imports and never uses."""

    def __init__(self) -> None:
        _refuse_sox()


def _refuse_sox() -> NoReturn:
    raise UsageError("this needs the package sox: install it with `pip install sox`, then run again")


_STAND_INS: dict[str, dict[str, object]] = {
    "catalyst.data.sampler": {"DistributedSamplerWrapper": catalyst_compat.DistributedSamplerWrapper},
    # setuptools brings one along, but not for ever and not to every environment.
    "distutils.util": {"strtobool": distutils_compat.strtobool},
    "dtw": {"dtw": dtw_compat.dtw},
    "editdistance": {"eval": rapidfuzz_distance},
    "lxml.etree": {
        "Element": lxml_compat.Element,
        "SubElement": lxml_compat.SubElement,
        "ElementTree": lxml_compat.ElementTree,
    },
    "sox": {"Transformer": Transformer},
}


def install() -> None:
    """Put a stand-in module where the top-level package is neither loaded nor installed."""
    for name, members in _STAND_INS.items():
        package = name.partition(".")[0]
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            _add(name, members)


def _add(name: str, members: dict[str, object]) -> None:
    module = _module(name)
    vars(module).update(members)
    while "." in name:
        name, _, child = name.rpartition(".")
        parent = _module(name)
        setattr(parent, child, module)
        module = parent


def _module(name: str) -> types.ModuleType:
    module = types.ModuleType(name, "Supplied by downstream_runs.bridge in place of a package not installed.")
    # Other libraries look for a spec before they import; without one importlib raises ValueError.
    module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
    module.__path__ = []
    sys.modules[name] = module
    return module
