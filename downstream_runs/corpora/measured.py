"""A number for each file of a corpus, such as its length, measured once and kept.

The table has a line `NUMBER SIZE CHANGED_NS NAME` a file and only grows: a file that has changed since gets
another line, and what was killed goes on where it stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from downstream_runs.corpora.audio import AudioFile, AudioProblem
from downstream_runs.corpora.texts import writing
from upstream_arm.common.processes import cores

SAVE_EVERY = 100

_Lines = list[str]


def measure(
    files: Sequence[AudioFile], number_of: Callable[[Path], int], table: Path, what: str
) -> tuple[dict[str, int], list[str]]:
    """`number_of` each file by the file's name, and a sentence for each that gives AudioProblem.

    `table` keeps the numbers; `what` names the work in the progress bar. UsageError where the table cannot be
    written.
    """
    with writing(table):
        known = _read(table)
        numbers = {file.name: known[_key(file)] for file in files if _key(file) in known}
        missing = [file for file in files if file.name not in numbers]
        problems: list[str] = []
        if missing:
            table.parent.mkdir(parents=True, exist_ok=True)
            for file, result in _kept(missing, _results(missing, number_of, what), table):
                if isinstance(result, int):
                    numbers[file.name] = result
                else:
                    problems.append(result)
    return numbers, problems


def _results(
    files: Sequence[AudioFile], number_of: Callable[[Path], int], what: str
) -> Iterator[tuple[AudioFile, int | str]]:
    from tqdm import tqdm

    def one(file: AudioFile) -> int | str:
        try:
            return number_of(file.path)
        except AudioProblem as problem:
            return str(problem)

    # Threads suffice: decoding and numpy's sums run outside the interpreter's lock.
    pool = ThreadPoolExecutor(max_workers=cores())
    try:
        shown = tqdm(pool.map(one, files), total=len(files), desc=what, unit="file", disable=None)
        yield from zip(files, shown, strict=True)
    finally:
        pool.shutdown(cancel_futures=True)


def _kept(
    files: Sequence[AudioFile], results: Iterable[tuple[AudioFile, int | str]], table: Path
) -> Iterator[tuple[AudioFile, int | str]]:
    """The results, saved to the table as they come."""
    fresh: _Lines = []
    with table.open("ab", buffering=0) as save:
        try:
            for file, result in results:
                if isinstance(result, int):
                    fresh.append(f"{result} {_key(file)}\n")
                if len(fresh) == SAVE_EVERY:
                    _save(save.write, fresh)
                yield file, result
        finally:
            _save(save.write, fresh)


def _save(write: Callable[[bytes], object], lines: _Lines) -> None:
    # All at once, so that two runs cannot mix their lines; the newline ends one that a kill left unfinished.
    if lines:
        write(("\n" + "".join(lines)).encode("utf-8", "surrogateescape"))
        lines.clear()


def _key(file: AudioFile) -> str:
    return f"{file.size} {file.changed_ns} {file.name}"


def _read(table: Path) -> dict[str, int]:
    """What earlier runs saved. The last line may be one that a kill cut off: it has no newline."""
    if not table.is_file():
        return {}
    known: dict[str, int] = {}
    *lines, _ = table.read_text(encoding="utf-8", errors="surrogateescape").split("\n")
    for line in lines:
        number, _, key = line.partition(" ")
        if number.isascii() and number.isdigit() and key.count(" ") >= 2:
            known[key] = int(number)
    return known
