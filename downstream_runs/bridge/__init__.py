"""Makes s3prl 0.4.18 run on today's torch, torchaudio, huggingface_hub and numpy.

Nothing of s3prl is changed on disk. `apply` supplies, in this process only, the functions and modules that
s3prl calls and that the installed versions no longer have; what is still there is left alone.
"""

from __future__ import annotations

import functools


@functools.cache
def supply() -> None:
    """Supply what s3prl misses, here and in the processes started from here; later calls do nothing.

    Call it before the first import of any s3prl module: some of them bind torchaudio's functions by name.

    Raises UsageError where torch and torchaudio are not there or do not work together.
    """
    from downstream_runs.bridge import pair

    pair.check()
    from downstream_runs.bridge import (
        absent_packages,
        checkpoint_compat,
        child_processes,
        ctc_corpora,
        diarization_audio,
        huggingface_compat,
        listed_folders,
        numpy_compat,
        torchaudio_compat,
        verification_fixes,
        voxceleb_caches,
    )

    torchaudio_compat.install()
    huggingface_compat.install()
    numpy_compat.install()
    checkpoint_compat.install()
    absent_packages.install()
    child_processes.install()
    voxceleb_caches.install()
    listed_folders.install()
    diarization_audio.install()
    verification_fixes.install()
    ctc_corpora.install()  # the last: it imports a module of s3prl


@functools.cache
def apply() -> None:
    """`supply`, then register our upstreams in `s3prl.hub`; later calls do nothing."""
    supply()
    from upstream_arm import s3prl_hub

    s3prl_hub.register()
