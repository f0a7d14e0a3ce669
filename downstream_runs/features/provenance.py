"""What an upstream's features come from beside its weights: the code that computes them, and its options.

Features that are found again in a later process must be those that this process would compute. So their key
holds the text of the code, and everything that the upstream's objects were made with. Where that cannot be
told, nothing is found again.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import importlib.machinery
import logging
import modulefinder
import platform
import re
import sys
import sysconfig
import types
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from upstream_arm.common.program import installed

PLAIN = (type(None), bool, int, float, complex, str, bytes, Path, range, slice, type(Ellipsis))
PACKAGES = ("torch", "torchaudio", "numpy", "s3prl", "transformers", "fairseq", "superb-arm")
"""Whose versions count for every upstream; those of installed packages that its code imports count too."""

INSTALLED = {
    Path(sysconfig.get_path(place)).resolve() for place in ("purelib", "platlib", "stdlib", "platstdlib")
}
"""Where the code of installed packages is."""

HOOKS = ("_forward_hooks", "_forward_pre_hooks")
FOLDERS = ("", "", 0)  # modulefinder's suffix, mode and kind of a file; 0 is none of its kinds


class Unknown(Exception):
    """Something of the upstream that no text describes; its text says what."""


def identity(upstream: Any, entry: Any) -> str:
    """SHA-256 over code, options and package versions of an upstream that the function `entry` built.

    Code of files that are not of an installed package counts with all such files that it imports, code of an
    installed package with its version and the files of its folder. Raises Unknown where a class has no file,
    or an option is an object that cannot be read.
    """
    options = _Options()
    options.add(entry, "entry")
    options.add(upstream, "upstream")
    code = _code(sorted(options.modules))
    return _sha256_of(
        [f"python {platform.python_version()}", *map(_version, PACKAGES), *options.lines, *code]
    )


def of_file(path: Path) -> str:
    """SHA-256 over a Python file and the files that it imports, those of installed packages apart.

    Nothing of it is run. Unknown where one of them cannot be read.
    """
    return _sha256_of(_hashes(_files(_followed(path.stem, path))))


def of_module(name: str) -> str:
    """SHA-256 over the code of an imported module: of an installed package, the files of its folder."""
    return _sha256_of(_hashes(_code_files([name])[0]))


def imported_by(path: Path) -> dict[str, Path]:
    """The modules that a Python file imports, but for those of installed packages, and their files."""
    found = {
        name: getattr(module, "__file__", None) for name, module in _followed(path.stem, path).modules.items()
    }
    return {name: Path(file).resolve() for name, file in found.items() if file}


class _Options:
    """An object and all that it is made of, each object once, as lines of text; the modules of its code."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.modules: set[str] = set()
        self._seen: dict[int, tuple[int, Any]] = {}  # the objects too, so that no id is used again

    def add(self, value: Any, where: str) -> None:
        if isinstance(value, PLAIN):
            self.lines.append(f"{where} = {value!r}")
        elif id(value) in self._seen:
            self.lines.append(f"{where} = object {self._seen[id(value)][0]}")
        else:
            self._seen[id(value)] = len(self._seen), value
            line, parts = self._describe(value, where)
            if line:
                self.lines.append(where + line)
            for name, part in parts:
                self.add(part, where + name)

    def _describe(self, value: Any, where: str) -> tuple[str, Iterable[tuple[str, Any]]]:
        """What an object is, and what it is made of: names and values. Unknown if no text says that."""
        import torch

        text = _leaf(value)
        if text is not None:
            return text, ()
        if isinstance(value, types.ModuleType):
            self.modules.add(value.__name__)
            return "", ()
        if isinstance(value, (type, types.FunctionType)):
            self.modules.update(kind.__module__ for kind in getattr(value, "__mro__", (value,)))
            parts = () if isinstance(value, type) else _given(value)
            return f" = {value.__module__}.{value.__qualname__}", parts
        if isinstance(value, Mapping):
            return "", _items(value)
        if isinstance(value, (set, frozenset)):
            value = sorted(value, key=repr)
        elif isinstance(value, types.MethodType):
            value = value.__func__, value.__self__
        elif isinstance(value, functools.partial):
            value = value.func, value.args, value.keywords
        if isinstance(value, (list, tuple)):
            parts = ((f"[{number}]", one) for number, one in enumerate(value))
            return f": {type(value).__qualname__} of {len(value)}", parts
        attributes = _attributes(value)
        if attributes is None:
            raise Unknown(f"{where} is a {type(value).__qualname__}")
        if isinstance(value, torch.nn.Module):
            # Not what is torch's own; persistent tensors are in the weights' hash. Hooks' keys count up in a
            # process.
            hooks = {name: dict(enumerate(attributes[name].values())) for name in HOOKS}
            buffers = {name: attributes[name] for name in ("_buffers", "_modules")}
            own = vars(torch.nn.Module()).keys()
            attributes = {name: one for name, one in attributes.items() if name not in own} | hooks | buffers
        return "", ((".class", type(value)), *((f".{name}", attributes[name]) for name in sorted(attributes)))


def _attributes(value: Any) -> dict[str, Any] | None:
    """What an object of a class of Python holds, in its dictionary or in slots; None for another."""
    if type(value).__module__ in sys.builtin_module_names:
        return None
    if hasattr(value, "__dict__"):
        return vars(value)
    slots = [vars(kind).get("__slots__", "__none__") for kind in type(value).__mro__[:-1]]
    names = [name for one in slots for name in ([one] if isinstance(one, str) else one)]
    if any(name.startswith("__") for name in names):  # compiled, or kept under another name
        return None
    return {name: getattr(value, name) for name in names if hasattr(value, name)}


