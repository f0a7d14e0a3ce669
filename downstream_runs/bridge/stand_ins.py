"""Stand-ins for packages that s3prl's ten tasks import for one name each, where they are not installed.

DTW: the asymmetric pattern of Sakoe and Chiba as in the dtw package's manual (each query frame is used once,
the document moves by 0, 1 or 2 frames), so a path's cost is divided by the number of query frames.
"""

from __future__ import annotations

import importlib.util
import sys
import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.machinery import ModuleSpec
from typing import Any
from xml.etree import ElementTree as standard

import numpy as np
from torch.utils.data import DistributedSampler, Sampler

from downstream_runs.scoring.distance import rapidfuzz_distance
from upstream_arm.common.errors import UsageError


class DistributedSamplerWrapper(DistributedSampler):
    """Deals the items that `sampler` draws in one pass out to the processes of a distributed run."""

    def __init__(
        self,
        sampler: Sampler[Any],
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
    ) -> None:
        # DistributedSampler only asks its data set for a length, and a sampler has one.
        super().__init__(sampler, num_replicas=num_replicas, rank=rank, shuffle=shuffle)  # type: ignore[arg-type]
        self.sampler = sampler

    def __iter__(self) -> Iterator[Any]:
        drawn = list(self.sampler)
        return iter([drawn[index] for index in super().__iter__()])


_TRUE = ("y", "yes", "t", "true", "on", "1")
_FALSE = ("n", "no", "f", "false", "off", "0")


def strtobool(val: str) -> int:
    """1 or 0 for a word of truth, as Python 3.11 documents it; ValueError for another."""
    word = val.lower()
    if word not in _TRUE + _FALSE:
        raise ValueError(f"invalid truth value {word!r}")
    return int(word in _TRUE)


@dataclass(frozen=True)
class Alignment:
    """The best path's cost, whole and per query frame; the names are those of the dtw package."""

    distance: float
    normalizedDistance: float


def dtw(
    x: np.ndarray,
    step_pattern: str = "asymmetric",
    open_begin: bool = False,
    open_end: bool = False,
    keep_internals: bool = False,
    distance_only: bool = False,
) -> Alignment:
    """Align a query with a document, given their frame distances `x` `[query frame, document frame]`.

    `open_begin` and `open_end` free the path's ends in the document. `keep_internals` and `distance_only`
    change nothing: the path itself is never returned. Raises UsageError for another step pattern and
    ValueError where no path reaches the document's end.
    """
    if step_pattern != "asymmetric":
        raise UsageError(
            f"the DTW step pattern '{step_pattern}' is not built in; expected 'asymmetric', as the SUPERB "
            "recipe has it: for others install the package with `pip install 'dtw-python>=1.5'`"
        )
    cost = np.array(x[0], dtype=np.float64)
    if not open_begin:
        cost[1:] = np.inf
    for row in x[1:]:
        before = np.concatenate(([np.inf, np.inf], cost))
        cost = row + np.minimum(np.minimum(before[2:], before[1:-1]), before[:-2])
    best = float(cost.min() if open_end else cost[-1])
    if not np.isfinite(best):
        raise ValueError(f"no path through {x.shape[1]} document frames in {x.shape[0]} query frames")
    return Alignment(distance=best, normalizedDistance=best / len(x))


class ElementTree(standard.ElementTree):
    """A tree that can write itself one element a line."""

    def write(  # type: ignore[override]
        self, file: str, encoding: str = "UTF-8", pretty_print: bool = False
    ) -> None:
        """Write the document with its XML declaration; `pretty_print` indents it by two spaces a level."""
        if pretty_print:
            standard.indent(self)
        super().write(file, encoding=encoding, xml_declaration=True)


class Transformer:
    """Stands for pysox's class, which ASV imports and never uses."""

    def __init__(self) -> None:
        raise UsageError("this needs the package sox: install it with `pip install sox`, then run again")


_STAND_INS: dict[str, dict[str, object]] = {
    "catalyst.data.sampler": {"DistributedSamplerWrapper": DistributedSamplerWrapper},
    # setuptools brings one along, but not for ever and not to every environment.
    "distutils.util": {"strtobool": strtobool},
    "dtw": {"dtw": dtw},
    "editdistance": {"eval": rapidfuzz_distance},
    "lxml.etree": {
        "Element": standard.Element,
        "SubElement": standard.SubElement,
        "ElementTree": ElementTree,
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
    module = supply_module(name, members)
    while "." in name:
        name, _, child = name.rpartition(".")
        parent = supply_module(name, {})
        setattr(parent, child, module)
        module = parent


def supply_module(name: str, members: Mapping[str, object]) -> types.ModuleType:
    """Have Python import `members` from a module of this name, which no installed package has."""
    module = types.ModuleType(name, "Supplied by downstream_runs.bridge: no installed package has it.")
    vars(module).update(members)
    # Other libraries look for a spec before they import; without one importlib raises ValueError.
    module.__spec__ = ModuleSpec(name, loader=None, is_package=True)
    module.__path__ = []
    sys.modules[name] = module
    return module
