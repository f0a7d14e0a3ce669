"""The test items and trials beside a result, from which its numbers are computed again and resampled.

`items.csv` (columns metric, split, item, group, numerator, denominator): a metric is the sum of its
numerators over that of its denominators. `trials.csv` (split, item, group, label, score, and `count` where
rows stand for several trials): EER and MTWV, which are no such quotient. A task with folds has its files in
`fold1/`, `fold2/`, ..., one stratum each, and is the mean of them. `group` is what is resampled as one: the
speaker where the corpus names one, for trials the enrolled speaker or the query, else the item itself.
"""

from __future__ import annotations

import hashlib
import io
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from downstream_runs.core.results import Metric, Result
from downstream_runs.core.run_folder import ITEMS, TRIALS, is_fold
from downstream_runs.scoring.names import ScoringError
from reports.columns import COLUMNS, in_percent
from reports.items import ScoredItems, Stratum
from reports.statistics import trials as statistics
from upstream_arm.common.errors import ReportError
from upstream_arm.common.reading import TABLE_BYTES, read_bytes

if TYPE_CHECKING:
    import pandas

Places: TypeAlias = NDArray[np.integer[Any]]

ITEM_COLUMNS = ("metric", "split", "item", "group", "numerator", "denominator")
TRIAL_COLUMNS = ("split", "item", "group", "label", "score", "count")
KINDS: Mapping[str, Any] = {
    **dict.fromkeys(("metric", "split", "group"), "category"),  # few texts, each in many rows
    "item": object,
    **dict.fromkeys(("numerator", "denominator", "score"), float),
    **dict.fromkeys(("label", "count"), int),
}
BY_TRIALS = frozenset({"asv_eer", "qbe_mtwv"})
#: Bytes of a table above which it is parsed in parts, which is slower and takes less memory.
PARTS = 1 << 20
#: Of a word of eight bytes, lowest first: its first bytes, by how many they are.
FIRST_BYTES = np.array([(1 << 8 * count) - 1 for count in range(9)], np.uint64)
#: How far a recomputed number may be from the reported one, in percent points. For trials wider: scorers
#: interpolate and round scores differently.
TOLERANCE = 1e-6
TRIAL_TOLERANCE = 0.05


def items_of(
    runs: Iterable[tuple[Path, Result]], named: bool = True
) -> tuple[dict[str, ScoredItems], list[str]]:
    """Column key -> the test items or trials beside the results of a system, and what is wrong with them.

    A metric without file is absent, which is no problem: many results have none. named: with the names of
    the single items, which only pairing needs and which are most of the memory.
    """
    usable: dict[str, ScoredItems] = {}
    problems: list[str] = []
    for path, result in runs:
        for column in (column for column in COLUMNS if column.task == result.task):
            metric = result.headline(column.metric)
            try:
                strata = () if metric is None else _strata(path.parent, column.key, result, metric, named)
                if metric is not None and strata:
                    scored = ScoredItems(column.key, result.task, strata)
                    _check_value(path, scored, metric)
                    usable[column.key] = scored
            except ReportError as error:
                problems.append(str(error))
    return usable, list(dict.fromkeys(problems))


def of_metric(
    path: Path, result: Result, metric: Metric, key: str, named: bool = False
) -> ScoredItems | None:
    """What a metric comes from, under the key of a column, its own or one like it; None if that is not kept.

    named: as of `items_of`. ReportError for damaged ones.
    """
    strata = _strata(path.parent, key, result, metric, named)
    if not strata:
        return None
    scored = ScoredItems(key, result.task, strata)
    _check_value(path, scored, metric)
    return scored


def _strata(folder: Path, key: str, result: Result, metric: Metric, named: bool) -> tuple[Stratum, ...]:
    """What a metric was computed from; nothing where a file of it is absent, or a fold's."""
    name, columns = (TRIALS, TRIAL_COLUMNS) if key in BY_TRIALS else (ITEMS, ITEM_COLUMNS)
    files = [folder / name]
    if key not in BY_TRIALS and not files[0].is_file():
        folds = sorted(entry.name for entry in folder.iterdir() if is_fold(entry.name))
        files = [folder / fold / name for fold in folds]
    if not files or not all(file.is_file() for file in files):
        return ()
    needed = [name for name in columns if named or name != "item"]
    # A fold's split may be called after the fold, so that only a file of its own is searched for it.
    wanted = {"metric": metric.name, **({"split": metric.split} if len(files) == 1 else {})}
    strata = tuple(_stratum(file, result, needed, wanted) for file in files)
    return strata if all(len(stratum["group"]) for stratum in strata) else ()


def recomputed(scored: ScoredItems) -> float:
    """The metric in percent, from its items or trials."""
    if scored.of_trials:
        return statistics.point(scored)
    with np.errstate(invalid="ignore", divide="ignore"):
        rates = [np.sum(one["numerator"]) / np.sum(one["denominator"]) for one in scored.strata]
    return 100 * float(np.mean(rates))


def _check_value(path: Path, scored: ScoredItems, metric: Metric) -> None:
    name, tolerance = (TRIALS, TRIAL_TOLERANCE) if scored.of_trials else (ITEMS, TOLERANCE)
    file, reported = path.parent / name, in_percent(metric)
    try:
        value = recomputed(scored)
    except ScoringError as error:
        raise ReportError(f"{file}: {error}") from None
    if not math.isclose(value, reported, rel_tol=1e-9, abs_tol=tolerance):
        raise ReportError(
            f"{file}: {metric.name} is {value:.4f} from it but {reported:.4f} in {path.name}: "
            "it gives no interval; run the task again with --rerun always"
        )


