"""What an upstream's features come from beside its weights: the code that computes them, and its options.

Features that are found again in a later process must be those that this process would compute. So their key
holds the text of the code, and everything that the upstream's objects were made with. Where that cannot be
told, nothing is found again.
"""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.machinery
import importlib.metadata
import logging
import platform
import sys
import sysconfig
import types
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

PLAIN = (type(None), bool, int, float, complex, str, bytes, Path, range, slice, type(Ellipsis))
PACKAGES = ("torch", "torchaudio", "numpy", "s3prl", "transformers", "fairseq", "superb-arm")
"""Whose versions count for every upstream; those of installed packages that its code imports count too."""
HOOKS = ("_forward_hooks", "_forward_pre_hooks")


class Unknown(Exception):
    """Something of the upstream that no text describes; its text says what."""


def identity(upstream: Any, entry: Any) -> str:
    """SHA-256 over code, options and package versions of an upstream that the function `entry` built.

    Code of files that are not of an installed package counts with all such files that it imports, code of an
    installed package with its version and the files of its folder. Raises Unknown where a class has no file,
    or an option is an object that cannot be read.
    """
    found = _Description()
    found.add(entry, "entry")
    found.add(upstream, "upstream")
    code = found.code()
    lines = [f"python {platform.python_version()}", *map(_version, PACKAGES), *found.options, *code]
    return hashlib.sha256("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest()


class _Description:
    """Collects an object's options and the modules of its code, each object once."""

    def __init__(self) -> None:
        self.options: list[str] = []
        self._modules: set[str] = set()
        self._seen: dict[int, tuple[int, Any]] = {}  # the objects too, so that no id is used again

    def code(self) -> list[str]:
        """The files of the modules, with the hashes of their contents, and versions of packages."""
        files = _Files()
        for name in sorted(self._modules):
            module = sys.modules.get(name)
            path = getattr(module, "__file__", None)
            if path is None:
                if name in sys.builtin_module_names or name in sys.stdlib_module_names:
                    continue
                raise Unknown(f"the code of module {name} is in no file")
            files.add(Path(path), name.partition(".")[0])
        return files.lines()

    def add(self, value: Any, where: str) -> None:
        if isinstance(value, PLAIN):
            self.options.append(f"{where} = {value!r}")
        elif id(value) in self._seen:
            self.options.append(f"{where} = object {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value
            self._add_object(value, where)

    def _add_object(self, value: Any, where: str) -> None:
        import numpy as np
        import torch
        from torch.utils.hooks import RemovableHandle

        if isinstance(value, torch.Tensor):
            self.options.append(f"{where} = tensor {_hash(value.detach().cpu())}")
        elif isinstance(value, np.ndarray) and not value.dtype.hasobject:
            self.options.append(f"{where} = array {value.shape} {value.dtype} {_sha256(value.tobytes())}")
        elif isinstance(value, (torch.dtype, torch.device, torch.Size, np.generic, np.dtype)):
            self.options.append(f"{where} = {value!r}")
        elif isinstance(value, Mapping):
            for number, (key, item) in enumerate(value.items()):
                self.add(key, f"{where}.key{number}")
                self.add(item, f"{where}[{number}]")
        elif isinstance(value, (list, tuple)):
            self._each(value, where)
        elif isinstance(value, (set, frozenset)):
            self._each(sorted(value, key=repr), where)
        elif isinstance(value, (RemovableHandle, logging.Logger)):
            pass  # neither computes anything
        elif isinstance(value, types.ModuleType):
            self._modules.add(value.__name__)
        elif (callable(value) and not hasattr(value, "__dict__")) or isinstance(value, types.MethodType):
            self._method(value, where)
        elif isinstance(value, (type, types.FunctionType)):
            self._function(value, where)
        elif isinstance(value, functools.partial):
            self._each((value.func, value.args, value.keywords), where)
        else:
            self._instance(value, where)

    def _each(self, values: Any, where: str) -> None:
        self.options.append(f"{where}: {type(values).__qualname__} of {len(values)}")
        for number, item in enumerate(values):
            self.add(item, f"{where}[{number}]")

    def _method(self, value: Any, where: str) -> None:
        """A bound method, or a function of compiled code, which is known by its package's version."""
        if isinstance(value, types.MethodType):
            self._each((value.__func__, value.__self__), where)
        elif isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
            self.options.append(f"{where} = {getattr(value, '__module__', None)} {value.__qualname__}")
        else:
            raise Unknown(f"{where} is a {type(value).__qualname__}")

    def _function(self, value: Any, where: str) -> None:
        self.options.append(f"{where} = {value.__module__}.{value.__qualname__}")
        self._modules.add(value.__module__)
        if isinstance(value, type):
            self._modules.update(base.__module__ for base in value.__mro__)
            return
        for cell in value.__closure__ or ():
            try:
                self.add(cell.cell_contents, f"{where}.closure")
            except ValueError:  # a name that is not bound yet
                continue
        self.add(value.__defaults__, f"{where}.defaults")
        self.add(value.__kwdefaults__, f"{where}.kwdefaults")

    def _instance(self, value: Any, where: str) -> None:
        import torch

        self.add(type(value), f"{where}.class")
        attributes = getattr(value, "__dict__", None)
        if attributes is None or type(value).__module__ in sys.builtin_module_names:
            raise Unknown(f"{where} is a {type(value).__qualname__}")
        if isinstance(value, torch.nn.Module):
            # Without torch's own; persistent tensors are in the weights' hash.
            left_out = set(vars(torch.nn.Module())) - {"_buffers", "_modules", *HOOKS}
            attributes = {name: held for name, held in attributes.items() if name not in left_out}
            # Their keys count up in a process.
            attributes |= {name: dict(enumerate(attributes[name].values())) for name in HOOKS}
        for name in sorted(attributes):
            self.add(attributes[name], f"{where}.{name}")


class _Files:
    """Source files and what they import."""

    def __init__(self) -> None:
        self._hashes: dict[Path, str] = {}
        self._packages: set[str] = set()
        self._installed = tuple(
            Path(path).resolve()
            for name in ("purelib", "platlib", "stdlib", "platstdlib")
            if (path := sysconfig.get_path(name))
        )

    def lines(self) -> list[str]:
        """Hashes in the order of the files, without their folders: a checkout may be moved."""
        return [*sorted(self._hashes.values()), *(_version(name) for name in sorted(self._packages))]

    def add(self, path: Path, package: str) -> None:
        """A file of the code of an upstream."""
        path = path.resolve()
        if not self._is_installed(path):
            self._follow(path)
            return
        self._packages.add(package)
        if package != "torch" and package not in sys.stdlib_module_names:
            for beside in sorted(path.parent.glob("*.py")):
                self._read(beside)

    def _is_installed(self, path: Path) -> bool:
        return any(path.is_relative_to(folder) for folder in self._installed)

    def _read(self, path: Path) -> bytes | None:
        """The content of a file that was not read before."""
        if path in self._hashes:
            return None
        try:
            content = path.read_bytes()
        except OSError as error:
            raise Unknown(f"{path} cannot be read: {error.strerror}") from None
        self._hashes[path] = f"{path.name} {_sha256(content)}"
        return content

    def _follow(self, path: Path) -> None:
        waiting = [path]
        while waiting:
            path = waiting.pop().resolve()
            content = self._read(path)
            if content is None or path.suffix != ".py":
                continue
            for level, name in _imports(content):
                waiting += self._files_of(level, name, path.parent)

    def _files_of(self, level: int, name: str, folder: Path) -> Iterator[Path]:
        """The files behind an import, of a module and of the packages that it is in."""
        parts = name.split(".") if name else []
        if level:
            places = [folder if level == 1 else folder.parents[level - 2]]
            yield from _existing(places[0] / "__init__.py")
        else:
            first, *parts = parts
            places = []
            for file, place in _found(first, [str(folder), *sys.path]):
                if self._is_installed((file or place).resolve()):
                    self._packages.add(first)
                    continue
                places.append(place)
                if file is not None:
                    yield file
        for place in places:
            for part in parts:
                place = place / part
                yield from _existing(place.with_name(f"{place.name}.py"))
                yield from _existing(place / "__init__.py")


def _found(name: str, folders: Sequence[str]) -> list[tuple[Path | None, Path]]:
    """File and folder of a module that is not Python's own; of a package without __init__.py its folders."""
    spec = importlib.machinery.PathFinder.find_spec(name, folders)
    if spec is None or name in sys.stdlib_module_names:
        return []
    if spec.origin is not None:
        return [(Path(spec.origin), Path(spec.origin).parent)]
    return [(None, Path(place)) for place in spec.submodule_search_locations or ()]


def _imports(content: bytes) -> Iterator[tuple[int, str]]:
    """Every import of a source file, also those within functions: (level, dotted name)."""
    try:
        tree = ast.parse(content)
    except (SyntaxError, ValueError):
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((0, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            yield node.level, module
            # What is imported may be a module itself.
            yield from ((node.level, f"{module}.{alias.name}".strip(".")) for alias in node.names)


def _existing(path: Path) -> Iterator[Path]:
    if path.is_file():
        yield path


def _version(package: str) -> str:
    try:
        return f"{package} {importlib.metadata.version(package)}"
    except importlib.metadata.PackageNotFoundError:
        return f"{package} of unknown version"


def _hash(tensor: Any) -> str:
    import torch

    whole = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
    return f"{tuple(tensor.shape)} {tensor.dtype} {_sha256(whole)}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
