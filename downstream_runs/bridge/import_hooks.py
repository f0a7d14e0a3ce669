"""Corrections to single modules of s3prl, made at the moment when they are imported.

s3prl's task modules take seconds to import, and a run needs one of them: a correction waits for its module.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Correction = Callable[[ModuleType], None]


class _Corrector(MetaPathFinder):
    """Finds the modules that have a correction, as Python itself would, and corrects them once they ran."""

    def __init__(self) -> None:
        self.corrections: dict[str, Correction] = {}

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        correction = self.corrections.get(fullname)
        spec = None if correction is None else PathFinder.find_spec(fullname, path, target)
        if correction is None or spec is None or spec.loader is None:
            return None
        run = spec.loader.exec_module

        def run_and_correct(module: ModuleType) -> None:
            run(module)
            correction(module)

        # The loader belongs to this one module, so nothing else sees the change.
        spec.loader.exec_module = run_and_correct  # type: ignore[method-assign]
        return spec


_CORRECTOR = _Corrector()


def after_import(name: str, correction: Correction) -> None:
    """Apply `correction` to module `name` when it is imported, or now if it already is."""
    if name in sys.modules:
        correction(sys.modules[name])
        return
    _CORRECTOR.corrections[name] = correction
    if _CORRECTOR not in sys.meta_path:
        sys.meta_path.insert(0, _CORRECTOR)
