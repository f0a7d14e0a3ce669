"""All published systems in one list: Table 1 and systems.csv merged, and where the two disagree."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from reports import published
from reports.columns import BY_KEY

# The same model under two names: as Table 1 prints it -> as systems.csv has it (compared without case).
_ALIASES = {"lighthubert a_small": "lighthubert small (960h)"}


@dataclass(frozen=True)
class Known:
    """A published system.

    params_m, macs_g: millions and giga-MACs as printed, empty where no source prints them.
    recomputed_macs_g: by this toolkit's profile, for the paper's own models.
    """

    name: str
    params_m: str
    macs_g: str
    recomputed_macs_g: float | None
    values: Mapping[str, float]
    source: str


# The paper's own models -> the preset of their shape.
_PRESETS = {
    "MaskHuBERT (960h)": "maskhubert",
    "ARMHuBERT (960h)": "armhubert",
    "ARMHuBERT-S (960h)": "armhubert_s_960h",
    "ARMwavLM-S (960h)": "armwavlm_s_960h",
    "ARMHuBERT-S (100h)": "armhubert_s_100h",
    "ARMwavLM-S (100h)": "armwavlm_s_100h",
}


@cache
def known() -> tuple[Known, ...]:
    """Every published system once: systems.csv, then the rows of Table 1 that are not in it."""
    found = [
        Known(
            name=system.name,
            params_m=system.params_m,
            macs_g=system.macs_g,
            recomputed_macs_g=None,
            values=system.values,
            source=system.source,
        )
        for system in published.systems()
    ]
    names = {_plain(one.name) for one in found}
    found += [_of_paper(row) for row in published.table1() if _plain(row.name) not in names]
    return tuple(found)


def conflicts() -> list[str]:
    """One sentence for each value that Table 1 and systems.csv print differently for the same model."""
    others = {_plain(system.name): system for system in published.systems()}
    found = []
    for row in published.table1():
        other = others.get(_plain(row.name))
        if other is None:
            continue
        for key, value in row.percent().items():
            if abs(value - other.values[key]) > 1e-9:
                column = BY_KEY[key]
                found.append(
                    f"Conflict: {column.name} of {other.name} is {column.text(value)} in {row.source} and "
                    f"{column.text(other.values[key])} in {other.source}; the latter is shown here."
                )
    return found


def _of_paper(row: published.PublishedRow) -> Known:
    name = "FBANK (original SUPERB paper)" if row.model == "FBANK" else row.name
    preset = _PRESETS.get(row.name)
    return Known(
        name=name,
        params_m=row.params_m,
        macs_g="",
        recomputed_macs_g=None if preset is None else published.profiles()[preset].macs / 1e9,
        values=row.percent(),
        source=row.source,
    )


def _plain(name: str) -> str:
    folded = name.casefold()
    return _ALIASES.get(folded, folded)
