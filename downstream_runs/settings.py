"""Where the corpora lie: `--data DIR`, else the variable SUPERB_DATA, else `data = "DIR"` in superb.toml."""

from __future__ import annotations

import importlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.errors import UsageError

CHECKOUT = Path(__file__).resolve().parents[1]
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


def no_data(task: str, corpus: str, folder: Path | None = None) -> UsageError:
    """The error for a task whose corpus nobody has named; `corpus` says what it is and where to get it."""
    places = " and ".join(str(place) for place in dict.fromkeys((folder or Path.cwd(), CHECKOUT)))
    return UsageError(
        f"no data folder is given for {task}, which needs {corpus}: looked at --data, the variable "
        f"{VARIABLE} and {FILE_NAME} in {places}; name the folder with --data DIR, or try the task on "
        "synthetic speech with --demo"
    )


def _existing(path: Path, base: Path, source: str) -> DataRoot:
    path = base / path.expanduser()
    if not path.is_dir():
        found = "is not a folder" if path.exists() else "does not exist"
        raise UsageError(
            f"{path}, named by {source}, {found}: give the folder that holds the corpora (LibriSpeech/ ...) "
            "with --data DIR, or try the task on synthetic speech with --demo"
        )
    return DataRoot(path.resolve(), source)


def _data_of(file: Path) -> Path:
    settings = _read_toml(file)
    unknown = sorted(set(settings) - {"data"})
    if unknown:
        raise UsageError(f'{file} has the unknown key {unknown[0]!r}; the one key is: data = "DIR"')
    data = settings.get("data")
    if not isinstance(data, str) or not data:
        raise UsageError(f'{file} does not name a data folder: write the line data = "DIR" into it')
    return Path(data)


def _read_toml(file: Path) -> dict[str, object]:
    for module in ("tomllib", "tomli"):  # tomllib came with Python 3.11
        try:
            toml = importlib.import_module(module)
        except ModuleNotFoundError:
            continue
        try:
            settings: dict[str, object] = toml.loads(file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:  # TOMLDecodeError and UnicodeDecodeError are ValueErrors
            raise UsageError(f'{file} is no TOML file ({error}): its one line is: data = "DIR"') from error
        return settings
    raise UsageError(
        f"{file} needs the package tomli on Python 3.10: run pip install tomli, or use --data DIR"
    )