def _stratum(file: Path, result: Result, columns: Sequence[str], wanted: Mapping[str, str]) -> Stratum:
    """The rows of a file that have the wanted cells, where it has such columns.

    Raises ReportError for a file that is not the run's own or not such a table.
    """
    try:
        content = read_bytes(file, TABLE_BYTES)
        expected = result.artefacts.get(file.name)
        if expected is not None and hashlib.sha256(content).hexdigest() != expected:
            raise ReportError(
                f"{file} is not the file that the run wrote (its SHA-256 differs): it gives no interval; "
                "run the task again with --rerun always"
            )
        return _columns(_table(content, columns), wanted)
    except (OSError, OverflowError, ValueError) as error:
        raise ReportError(
            f"{file} cannot be used ({error}), a CSV file of the run with the columns {', '.join(columns)} "
            "was expected"
        ) from None


def _table(content: bytes, columns: Sequence[str]) -> pandas.DataFrame:
    """These columns of a CSV file; the count of trials may be absent. ValueError for what is none."""
    import pandas

    head = content[: content.find(b"\n") + 1].decode().strip().split(",")
    quoted = b'"' in content
    # Texts by the hundred thousand take longer than all numbers; only their hashes are wanted.
    plain = not quoted and b"\r" not in content and "item" in columns and "item" in head
    wanted = {*columns} - ({"item"} if plain else set()) - ({"count"} - {*head})
    # Before 3.1 the usual way to read a number could miss its last bit; since, it is the only way.
    old = tuple(map(int, pandas.__version__.split(".")[:2])) < (3, 1)
    exact: Mapping[str, Any] = {"float_precision": "round_trip"} if old else {}
    table = pandas.read_csv(
        io.BytesIO(content),
        # A cell too many is an error only where all are read.
        usecols=None if quoted else [name for name in columns if name in wanted],
        dtype=KINDS,
        na_filter=False,
        skip_blank_lines=False,
        low_memory=len(content) > PARTS,
        **exact,
    )
    commas = int(np.count_nonzero(np.frombuffer(content, np.uint8) == ord(",")))
    cells = 0 if quoted else commas + table.shape[0] + 1
    if not isinstance(table.index, pandas.RangeIndex) or cells not in (0, len(head) * (table.shape[0] + 1)):
        raise ValueError("its rows have different numbers of cells")
    if plain:
        table["item"] = _hashes(content, *_cells(content, head.index("item"), len(head), table.shape[0]))
    elif "item" in table:
        names = [name.encode() for name in table["item"]]
        lengths = np.fromiter(map(len, names), np.int64, len(names))
        stops = np.cumsum(lengths)
        table["item"] = _hashes(b"".join([*names, bytes(8)]), stops - lengths, stops)
    return table


def _cells(content: bytes, column: int, width: int, rows: int) -> tuple[Places, Places]:
    """Where the cells of a column start and end in content without quotes, whose first row are names.

    ValueError for rows of different numbers of cells.
    """
    signs = np.frombuffer(content, np.uint8)
    found = []
    for start in range(0, len(content), PARTS):
        part = signs[start : start + PARTS]
        places = np.flatnonzero((part == ord(",")) | (part == ord("\n")))
        found.append((start + places).astype(np.int32))  # a table has at most TABLE_BYTES
    found.append(np.array([len(content)], np.int32))  # the last row need not have a line end
    ends = np.concatenate(found)[: (rows + 1) * width]
    if not (signs[ends[width - 1 :: width][:-1]] == ord("\n")).all():
        raise ValueError("its rows have different numbers of cells")
    first = width + column
    return ends[first - 1 : -1 : width] + 1, ends[first::width]


def _hashes(content: bytes, starts: Places, stops: Places) -> NDArray[np.uint64]:
    """64 bits of a hash of each part of the content, which has 8 bytes or more.

    Each word of eight bytes is mixed in as SplitMix64 (Steele, Lea and Flood 2014) mixes its counter.
    """
    words = np.ndarray(len(content) - 7, "<u8", content, strides=(1,))  # one begins at every byte
    lengths = stops - starts
    found = lengths.astype(np.uint64)
    for done in range(0, int(lengths.max(initial=0)), 8):
        rows = np.flatnonzero(lengths > done)
        places = starts[rows] + done
        over = np.maximum(places - len(words) + 1, 0)  # by how much a word would reach over the end
        part = words[places - over] >> (8 * over).astype(np.uint64)
        mixed = found[rows] ^ (part & FIRST_BYTES[np.minimum(lengths[rows] - done, 8)])
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        found[rows] = mixed ^ (mixed >> np.uint64(31))
    return found


def _columns(table: pandas.DataFrame, wanted: Mapping[str, str]) -> Stratum:
    """The rows of a table that have the wanted cells, as a stratum."""
    rows = np.ones(len(table), bool)
    for name in wanted.keys() & set(table):
        rows &= (table[name] == wanted[name]).to_numpy()
    stratum: dict[str, Any] = {
        name: table[name].to_numpy()[rows] for name in map(str, table) if KINDS.get(name) in (float, int)
    }
    texts, places = table["group"].cat.categories.to_numpy(object), table["group"].cat.codes.to_numpy()[rows]
    used = np.flatnonzero(np.bincount(places, minlength=len(texts)))
    stratum["names"], order = np.unique(texts[used], return_inverse=True)
    place = np.zeros(len(texts), np.int32)
    place[used] = order
    stratum["group"] = place[places]
    if "item" in table:
        stratum["item"] = table["item"].to_numpy()[rows]
    if "score" in table and "count" not in table:
        stratum["count"] = np.ones(len(places), np.int64)
    return stratum
