"""Numbers that others published, word for word as they printed them; SOURCES.md says where each is from."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from reports.columns import BY_KEY, COLUMNS
from reports.scores import Leaderboard, ReferencePoint
from reports.systems import Profile, System
from reports.table import printed

FOLDER = Path(__file__).parent
FBANK_ROW = "FBANK (leaderboard)"
# The same model under two names: as Table 1 prints it -> as systems.csv has it (compared without case).
_ALIASES = {"lighthubert a_small": "lighthubert small (960h)"}
# Models of the paper's Table 1 -> the preset of their shape; patterns of its Table 2 are presets themselves.
_PRESETS = {
    "MaskHuBERT (960h)": "maskhubert",
    "ARMHuBERT (960h)": "armhubert",
    "ARMHuBERT-S (960h)": "armhubert_s_960h",
    "ARMwavLM-S (960h)": "armwavlm_s_960h",
    "ARMHuBERT-S (100h)": "armhubert_s_100h",
    "ARMwavLM-S (100h)": "armwavlm_s_100h",
}


@cache
def rows(name: str) -> tuple[System, ...]:
    """The systems of a file, such as systems.csv: leaderboard models and later compressed ones."""
    return tuple(_system(row) for row in _rows(f"{name}.csv"))


def table(number: int) -> tuple[System, ...]:
    """Table 1, 2, 3 or 4 of "Recycle-and-Distill" (arXiv 2305.11685), in its order.

    The systems of Tables 2 to 4 are patterns, methods and models with a masking ratio.
    """
    return rows(f"table{number}")


@cache
def known() -> tuple[System, ...]:
    """Every published system once: systems.csv, then the rows of Table 1 that are not in it."""
    names = {_plain(system) for system in rows("systems")}
    others = [system for system in table(1) if _plain(system) not in names]
    fbank = "FBANK (original SUPERB paper)"
    renamed = [dataclasses.replace(one, name=fbank) if one.name == "FBANK" else one for one in others]
    return (*rows("systems"), *renamed)


def conflicts() -> list[str]:
    """One sentence for each value that Table 1 and systems.csv print differently for the same model."""
    others = {_plain(system): system for system in rows("systems")}
    pairs = [(one, others[_plain(one)]) for one in table(1) if _plain(one) in others]
    return [
        f"Conflict: {BY_KEY[key].name} of {other.name} is {BY_KEY[key].text(value)} in "
        f"{one.printed['source']} and {BY_KEY[key].text(other.values[key])} in {other.printed['source']}; "
        "the latter is shown here."
        for one, other in pairs
        for key, value in one.values.items()
        if abs(value - other.values[key]) > 1e-9
    ]


@cache
def profiles() -> Mapping[str, Profile]:
    """Preset -> its recomputed parameters and MACs."""
    return {row["preset"]: Profile(int(row["params"]), int(row["macs"])) for row in _rows("profile.csv")}


@cache
def reference_points() -> Mapping[str, ReferencePoint]:
    """superb_s's two points for each metric, as the leaderboard's code has them."""
    return {
        row["metric"]: ReferencePoint(float(row["fbank"]), float(row["sota"]))
        for row in _rows("reference_points.csv")
    }


def displayed() -> tuple[System, ...]:
    """The 20 rows that the leaderboard displays, with its `rank` and `score`."""
    return rows("board_displayed")


@cache
def leaderboard() -> Leaderboard:
    """The leaderboard's 20 displayed rows and its FBANK row: on it the displayed ranks come out."""
    # FBANK rounded like the displayed rows: the unrounded row would be beaten by itself.
    board = [*displayed(), *(system for system in rows("systems") if system.name == FBANK_ROW)]
    return Leaderboard(
        "SUPERB leaderboard (20 displayed rows and FBANK)", {row.name: row.values for row in board}
    )


def leaderboard_parameters() -> Mapping[str, int]:
    """Model -> parameters, from the leaderboard's public set of April 2022."""
    return {row["model"]: int(row["params"]) for row in _rows("board_2022-04.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _system(row: dict[str, str]) -> System:
    name = row.get("pattern") or row.get("method") or row["model"]
    # Table 1 names students only by their part of the table, of which the first word is the hours.
    hours = row.get("distilled_on", "") or row.get("group", "baselines").split()[0].replace("baselines", "")
    name = f"{name} ({hours})" if hours else name
    preset = f"table2_{name.lower().replace('-', '_')}" if "pattern" in row else _PRESETS.get(name, "")
    places = {column.key: column.source(row) for column in COLUMNS}
    values = {key: float(row[name]) * factor for key, (name, factor) in places.items() if name in row}
    return System(
        name=name,
        source=f"published: {row['source']}",
        params_m=row.get("params_m", ""),
        macs_g=row.get("macs_g", ""),
        cells={key: printed(row[key]) for key in (*BY_KEY, "overall") if key in row},
        values=values,
        printed=row,
        profile=profiles().get(preset),
    )


def _plain(system: System) -> str:
    folded = system.name.casefold()
    return _ALIASES.get(folded, folded)
