"""The one form in which tables, figures and comparisons get a system with its numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from downstream_runs.core.results import Result
from reports.table import Cell

if TYPE_CHECKING:
    from reports.items import ScoredItems

OURS, THEIRS = "ours", "theirs"


class Profile(NamedTuple):
    """Parameters and SUPERB's MACs of a preset, as `python -m upstream_arm profile` counts them."""

    params: int
    macs: int


@dataclass(frozen=True)
class System:
    """A system and its numbers: as others printed them, or put together from results of ours.

    name: of a published student with the hours of speech that it was distilled on ("ARMHuBERT (960h)"); of
        ours with the file of its weights, unless the upstream's name stands for them, and its labels
        ("arm_hubert_random [demo, untrained]"). No two of ours share it.
    source: "published: ..." with the publication and its table, "ours", or "theirs" of bundles of others.
    params_m, macs_g: millions of parameters and SUPERB's giga-MACs as printed; empty when not known.
    cells: column key, or "overall", -> the printed number; a column without a value is absent.
    values: column key -> the value in percent.
    printed: the published line, column of its file -> text; empty for ours.
    profile: recomputed, where the shape is a known preset's.
    upstream: of ours.
    by: who made it, of one whose bundles were pulled; empty for ours and published ones.
    labels: what forbids a comparison of ours with published systems.
    runs: the results behind a system of ours, with their files; empty for a published one.
    items: column key -> its test items, only where they were read: they are by far the largest part of a run.
    """

    name: str
    source: str
    params_m: str
    cells: Mapping[str, Cell]
    values: Mapping[str, float]
    macs_g: str = ""
    printed: Mapping[str, str] = field(default_factory=dict)
    profile: Profile | None = None
    upstream: str = ""
    by: str = ""
    labels: tuple[str, ...] = ()
    runs: tuple[tuple[Path, Result], ...] = ()
    items: Mapping[str, ScoredItems] = field(default_factory=dict)
