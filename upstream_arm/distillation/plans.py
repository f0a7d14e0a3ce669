"""The students of the paper's Tables 2 to 4 as commands, one each, with the tasks that the tables report."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Sequence
from types import MappingProxyType

PROGRAM = "python -m upstream_arm distill"
#: What Tables 2 to 4 report: ASR (WER), ASV (EER), SF (F1 and CER).
TASKS = ("asr", "asv", "sf")
# What a plan sets itself; anything else that was given is handed on to every command.
_OWN = frozenset({"--ablation", "--preset", "--hours", "--objective", "--mask-ratio", "--out"})


@dataclasses.dataclass(frozen=True)
class Variant:
    """One row of a table.

    Attributes:
        row: its name there.
        folder: where its run goes.
        options: what sets it apart.
    """

    row: str
    folder: str
    options: tuple[str, ...]


def _table2(row: str, name: str) -> Variant:
    # "Masking is not applied here."
    return Variant(row, name, ("--preset", f"table2_{name}", "--objective", "layer_to_layer"))


def _table3(row: str, objective: str) -> Variant:
    options = ("--preset", "maskhubert", "--hours", "100", "--objective", objective, "--mask-ratio", "0.4")
    return Variant(row, objective, options)


def _table4(hours: int, ratio: str) -> Variant:
    options = ("--preset", "maskhubert", "--hours", str(hours), "--mask-ratio", ratio)
    return Variant(f"MaskHuBERT-{hours}h {ratio}", f"{hours}h_{ratio.replace(':', '-')}", options)


ABLATIONS = MappingProxyType(
    {
        "table2": (
            _table2("6by2", "6by2"),
            _table2("3by4", "3by4"),
            _table2("6by2-up", "6by2_up"),
            _table2("3by4-up", "3by4_up"),
            _table2("2by6", "2by6"),
            _table2("None", "none"),
        ),
        "table3": (
            _table3("MaskHuBERT-100h", "full"),
            _table3("[-] distil. unmasked part", "masked_only"),
            _table3("[-] distil. from masked input", "unmasked_from_clean"),
        ),
        "table4": (
            _table4(960, "0.4"),
            _table4(960, "0.8"),
            _table4(100, "0.4"),
            _table4(100, "0.6"),
            _table4(100, "0.8"),
            _table4(100, "0.4:0.8"),
        ),
    }
)
TABLES = tuple(ABLATIONS)


def plan(table: str, arguments: Sequence[str]) -> str:
    """A shell script that makes and benchmarks the students of a table.

    Args:
        table: one of `TABLES`.
        arguments: of the command line; what the table does not set is handed on.
    """
    given = _handed_on(arguments)
    out = _value(arguments, "--out") or "runs/distill"
    lines = [
        f"# The students of {table} of arXiv 2305.11685, one distillation each, then its three tasks.",
        "# Every command goes on where it was killed. The authors' learning rate is known for ARMHuBERT and",
        "# MaskHuBERT only; the students of Table 2 take ARMHuBERT's.",
    ]
    for variant in ABLATIONS[table]:
        folder = f"{out}/{table}/{variant.folder}"
        distil = [*given, *variant.options, "--out", folder]
        ckpt = shlex.quote(f"{folder}/student.safetensors")
        data = shlex.quote(_value(arguments, "--data") or "DATA")
        lines += ["", f"# {variant.row}", f"{PROGRAM} {shlex.join(distil)}"]
        lines += [
            f"./run_superb.sh armhubert_local {task} --data {data} --ckpt {ckpt} --recipe paper "
            f"--out {shlex.quote(folder)}/superb"
            for task in TASKS
        ]
    places = " ".join(shlex.quote(f"{out}/{table}/{variant.folder}/superb") for variant in ABLATIONS[table])
    lines += [
        "",
        "# The table with these students below the published rows; its notes name each row's checkpoint.",
        f"python -m reports paper {places} --to {shlex.quote(f'{out}/{table}/report')}",
    ]
    return "\n".join(lines)


def _pairs(arguments: Sequence[str]) -> list[tuple[str, str]]:
    """Options and values; every option of `distill` has one."""
    words = [word for argument in arguments for word in _split(argument)]
    return list(zip(words[::2], words[1::2], strict=False))


def _split(argument: str) -> list[str]:
    name, separator, value = argument.partition("=")
    return [name, value] if separator and name.startswith("--") else [argument]


def _handed_on(arguments: Sequence[str]) -> list[str]:
    return [word for pair in _pairs(arguments) if pair[0] not in _OWN for word in pair]


def _value(arguments: Sequence[str], option: str) -> str | None:
    return dict(_pairs(arguments)).get(option)
