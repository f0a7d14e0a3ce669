"""Decoding and effects of audio files, over libsndfile and soxr."""

from __future__ import annotations

from upstream_arm.common.errors import UsageError

RESTORE = "restore that file from the corpus"


class AudioProblem(UsageError):
    """A file that cannot be used; `what` names it and says what was found, without what to do about it."""

    def __init__(self, what: str) -> None:
        super().__init__(f"{what}; {RESTORE}, then run again")
        self.what = what

    def __reduce__(self) -> tuple[type[AudioProblem], tuple[str]]:
        """For other processes: made of `what` again, not of the whole sentence."""
        return type(self), (self.what,)
