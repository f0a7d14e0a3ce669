"""Numbers that others published, word for word as they printed them; SOURCES.md says where each is from."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from reports.columns import COLUMNS
from reports.scores import Board, ReferencePoint

FOLDER = Path(__file__).parent
TABLE1 = FOLDER / "table1.csv"
#: The column of MTWV times 100, in rows that are not written as the paper's Table 1 writes them.
QBE_X100 = "qbe_mtwv_x100"
FBANK_ROW = "FBANK (leaderboard)"


@dataclass(frozen=True)
class PublishedRow:
    """One printed row of Table 1.

    group: the part of the table it stands in ("960h 26.4M-31.6M"), since a model name can be there twice.
    model: the name as printed.
    params_m: parameters in millions, as printed.
    values: the other printed numbers by column of the file (`asr_wer`), as text with the printed digits.
    source: publication and table.
    """

    group: str
    model: str
    params_m: str
    values: Mapping[str, str]
    source: str

    @property
    def name(self) -> str:
        """The model, a student with the hours of speech that it was distilled on: "ARMHuBERT (960h)"."""
        hours = self.group.split()[0]
        return self.model if hours == "baselines" else f"{self.model} ({hours})"

    def percent(self) -> dict[str, float]:
        """Column key -> value in percent."""
        return _percent(self.values)


@dataclass(frozen=True)
class System:
    """A row of systems.csv: one model of any publication.

    distilled_on: hours of speech, or empty.
    params_m, macs_g: millions of parameters and SUPERB's giga-MACs as printed, empty when not printed.
    printed: column key -> the value as printed (QbE times 100).
    values: column key -> the same in percent.
    """

    model: str
    distilled_on: str
    params_m: str
    macs_g: str
    printed: Mapping[str, str]
    values: Mapping[str, float]
    source: str

    @property
    def name(self) -> str:
        """The model with the hours of speech that it was distilled on, if any."""
        return f"{self.model} ({self.distilled_on})" if self.distilled_on else self.model


@dataclass(frozen=True)
class Profile:
    """Parameters and SUPERB's MACs of a preset, as `python -m upstream_arm profile` counts them."""

    preset: str
    params: int
    macs: int


@cache
def table1() -> tuple[PublishedRow, ...]:
    """Table 1 of "Recycle-and-Distill" (arXiv 2305.11685), in its order."""
    return tuple(
        PublishedRow(
            group=row.pop("group"),
            model=row.pop("model"),
            params_m=row.pop("params_m"),
            source=row.pop("source"),
            values=row,
        )
        for row in _rows("table1.csv")
    )


def ablation(number: int) -> list[dict[str, str]]:
    """The rows of Table 2, 3 or 4 of the same paper, as printed."""
    return _rows(f"table{number}.csv")


@cache
def systems() -> tuple[System, ...]:
    """The rows of systems.csv: leaderboard models and later compressed ones."""
    return tuple(_system(row) for row in _rows("systems.csv"))


@cache
def profiles() -> Mapping[str, Profile]:
    """Preset -> its recomputed parameters and MACs."""
    return {
        row["preset"]: Profile(row["preset"], int(row["params"]), int(row["macs"]))
        for row in _rows("profile.csv")
    }


@cache
def reference_points() -> Mapping[str, ReferencePoint]:
    """superb_s's two points for each metric, as the leaderboard's code has them."""
    return {
        row["metric"]: ReferencePoint(float(row["fbank"]), float(row["sota"]))
        for row in _rows("reference_points.csv")
    }


@cache
def board() -> Board:
    """The leaderboard's 20 displayed rows and its FBANK row: on it the displayed ranks come out."""
    rows: dict[str, Mapping[str, float]] = {row["model"]: _percent(row) for row in displayed()}
    # Rounded like the displayed rows: the unrounded row would be beaten by itself.
    rows[FBANK_ROW] = next(system.values for system in systems() if system.model == FBANK_ROW)
    return Board("SUPERB leaderboard (20 displayed rows and FBANK)", rows)


def displayed() -> list[dict[str, str]]:
    """The 20 rows that the leaderboard displays, with its `rank` and `score`."""
    return _rows("board_displayed.csv")


def board_parameters() -> Mapping[str, int]:
    """Model -> parameters, from the leaderboard's public set of April 2022."""
    return {row["model"]: int(row["params"]) for row in _rows("board_2022-04.csv")}


def _rows(name: str) -> list[dict[str, str]]:
    with (FOLDER / name).open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _percent(row: Mapping[str, str]) -> dict[str, float]:
    values = {}
    for column in COLUMNS:
        if column.key in row:
            values[column.key] = float(row[column.key]) * (1 if column.unit == "percent" else 100)
        elif column.key == "qbe_mtwv":
            values[column.key] = float(row[QBE_X100])
    return values


def _system(row: dict[str, str]) -> System:
    printed = {column.key: row[QBE_X100 if column.key == "qbe_mtwv" else column.key] for column in COLUMNS}
    return System(
        model=row["model"],
        distilled_on=row["distilled_on"],
        params_m=row["params_m"],
        macs_g=row["macs_g"],
        printed=printed,
        values={key: float(text) for key, text in printed.items()},
        source=row["source"],
    )
