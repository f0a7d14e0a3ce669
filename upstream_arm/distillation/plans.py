"""The students of the paper's Tables 2 to 4 as commands, one each, with the tasks that the tables report."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from types import MappingProxyType

from upstream_arm.common.program import PROGRAM

#: What Tables 2 to 4 report: ASR (WER), ASV (EER), SF (F1 and CER).
TASKS = ("asr", "asv", "sf")

_TABLE2 = "--preset table2_{} --objective layer_to_layer"  # "Masking is not applied here."
_TABLE3 = "--preset maskhubert --hours 100 --objective {} --mask-ratio 0.4"
_TABLE4 = "--preset maskhubert --hours {} --mask-ratio {}"
#: By table the name of each row, the folder of its run, and the options that set it apart.
ABLATIONS = MappingProxyType(
    {
        "table2": (
            ("6by2", "6by2", _TABLE2.format("6by2")),
            ("3by4", "3by4", _TABLE2.format("3by4")),
            ("6by2-up", "6by2_up", _TABLE2.format("6by2_up")),
            ("3by4-up", "3by4_up", _TABLE2.format("3by4_up")),
            ("2by6", "2by6", _TABLE2.format("2by6")),
            ("None", "none", _TABLE2.format("none")),
        ),
        "table3": (
            ("MaskHuBERT-100h", "full", _TABLE3.format("full")),
            ("[-] distil. unmasked part", "masked_only", _TABLE3.format("masked_only")),
            ("[-] distil. from masked input", "unmasked_from_clean", _TABLE3.format("unmasked_from_clean")),
        ),
        "table4": (
            ("MaskHuBERT-960h 0.4", "960h_0.4", _TABLE4.format(960, "0.4")),
            ("MaskHuBERT-960h 0.8", "960h_0.8", _TABLE4.format(960, "0.8")),
            ("MaskHuBERT-100h 0.4", "100h_0.4", _TABLE4.format(100, "0.4")),
            ("MaskHuBERT-100h 0.6", "100h_0.6", _TABLE4.format(100, "0.6")),
            ("MaskHuBERT-100h 0.8", "100h_0.8", _TABLE4.format(100, "0.8")),
            ("MaskHuBERT-100h 0.4:0.8", "100h_0.4-0.8", _TABLE4.format(100, "0.4:0.8")),
        ),
    }
)
TABLES = tuple(ABLATIONS)


def plan(table: str, arguments: Sequence[str]) -> str:
    """A shell script that makes and benchmarks the students of a table, one of `TABLES`.

    What the table does not set of the command line's `arguments` is handed on to every command.
    """
    own = argparse.ArgumentParser(allow_abbrev=False)
    for option in ("--ablation", "--preset", "--hours", "--objective", "--mask-ratio"):
        own.add_argument(option)
    own.add_argument("--out", default="runs/distill")
    options, handed_on = own.parse_known_args(arguments)
    own.add_argument("--data", default="DATA")
    data = shlex.quote(own.parse_known_args(arguments)[0].data)
    folder = f"{options.out}/{table}"
    lines = [
        f"# The students of {table} of arXiv 2305.11685, one distillation each, then its three tasks.",
        "# Every command goes on where it was killed. The authors' learning rate is known for ARMHuBERT and",
        "# MaskHuBERT only; the students of Table 2 take ARMHuBERT's.",
    ]
    for row, name, changes in ABLATIONS[table]:
        words = [*handed_on, *changes.split(), "--out", f"{folder}/{name}"]
        ckpt = shlex.quote(f"{folder}/{name}/student.safetensors")
        lines += ["", f"# {row}", f"python -m upstream_arm distill {shlex.join(words)}"]
        lines += [
            f"{PROGRAM} armhubert_local {task} --data {data} --ckpt {ckpt} --recipe paper "
            f"--out {shlex.quote(f'{folder}/{name}')}/superb"
            for task in TASKS
        ]
    places = " ".join(shlex.quote(f"{folder}/{name}/superb") for _, name, _ in ABLATIONS[table])
    lines += [
        "",
        "# The table with these students below the published rows; its notes name each row's checkpoint.",
        f"python -m reports paper {places} --to {shlex.quote(f'{folder}/report')}",
    ]
    return "\n".join(lines)
