"""What upstreams cost, as columns beside their scores: MACs, and time and memory where runs measured them."""

from __future__ import annotations

import functools
from collections.abc import Sequence

from downstream_runs.core.efficiency import Efficiency
from reports.systems import System
from reports.table import EMPTY, Cell, Head, TableColumn, number, printed
from reports.tables.blocks import results

RECOMPUTED = "*"
KEYS = ("macs_g", "rtf", "peak_memory_mb", "machine")
"""The columns of the table for programs, where each line names its own machine."""


def macs(system: System) -> Cell:
    """Giga-MACs as printed or measured, else recomputed for the preset of the upstream's name."""
    measured = next((one.macs for one in _measured(system).values() if one.macs is not None), None)
    if measured is not None:
        return number(measured / 1e9, 1)
    if system.macs_g or system.profile is None:
        return printed(system.macs_g)
    return number(system.profile.macs / 1e9, 1, RECOMPUTED)


def columns(ours: Sequence[System]) -> list[TableColumn]:
    """MACs, then real-time factor and peak memory of each machine in columns of its own."""
    made: list[TableColumn] = [(Head("MACs (G)"), macs)]
    for machine in sorted({machine for system in ours for machine in _measured(system)}):
        made += [
            (Head(f"Real-time factor ({machine})"), functools.partial(_rtf, machine)),
            (Head(f"Peak memory in MB ({machine})"), functools.partial(_memory, machine)),
        ]
    return made


def notes(ours: Sequence[System]) -> list[str]:
    """How the columns came about."""
    lines = [
        "MACs: sum over SUPERB's 32 utterances, as printed, or as the run measured them; "
        f"{RECOMPUTED} by this toolkit's profile command."
    ]
    machines = {machine for system in ours for machine in _measured(system)}
    if machines:
        lines.append(
            "Real-time factor (seconds of computation for a second of audio) and peak memory are of the "
            "upstream alone, for 10 s of audio at batch size 1, on the machine that their columns name; "
            "numbers of different machines do not compare."
        )
    without = [system for system in ours if not _measured(system)]
    if without:
        lines.append(
            f"{len(without)} of our rows were not measured: runs with --efficiency measure their upstream."
        )
    return lines


def values(system: System) -> list[str]:
    """Of KEYS, for the table for programs; empty where nobody measured."""
    measured = next(iter(_measured(system).values()), None)
    cell = macs(system)
    count = "" if cell.value is None else cell.text
    if measured is None:
        return [count, "", "", ""]
    return [count, f"{measured.rtf:.4g}", f"{measured.peak_memory / 1e6:.1f}", measured.machine]


def _measured(system: System) -> dict[str, Efficiency]:
    """Machine -> what was measured there, last where several runs did."""
    runs = sorted(results([system]), key=lambda result: result.created)
    return {one.machine: one for result in runs if (one := result.efficiency) is not None}


def _rtf(machine: str, system: System) -> Cell:
    one = _measured(system).get(machine)
    return EMPTY if one is None else Cell(f"{one.rtf:.4f}", one.rtf)


def _memory(machine: str, system: System) -> Cell:
    one = _measured(system).get(machine)
    return EMPTY if one is None else number(one.peak_memory / 1e6, 1)
