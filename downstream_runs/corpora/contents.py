"""What a run remembers of the contents of a corpus's audio: a sample of its bytes.

The hashes of the corpora are over names and sizes (or lengths), lists and transcripts: reading 31 GB before
each run is no check that anybody would wait for. Wavs that are written anew in their places, louder or with
less noise, keep all that, and a finished run would be handed back as if it were of them. So the first 64 KiB
of 256 files, spread evenly over the corpus, are hashed too; that takes well under a second once they are in
the system's memory. Times of change say nothing here: a copy has new ones.

Not seen is a change that keeps names and sizes and touches none of these files, or only what comes after the
first two seconds of 16-bit speech. In a corpus of at most 256 files each file is looked at.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from downstream_runs.corpora.audio import spread
from upstream_arm.common.errors import UsageError

if TYPE_CHECKING:
    from downstream_runs.core.corpus import PreparedData

FILES = 256
BYTES = 1 << 16


def sampled(data: PreparedData) -> PreparedData:
    """`data` with its hash over the sample too; the list of its files, which may be long, is left out.

    The hash that it had stays as `listing_sha256`. UsageError for a file that cannot be read.
    """
    if not data.audio:
        return data
    digest = hashlib.sha256(f"{data.sha256}\n{sample_hash(data.audio)}\n".encode()).hexdigest()
    return dataclasses.replace(data, sha256=digest, listing_sha256=data.sha256, audio=())


def sample_hash(files: Sequence[Path]) -> str:
    """SHA-256 over the beginnings of `FILES` of the files, in the order given."""
    digest = hashlib.sha256()
    for path in spread(files, FILES):
        try:
            with path.open("rb") as file:
                digest.update(hashlib.sha256(file.read(BYTES)).digest())
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise UsageError(f"{path} cannot be read ({reason}); make it readable, or restore it") from None
    return digest.hexdigest()
