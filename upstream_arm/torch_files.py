"""Read torch's files without running anything that is in them.

A torch file holds pickles, small programs that may name any function and call it. torch's own reader
(`torch.load` with `weights_only=True`) builds tensors and plain values alone and refuses every other name.
For what training programs leave in a checkpoint beside its weights, such as optimisers and configurations
(`_STAND_INS`, `_LEFT_BEHIND`), it gets something empty to build, and nothing of their modules is imported.
"""

from __future__ import annotations

import collections
import pickle
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any

import torch

from upstream_arm.common.errors import UpstreamError


class Inert:
    """Stands for a class of the file: takes any arguments and state, keeps and does nothing."""

    def __new__(cls, *_: object, **__: object) -> Inert:
        """Made of anything."""
        return object.__new__(cls)

    def __setstate__(self, _: object) -> None:
        pass


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

#: The file is read once more for each of these names; a checkpoint of the authors has a dozen.
_MOST = 256


def read_torch(path: Path) -> Any:
    """The content of a torch file: tensors on the CPU, in numbers, texts, lists and dictionaries.

    Tensors of a zip file are views of it on disk, so that those which nobody uses take no memory.
    UpstreamError if it is damaged or no such file, or asks for anything that could run code.
    """
    stand_ins: dict[str, Any] = {}
    try:
        in_place = _check_zip(path)
        while True:
            allowed: list[Any] = [(stand_in, name) for name, stand_in in stand_ins.items()]
            try:
                with warnings.catch_warnings(), torch.serialization.safe_globals(allowed):
                    warnings.simplefilter("ignore")
                    return torch.load(path, map_location="cpu", weights_only=True, mmap=in_place)
            except pickle.UnpicklingError as error:
                # It stops at the first name that it does not know, and writes "builtins.list" as "list".
                asked = re.search(r"\bGLOBAL (\S+)", str(error))
                if asked is None:
                    raise
                name = asked[1] if "." in asked[1] else f"builtins.{asked[1]}"
            known = name in _STAND_INS or name.startswith(_LEFT_BEHIND)
            if name in stand_ins or not known or len(stand_ins) == _MOST:
                raise UpstreamError(
                    f"{path} asks for {name} to be run or built while it is read, which is refused because "
                    "that could execute anything; use a checkpoint of a source that you trust, holding "
                    "weights only"
                )
            stand_ins[name] = _STAND_INS.get(name, Inert)
    except UpstreamError:
        raise
    except Exception as error:  # zipfile and torch's reader raise any kind for damaged files
        reason = str(error).partition("WeightsUnpickler error:")[2].strip() or str(error)
        raise damaged(
            path, f"{type(error).__name__}: {reason.splitlines()[0] if reason else ''}"[:200]
        ) from None


def damaged(path: Path, what: str) -> UpstreamError:
    """The sentence for a file that is cut short or changed."""
    return UpstreamError(
        f"{path} is cut short or damaged, or not written as torch.save does by default ({what}), expected a "
        "whole file; download it again, or save its weights anew"
    )


def _check_zip(path: Path) -> bool:
    """Whether a file is a zip with tensors to be read in place; UpstreamError for one that is not torch's."""
    with path.open("rb") as file:
        if file.read(2) != b"PK":
            return False
    with zipfile.ZipFile(path) as archive:
        if sum(name.rpartition("/")[2] == "data.pkl" for name in archive.namelist()) != 1:
            raise UpstreamError(
                f"{path} is a zip file but not torch's (one data.pkl was expected); give the checkpoint "
                "itself, unpacked"
            )
        if changed := archive.testzip():  # torch looks at no check sum
            raise damaged(path, f"{changed} is not what was written")
        return all(record.compress_type == zipfile.ZIP_STORED for record in archive.infolist())
