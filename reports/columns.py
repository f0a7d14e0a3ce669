"""The eleven columns of the paper's Table 1, and how their numbers are printed."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Literal

from downstream_runs.core.results import Metric
from upstream_arm.common.errors import ReportError
from upstream_arm.common.words import near

#: The column of MTWV times 100, in rows that are not written as the paper's Table 1 writes them.
QBE_X100 = "qbe_mtwv_x100"


@dataclass(frozen=True)
class Column:
    """A metric in the table.

    key: the column of `published/table1.csv`.
    task: the task that gives it.
    metric: the name of the headline metric in a result of that task.
    header: as printed, with an arrow to the better values.
    group: the paper's group of the task.
    unit, digits: how values are printed.
    """

    key: str
    task: str
    metric: str
    header: str
    group: str
    unit: Literal["percent", "fraction"] = "percent"
    digits: int = 2

    @property
    def better(self) -> Literal["lower", "higher"]:
        """Which values are better, as the header's arrow says."""
        return "lower" if self.header.endswith("↓") else "higher"

    @property
    def name(self) -> str:
        """The header without its arrow: "PR PER"."""
        return self.header[:-2]

    def source(self, names: Collection[str]) -> tuple[str, int]:
        """Where rows with columns of these names have the value, and what makes it percent.

        QbE's MTWV stands there as a fraction or, under another name, times 100.
        """
        if self.key == "qbe_mtwv" and QBE_X100 in names:
            return QBE_X100, 1
        return self.key, 1 if self.unit == "percent" else 100

    def in_unit(self, percent: float) -> float:
        """A value given in percent, in this column's unit."""
        return percent if self.unit == "percent" else percent / 100

    def text(self, percent: float) -> str:
        """A value given in percent, in this column's unit and digits."""
        return f"{self.in_unit(percent):.{self.digits}f}"

    def show(self, metric: Metric) -> str:
        """The metric's value in this column's unit and digits, whichever unit it was stored in."""
        return self.text(in_percent(metric))


def in_percent(metric: Metric) -> float:
    """The metric's value times 100 if it is stored as a fraction."""
    return metric.value if metric.unit == "percent" else metric.value * 100


# Order, groups, units and digits: arXiv 2305.11685 Table 1.
COLUMNS = (
    Column("pr_per", "pr", "per", "PR PER ↓", "Content"),
    Column("asr_wer", "asr", "wer", "ASR WER ↓", "Content"),
    Column("ks_acc", "ks", "acc", "KS Acc ↑", "Content"),
    Column("qbe_mtwv", "qbe", "mtwv", "QbE MTWV ↑", "Content", unit="fraction", digits=4),
    Column("sid_acc", "sid", "acc", "SID Acc ↑", "Speaker"),
    Column("asv_eer", "asv", "eer", "ASV EER ↓", "Speaker"),
    Column("sd_der", "sd", "der", "SD DER ↓", "Speaker"),
    Column("ic_acc", "ic", "acc", "IC Acc ↑", "Semantics"),
    Column("sf_f1", "sf", "slot_type_f1", "SF F1 ↑", "Semantics"),
    Column("sf_cer", "sf", "slot_value_cer", "SF CER ↓", "Semantics"),
    Column("er_acc", "er", "acc", "ER Acc ↑", "Paralinguistics"),
)
BY_KEY = {column.key: column for column in COLUMNS}
TASKS = tuple(dict.fromkeys(column.task for column in COLUMNS))


def of_tasks(tasks: Iterable[str]) -> tuple[Column, ...]:
    """The columns of these tasks in the table's order. ReportError for a name that is no task."""
    wanted = set(tasks)
    for task in sorted(wanted - set(TASKS)):
        meant = near(task.lower(), TASKS)
        raise ReportError(f"{task!r} is no task of the table, one of {', '.join(TASKS)} was expected{meant}")
    return tuple(column for column in COLUMNS if column.task in wanted)
