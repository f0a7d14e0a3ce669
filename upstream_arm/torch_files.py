"""Read torch's files without running anything that is in them.

A torch file holds pickles, small programs that may name any function and call it. torch's own reader
(`torch.load` with `weights_only=True`) builds tensors and plain values alone. The names that a file asks for
are listed before it is read, which runs nothing:

- `_PLAIN` names are left to that reader;
- for `_STAND_INS` and `_LEFT_BEHIND`, what training programs leave in a checkpoint beside its weights, such
  as optimisers and configurations, something empty is built, and nothing of their modules is imported;
- a file that asks for any other name is refused, and the name is told.
"""

from __future__ import annotations

import _compat_pickle
import collections
import pickletools
import warnings
import zipfile
from pathlib import Path
from typing import IO, Any, Literal

import torch

from upstream_arm.common.errors import UpstreamError


class Inert:
    """Stands for a class of the file: takes any arguments and state, keeps and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Made of anything."""
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


_STORAGES = ("Double", "Float", "Half", "BFloat16", "Long", "Int", "Short", "Char", "Byte", "Bool")
_TYPES = ("float64", "float32", "float16", "bfloat16", "int64", "int32", "int16", "int8", "uint8", "bool")
_PLAIN = frozenset(
    (
        *("torch._utils._rebuild_tensor", "torch._utils._rebuild_tensor_v2", "torch.Size", "torch.device"),
        *("torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state"),
        *(f"torch.{place}{name}Storage" for place in ("", "cuda.") for name in _STORAGES),
        *(f"torch.{name}" for name in _TYPES),
        *("collections.OrderedDict", "collections.Counter", "_codecs.encode"),
        *("builtins.bytearray", "builtins.complex", "builtins.set"),
    )
)

_STAND_INS: dict[str, Any] = {
    # torch's reader fills plain dictionaries and lists alone.
    "collections.defaultdict": lambda *_: collections.OrderedDict(),
    "collections.deque": lambda *_: [],
    "pytorch_lightning.utilities.parsing.AttributeDict": collections.OrderedDict,
    "lightning.pytorch.utilities.parsing.AttributeDict": collections.OrderedDict,
    "lightning_fabric.utilities.data.AttributeDict": collections.OrderedDict,
    "lightning.fabric.utilities.data.AttributeDict": collections.OrderedDict,
    **{f"builtins.{kind.__name__}": Inert for kind in (bool, dict, float, frozenset, int, list, str)},
}

_LEFT_BEHIND = (
    *("s3prl.optimizers.", "s3prl.schedulers.", "torch.optim.", "fairseq."),
    *("pytorch_lightning.", "lightning.", "lightning_fabric.", "omegaconf.", "typing."),
    *("argparse.Namespace", "pathlib.P", "pathlib.WindowsPath"),  # Path, PosixPath and PurePosixPath
    # Scalars and arrays, such as a learning rate or a random state.
    *("numpy.dtype", "numpy.ndarray", "numpy.core.multiarray.", "numpy._core.multiarray."),
)

#: The newest of pickle's protocols that torch's reader takes; torch.save writes 2.
_PROTOCOL = 3
#: torch's files from before 1.6 are five pickles, the first of them torch.serialization.MAGIC_NUMBER, and raw
#: storages.
_OLD_PICKLES = 5


def read_torch(path: Path) -> Any:
    """The content of a torch file: tensors on the CPU, in numbers, texts, lists and dictionaries.

    Tensors of a zip file are views of it on disk, so that those which nobody uses take no memory.
    UpstreamError if it is damaged or no such file, or asks for anything that could run code.
    """
    try:
        kind, names = _asked(path)
        others = [name for name in names if name not in _PLAIN]
        for name in others:
            if name not in _STAND_INS and not name.startswith(_LEFT_BEHIND):
                raise UpstreamError(
                    f"{path} asks for {name} to be run or built while it is read, which is refused because "
                    "that could execute anything; use a checkpoint of a source that you trust, holding "
                    "weights only"
                )
        if kind == "pickle":
            raise UpstreamError(
                f"{path} is a plain pickle, expected a torch or safetensors file; "
                "save its weights with torch.save"
            )
        stand_ins: list[Any] = [(_STAND_INS.get(name, Inert), name) for name in others]
        with warnings.catch_warnings(), torch.serialization.safe_globals(stand_ins):
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True, mmap=kind == "stored zip")
    except UpstreamError:
        raise
    except Exception as error:  # zipfile, pickletools and torch's reader raise any kind for damaged files
        reason = (str(error).splitlines() or [""])[0]
        raise damaged(path, f"{type(error).__name__}: {reason}"[:200]) from None


def damaged(path: Path, what: str) -> UpstreamError:
    """The sentence for a file that is cut short or changed."""
    return UpstreamError(f"{path} is cut short or damaged ({what}), expected a whole file; download it again")


def _asked(path: Path) -> tuple[Literal["stored zip", "zip", "old", "pickle"], list[str]]:
    """The kind of a file, and the names that its pickles ask for."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            file.seek(0)
            names, numbers = _names(file, path)
            if torch.serialization.MAGIC_NUMBER not in numbers:
                return "pickle", names
            for _ in range(_OLD_PICKLES - 1):
                names += _names(file, path)[0]
            return "old", names
    with zipfile.ZipFile(path) as archive:
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise UpstreamError(
                f"{path} is a zip file but not torch's (it holds {len(pickles)} data.pkl, expected 1); "
                "give the checkpoint itself, unpacked"
            )
        if changed := archive.testzip():  # torch looks at no check sum
            raise damaged(path, f"{changed} is not what was written")
        with archive.open(pickles[0]) as pickled:
            names, _ = _names(pickled, path)
        stored = all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())
        return "stored zip" if stored else "zip", names


def _names(file: IO[bytes], path: Path) -> tuple[list[str], list[object]]:
    """The names that the next pickle of a file asks for, in Python 3's spelling, and its large numbers."""
    names: list[str] = []
    numbers: list[object] = []
    for operation, argument, _ in pickletools.genops(file):
        if operation.name in ("GLOBAL", "INST"):
            module, name = str(argument).split(" ", 1)
            names.append(f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}")
        elif operation.name == "LONG1":
            numbers.append(argument)
        elif operation.name == "PROTO" and int(str(argument)) > _PROTOCOL:
            raise UpstreamError(
                f"{path} asks for pickle protocol {argument}, which is not read here; "
                "save it again with torch.save, whose default is protocol 2"
            )
    return names, numbers
