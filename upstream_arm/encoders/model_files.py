"""The files of a model of transformers, as `save_pretrained` writes them and the hub has them."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import file_identity, read_json

CONFIG = "config.json"
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
"""The first that there is counts, whole or in parts that an index lists."""

Get = Callable[[str], Path | None]
"""The path of a file of the model by its name; None where the model has none of that name."""


@dataclass(frozen=True)
class ModelFiles:
    """What of a model is used.

    code: the files with code of the model's own, which its configuration asks for; none without that.
    """

    folder: Path
    settings: tuple[Path, ...]
    weights: tuple[Path, ...]
    code: tuple[Path, ...] = ()

    def sha256(self) -> str:
        """SHA-256 over the names and contents of all files."""
        return _listing((*self.settings, *self.weights, *self.code))

    def weights_sha256(self) -> str:
        """SHA-256 of the file of weights; of their names and hashes where they are several."""
        return _sha256(self.weights[0]) if len(self.weights) == 1 else _listing(self.weights)


@dataclass(frozen=True)
class Settings:
    """The files of a model's settings, and whether they ask for code of its own."""

    files: tuple[Path, ...]
    asks_for_code: bool


def settings(get: Get, where: str, trust_remote_code: bool) -> Settings:
    """The settings of the model at `where`; UsageError as `find`."""
    config = get(CONFIG)
    if config is None:
        raise UsageError(
            f"{where} has no {CONFIG}, expected a model of transformers as save_pretrained writes it"
        )
    preprocessor = next((path for name in PREPROCESSORS if (path := get(name)) is not None), None)
    files = (config,) if preprocessor is None else (config, preprocessor)
    asked = [name for path in files for name in _auto_map(path, where)]
    if asked and not trust_remote_code:
        raise UsageError(
            f"{where} brings code of its own ({asked[0]}), which is not run unasked: read that code, then "
            "add --trust-remote-code, or use another model"
        )
    if foreign := [name for name in asked if "--" in name]:
        raise UsageError(
            f"{where} takes code from another repository ({foreign[0]}), whose revision nothing pins: put "
            "its files beside the model's in a folder and name that"
        )
    return Settings(files, bool(asked))


def find(get: Get, where: str, trust_remote_code: bool, code: Callable[[], Iterable[Path]]) -> ModelFiles:
    """The files of the model at `where`, its weights last.

    code: gives its files of code. UsageError for a folder that is no model, for one without weights that are
    read here, and for one that brings code which nobody allowed to run.
    """
    found = settings(get, where, trust_remote_code)
    own = tuple(sorted(code())) if found.asks_for_code else ()
    return ModelFiles(found.files[0].parent, found.files, _weights(get, where), own)


def in_folder(folder: Path, trust_remote_code: bool) -> ModelFiles:
    """The model in a folder; UsageError as `find`."""

    def get(name: str) -> Path | None:
        return folder / name if (folder / name).is_file() else None

    return find(get, str(folder), trust_remote_code, lambda: folder.glob("*.py"))


def _weights(get: Get, where: str) -> tuple[Path, ...]:
    for name in WEIGHTS:
        if whole := get(name):
            return (whole,)
        index = get(f"{name}.index.json")
        if index is not None:
            return _parts(get, index, where)
    raise UsageError(f"{where} has no weights that are read here, expected {' or '.join(WEIGHTS)}")


def _parts(get: Get, index: Path, where: str) -> tuple[Path, ...]:
    listed = (read_json(index) or {}).get("weight_map")
    names = sorted(set(map(str, listed.values()))) if isinstance(listed, dict) else []
    if not names or not all(re.fullmatch(r"\w[\w.-]*", name) for name in names):
        raise UsageError(f"{index.name} of {where} lists no files of weights, expected a weight_map")
    found = {name: get(name) for name in names}
    if missing := [name for name, path in found.items() if path is None]:
        raise UsageError(f"{where} lacks {missing[0]}, which {index.name} lists: get it, or the whole again")
    return tuple(path for path in found.values() if path is not None)


def _auto_map(path: Path, where: str) -> list[str]:
    """The classes of the model's own that a file of settings asks for."""
    settings = read_json(path)
    if settings is None:
        raise UsageError(f"{path.name} of {where} is no JSON object, expected a model of transformers")
    inner = settings.get("feature_extractor")
    maps = [one.get("auto_map") for one in (settings, inner) if isinstance(one, dict)]
    values = [value for one in maps if isinstance(one, dict) for value in one.values()]
    flat = [one for value in values for one in (value if isinstance(value, list) else [value])]
    return [str(one) for one in flat if one is not None] or [str(one) for one in maps if one]


def _listing(files: Iterable[Path]) -> str:
    lines = (f"{path.name} {_sha256(path)}" for path in files)
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _sha256(path: Path) -> str:
    found = file_identity(str(path))
    assert found is not None
    return found
