"""Where the corpora lie: `--data DIR`, else the variable SUPERB_DATA, else `data = "DIR"` in superb.toml."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from upstream_arm.common import program
from upstream_arm.common.errors import UsageError

CHECKOUT = program.FOLDER
FILE_NAME = "superb.toml"
VARIABLE = "SUPERB_DATA"


@dataclass(frozen=True)
class DataRoot:
    """The folder that holds the corpora, and what named it (for messages)."""

    path: Path
    source: str


def data_root(
    option: Path | None, environment: Mapping[str, str] | None = None, folder: Path | None = None
) -> DataRoot | None:
    """The first of `--data`, SUPERB_DATA and superb.toml (in `folder`, the current one; then the checkout).

    Returns None where none of them names a folder.

    Raises:
        UsageError: the named folder does not exist, or superb.toml cannot be used.
    """
    environment = os.environ if environment is None else environment
    folder = Path.cwd() if folder is None else folder
    if option is not None:
        return _existing(option, folder, "--data")
    if environment.get(VARIABLE):
        return _existing(Path(environment[VARIABLE]), folder, f"the variable {VARIABLE}")
    for place in dict.fromkeys((folder, CHECKOUT)):
        file = place / FILE_NAME
        if file.is_file():
            return _existing(_data_of(file), place, str(file))
    return None


def out_folder(option: Path) -> Path:
    """The folder that `--out` names, absolute; UsageError where a folder cannot be.

    It need not exist: nothing is made.
    """
    folder = _nameable(option.expanduser().absolute(), "--out")
    there = next(place for place in (folder, *folder.parents) if os.path.lexists(place))
    if not there.is_dir():
        raise UsageError(f"{there} is no folder, so --out {option} cannot be one: give another --out")
    return folder


def no_data(task: str, corpus: str, folder: Path | None = None) -> UsageError:
    """The error for a task whose corpus nobody has named; `corpus` says what it is and where to get it."""
    places = " and ".join(str(place) for place in dict.fromkeys((folder or Path.cwd(), CHECKOUT)))
    return UsageError(
        f"no data folder is given for {task}, which needs {corpus}: looked at --data, the variable "
        f"{VARIABLE} and {FILE_NAME} in {places}; name the folder with --data DIR, or try the task on "
        "synthetic speech with --demo"
    )


def _existing(path: Path, base: Path, source: str) -> DataRoot:
    try:
        path = _nameable(base / path.expanduser(), source)
    except RuntimeError as error:  # the home of a user that there is not
        raise UsageError(f"{path}, named by {source}: {error}; write the whole path") from None
    if not path.is_dir():
        found = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(
            f"{path}, named by {source}, {found}: give the folder that holds the corpora (LibriSpeech/ ...) "
            "with --data DIR, or try the task on synthetic speech with --demo"
        )
    return DataRoot(path.resolve(), source)


def _nameable(path: Path, source: str) -> Path:
    """The path itself; UsageError if its name is not UTF-8, since results are and have to name it."""
    try:
        str(path).encode("utf-8")
    except UnicodeEncodeError:
        raise UsageError(
            f"{str(path)!a}, named by {source}, is not UTF-8, and results could not name it: rename it"
        ) from None
    return path


def _data_of(file: Path) -> Path:
    try:
        toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
        settings: dict[str, object] = toml.loads(file.read_text(encoding="utf-8"))
    except ModuleNotFoundError:
        raise UsageError(
            f"{file} needs the package tomli on Python 3.10: run pip install tomli, or use --data DIR"
        ) from None
    # TOMLDecodeError and UnicodeDecodeError are ValueErrors, and so is a number of too many digits.
    except (OSError, ValueError, RecursionError) as error:
        raise UsageError(f'{file} is no TOML file ({error}): its one line is: data = "DIR"') from error
    unknown = sorted(set(settings) - {"data"})
    if unknown:
        raise UsageError(f'{file} has the unknown key {unknown[0]!r}; the one key is: data = "DIR"')
    data = settings.get("data")
    if not isinstance(data, str) or not data:
        raise UsageError(f'{file} does not name a data folder: write the line data = "DIR" into it')
    return Path(data)