def _leaf(value: Any) -> str | None:
    """What an object is that is made of no others; None for another."""
    import numpy as np
    import torch
    from torch.utils.hooks import RemovableHandle

    if isinstance(value, torch.Tensor):
        content = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        return f" = tensor {tuple(value.shape)} {value.dtype} {_sha256(content)}"
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        return f" = array {value.shape} {value.dtype} {_sha256(value.tobytes())}"
    if isinstance(value, (torch.dtype, torch.device, torch.Size, np.generic, np.dtype, re.Pattern)):
        return f" = {value!r}"
    if isinstance(value, (types.BuiltinFunctionType, types.MethodDescriptorType)):
        # Compiled code, which is known by its package's version.
        return f" = {getattr(value, '__module__', None)} {value.__qualname__}"
    # Neither computes anything.
    return "" if isinstance(value, (RemovableHandle, logging.Logger)) else None


def _items(values: Mapping[Any, Any]) -> Iterable[tuple[str, Any]]:
    for number, (key, value) in enumerate(values.items()):
        yield f".key{number}", key
        yield f"[{number}]", value


def _given(value: types.FunctionType) -> Iterable[tuple[str, Any]]:
    """What a function is given by its place in the code."""
    for cell in value.__closure__ or ():
        with contextlib.suppress(ValueError):  # a name that is not bound yet
            yield ".closure", cell.cell_contents
    yield ".defaults", value.__defaults__
    yield ".kwdefaults", value.__kwdefaults__


def _code(modules: Iterable[str]) -> list[str]:
    """The files of modules and what they import: hashes of contents, and versions of installed packages."""
    files, packages = _code_files(modules)
    return [*_hashes(files), *map(_version, sorted(packages))]


def _code_files(modules: Iterable[str]) -> tuple[set[Path], set[str]]:
    """The files of modules and of what they import, and the installed packages among that."""
    files: set[Path] = set()
    packages: set[str] = set()
    for name in modules:
        file, package = getattr(sys.modules.get(name), "__file__", None), name.partition(".")[0]
        if file is None and name not in sys.builtin_module_names and name not in sys.stdlib_module_names:
            raise Unknown(f"the code of module {name} is in no file")
        if file is not None and not _is_installed(file):
            finder = _followed(name, Path(file).resolve())
            files |= _files(finder)
            missing = {one.partition(".")[0] for one in finder.any_missing()} - set(sys.stdlib_module_names)
            packages |= {one for one in missing if _is_installed(_origin(one))}
        elif file is not None:
            packages.add(package)
            if package != "torch" and package not in sys.stdlib_module_names:
                files.update(Path(file).resolve().parent.glob("*.py"))
    return files, packages


def _hashes(files: Iterable[Path]) -> list[str]:
    """Names and hashes of files, without their folders: a checkout may be moved."""
    try:
        return sorted(f"{path.name} {_sha256(path.read_bytes())}" for path in files)
    except OSError as error:
        raise Unknown(f"{error.filename} cannot be read: {error.strerror}") from None


def _followed(name: str, path: Path) -> modulefinder.ModuleFinder:
    """A module of that file and all that it imports, but for what is installed: that is missing there."""
    root = path.parents[name.count(".") + (path.name == "__init__.py")]
    finder = _Finder([str(root), *(one for one in sys.path if not _is_installed(one))])
    try:
        with contextlib.suppress(ImportError):
            finder.import_hook(name)
        if path not in _files(finder):  # it was loaded under another name
            finder.load_file(str(path))
    except (SyntaxError, ValueError, OSError) as error:
        raise Unknown(f"the code of {path} cannot be read: {error}") from None
    return finder


class _Finder(modulefinder.ModuleFinder):
    """Also follows imports of packages without an `__init__.py`, which end in AttributeError otherwise."""

    def find_module(self, name: str, path: Any, parent: Any = None) -> Any:
        spec = importlib.machinery.PathFinder.find_spec(name, self.path if path is None else path)
        if spec is None or spec.loader is not None:
            return super().find_module(name, path, parent)
        if parent is None and (name in sys.stdlib_module_names or _is_installed(_origin(name))):
            raise ImportError(name=name)  # which Python takes before a mere folder of that name
        return None, list(spec.submodule_search_locations or ()), FOLDERS

    def load_module(self, fqname: str, fp: Any, pathname: Any, file_info: Any) -> Any:
        if file_info is not FOLDERS:
            return super().load_module(fqname, fp, pathname, file_info)
        module: Any = self.add_module(fqname)
        module.__path__ = pathname
        return module


def _origin(package: str) -> str | None:
    """The file of a package that could be imported."""
    spec = importlib.machinery.PathFinder.find_spec(package)
    return None if spec is None else spec.origin


def _files(finder: modulefinder.ModuleFinder) -> set[Path]:
    files = (getattr(module, "__file__", None) for module in finder.modules.values())
    return {Path(file).resolve() for file in files if file}


def _is_installed(file: str | None) -> bool:
    return file is not None and any(map(Path(file).resolve().is_relative_to, INSTALLED))


def _version(package: str) -> str:
    return f"{package} {installed(package) or 'of unknown version'}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _sha256_of(lines: Iterable[str]) -> str:
    return _sha256("\n".join(lines).encode("utf-8", "surrogateescape"))
