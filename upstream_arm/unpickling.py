"""Read torch's zip files without running anything that is in them.

A torch file is a zip with one pickle (`data.pkl`) and one raw record a tensor storage. A pickle is a
small program that may name any function and call it. The unpickler here never imports what a pickle
names. A name is one of three things:

- in `_KNOWN`: it stands for a class or a string of this module, which only writes down what it is given
  (a tensor becomes a `TensorRecord`: storage, offset, shape, stride);
- harmless by `_INERT_NAMES` or `_INERT_PREFIXES` (optimiser and configuration classes that training
  programs leave behind): it stands for an `Inert` class, which takes anything and keeps nothing;
- anything else: the file is refused.

Tensor data is read afterwards, record by record, for the tensors that are wanted. So a teacher in the
same file is never read.
"""

from __future__ import annotations

import _compat_pickle
import contextlib
import math
import pickle
import sys
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from upstream_arm.common.errors import UpstreamError

if TYPE_CHECKING:
    from torch import Tensor


class StorageRecord(NamedTuple):
    """A raw record of the file: its key, torch's name of the element type, number of elements."""

    key: str
    dtype: str
    elements: int


class TensorRecord(NamedTuple):
    """A tensor as written in a file: a strided view of a storage, in elements."""

    storage: StorageRecord
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Inert:
    """Stands for a class of the file: takes any arguments, state and items, keeps and does nothing.

    The methods are static, so that they do nothing for the class itself as well: a pickle may address it.
    """

    __slots__ = ()

    def __new__(cls, *_: object, **__: object) -> Any:
        return object.__new__(cls)

    @staticmethod
    def __setstate__(*_: object) -> None:
        pass

    @staticmethod
    def __setitem__(*_: object) -> None:
        pass

    append = extend = add = __setstate__

    def __repr__(self) -> str:
        return f"<{type(self).__name__}, not read>"


class _Tensor(Inert):
    """torch's functions that rebuild a tensor from a storage."""

    def __new__(cls, storage: object, offset: Any, shape: Any, stride: Any, *_: object) -> Any:
        if not isinstance(storage, StorageRecord):
            raise pickle.UnpicklingError("a tensor without a storage")
        return TensorRecord(storage, offset, tuple(shape), tuple(stride))


class _Parameter(Inert):
    """torch's functions that wrap a tensor as a parameter."""

    def __new__(cls, tensor: object, *_: object) -> Any:
        return tensor


class _Mapping(dict[Any, Any]):
    """Dictionaries of other kinds; what they are made from is dropped, their items are kept."""

    def __init__(self, *_: object) -> None:
        super().__init__()

    @staticmethod
    def __setstate__(*_: object) -> None:
        pass


_ELEMENTS = {
    "Double": "float64",
    "Float": "float32",
    "Half": "float16",
    "BFloat16": "bfloat16",
    "Long": "int64",
    "Int": "int32",
    "Short": "int16",
    "Char": "int8",
    "Byte": "uint8",
    "Bool": "bool",
}

_KNOWN: dict[str, Any] = {
    "torch._utils._rebuild_tensor": _Tensor,
    "torch._utils._rebuild_tensor_v2": _Tensor,
    "torch._utils._rebuild_parameter": _Parameter,
    "torch._utils._rebuild_parameter_with_state": _Parameter,
    "collections.OrderedDict": _Mapping,
    "collections.defaultdict": _Mapping,
    "collections.Counter": _Mapping,
    "pytorch_lightning.utilities.parsing.AttributeDict": _Mapping,
    "lightning.pytorch.utilities.parsing.AttributeDict": _Mapping,
    "lightning_fabric.utilities.data.AttributeDict": _Mapping,
    "lightning.fabric.utilities.data.AttributeDict": _Mapping,
    **{f"torch.{name}Storage": dtype for name, dtype in _ELEMENTS.items()},
    **{f"torch.cuda.{name}Storage": dtype for name, dtype in _ELEMENTS.items()},
}

_BUILTIN_DATA = ("bool", "bytearray", "complex", "dict", "float", "frozenset", "int", "list", "set", "str")

_INERT_NAMES = frozenset(
    {
        "argparse.Namespace",
        "collections.deque",
        "pathlib.Path",
        "pathlib.PosixPath",
        "pathlib.PurePosixPath",
        "pathlib.WindowsPath",
        "torch.Size",
        "torch.device",
        *(f"torch.{dtype}" for dtype in _ELEMENTS.values()),
        # numpy scalars and arrays, such as a learning rate or a random state
        "_codecs.encode",
        "numpy.dtype",
        "numpy.ndarray",
        "numpy.core.multiarray.scalar",
        "numpy.core.multiarray._reconstruct",
        "numpy._core.multiarray.scalar",
        "numpy._core.multiarray._reconstruct",
        *(f"builtins.{name}" for name in _BUILTIN_DATA),
    }
)

