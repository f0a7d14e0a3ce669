"""Makes s3prl 0.4.18 run on today's torch, torchaudio, huggingface_hub and numpy.

Nothing of s3prl is changed on disk. `apply` supplies, in this process only, the functions and modules that
s3prl calls and that the installed versions no longer have; what is still there is left alone.
"""

from __future__ import annotations

import functools
import importlib.util
from pathlib import Path


def s3prl_folder() -> Path | None:
    """The folder of the installed s3prl, found without importing it; None where it is not installed."""
    spec = importlib.util.find_spec("s3prl")
    if spec is None or not spec.submodule_search_locations:
        return None
    return Path(next(iter(spec.submodule_search_locations)))


@functools.cache
def supply() -> None:
    """Supply what s3prl misses, here and in the processes started from here; later calls do nothing.

    Call it before the first import of any s3prl module: some of them bind torchaudio's functions by name.

    Raises UsageError where torch and torchaudio are not there or do not work together.
    """
    from downstream_runs.bridge import pair

    pair.check()
    from downstream_runs.bridge import (
        child_processes,
        corrections,
        ctc_corpora,
        removed_names,
        stand_ins,
        torchaudio_compat,
    )

    torchaudio_compat.install()
    removed_names.install()
    stand_ins.install()
    child_processes.install()
    corrections.install()
    ctc_corpora.install()  # the last: it imports a module of s3prl


@functools.cache
def apply() -> None:
    """`supply`, then register our upstreams in `s3prl.hub`; later calls do nothing."""
    supply()
    from upstream_arm import s3prl_hub

    s3prl_hub.register()