_INERT_PREFIXES = (
    "s3prl.optimizers.",
    "s3prl.schedulers.",
    "torch.optim.",
    "omegaconf.",
    "pytorch_lightning.",
    "lightning.",
    "lightning_fabric.",
    "fairseq.",
    "typing.",
)


class _Asked(Exception):
    """The pickle asked for a name that is not on the lists above."""


class _Unpickler(pickle.Unpickler):
    """Resolves names by the lists of this module only; nothing is imported."""

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file)
        self._placeholders: dict[str, type[Inert]] = {}

    def find_class(self, module: str, name: str) -> Any:
        # Pickles of torch's usual protocol give modules by their Python 2 names.
        asked = f"{_compat_pickle.IMPORT_MAPPING.get(module, module)}.{name}"
        if asked in _KNOWN:
            return _KNOWN[asked]
        if asked in _INERT_NAMES or asked.startswith(_INERT_PREFIXES):
            # One class a name: Lightning keyed dictionaries by classes once.
            return self._placeholders.setdefault(asked, type(asked, (Inert,), {"__slots__": ()}))
        raise _Asked(asked)

    def persistent_load(self, pid: Any) -> StorageRecord:
        if isinstance(pid, tuple) and len(pid) >= 5:
            kind, dtype, key, _, elements = pid[:5]
            if kind == "storage" and dtype in _ELEMENTS.values() and type(elements) is int:
                return StorageRecord(str(key), dtype, elements)
        raise pickle.UnpicklingError("a storage of an unknown kind")


def unpickle(file: IO[bytes], path: Path) -> Any:
    """Read one pickle; tensors become `TensorRecord`, foreign classes `Inert`.

    Args:
        file: positioned at the pickle; afterwards behind it.
        path: the checkpoint's name, for messages.

    Raises:
        UpstreamError: if it asks for anything that could run code, or is damaged.
    """
    try:
        return _Unpickler(file).load()
    except _Asked as asked:
        raise UpstreamError(
            f"{path} asks for {asked} to be run or built while it is read, which is refused because that "
            "could execute anything; use a checkpoint of a source that you trust, holding weights only"
        ) from None
    except Exception as error:  # the pickle module documents that a damaged pickle may raise anything
        raise damaged(path, f"its pickle cannot be read: {type(error).__name__}") from None


def damaged(path: Path, found: str) -> UpstreamError:
    """The sentence for a file that is cut short or changed."""
    return UpstreamError(
        f"{path} is cut short or damaged ({found}), expected a whole file; download it again"
    )


class TorchZip:
    """An open torch file.

    Attributes:
        content: the pickled object, with `TensorRecord` for every tensor.
    """

    def __init__(self, archive: zipfile.ZipFile, path: Path) -> None:
        self._archive = archive
        self._path = path
        pickles = [name for name in archive.namelist() if name.rpartition("/")[2] == "data.pkl"]
        if len(pickles) != 1:
            raise UpstreamError(
                f"{path} is a zip file but not torch's (it holds {len(pickles)} data.pkl, expected 1); "
                "give the checkpoint itself, unpacked"
            )
        self._root = pickles[0].removesuffix("data.pkl")
        order = self._root + "byteorder"
        if order in archive.namelist() and archive.read(order) != sys.byteorder.encode():
            raise UpstreamError(
                f"{path} was written on a machine of the other byte order; convert it there to safetensors"
            )
        with archive.open(pickles[0]) as file:
            self.content = unpickle(file, path)

    def tensor(self, record: TensorRecord) -> Tensor:
        """Read one tensor.

        Raises:
            UpstreamError: if its data is missing, damaged or smaller than it claims.
        """
        import torch

        storage, offset, shape, stride = record
        wrong = damaged(self._path, f"record {storage.key} does not hold its tensor")
        try:
            data = bytearray(self._archive.read(f"{self._root}data/{storage.key}"))
            flat = torch.frombuffer(data, dtype=getattr(torch, storage.dtype)) if data else torch.empty(0)
            # The size is bounded before anything of it is allocated.
            fits = flat.numel() == storage.elements >= math.prod(shape)
            view = flat.as_strided(shape, stride, offset) if fits else None
        except (KeyError, TypeError, ValueError, RuntimeError, OverflowError):
            raise wrong from None
        if view is None:
            raise wrong
        whole = view.is_contiguous() and view.numel() == flat.numel()
        return view if whole else view.clone()


@contextlib.contextmanager
def open_zip(path: Path) -> Iterator[TorchZip]:
    """Open a torch zip file for reading.

    Raises:
        UpstreamError: if it is not one, is damaged, or asks for anything that could run code.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            yield TorchZip(archive, path)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:
        raise damaged(path, str(error) or type(error).__name__) from None
