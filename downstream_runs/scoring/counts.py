"""Errors as counts, so that rates of parts can be pooled and recomputed."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, TypeVar

Kind = TypeVar("Kind", bound="Counts")


@dataclass(frozen=True)
class Scored:
    """A score with the numbers behind it; `rate` is the score itself, mostly a fraction."""

    def as_dict(self) -> dict[str, Any]:
        """All but the rate by name, as result files store it."""
        return {field.name: getattr(self, field.name) for field in fields(self) if field.name != "rate"}


@dataclass(frozen=True)
class Counts(Scored):
    """Counts of parts of a test set: add two of one kind with `+`, many with `sum(many, KIND())`.

    Raises ValueError for a number that is negative, or none.
    """

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0:
                raise ValueError(f"{field.name} is {value}, 0 or more was expected")

    def __add__(self: Kind, other: Kind) -> Kind:
        if type(other) is not type(self):
            return NotImplemented
        return type(self)(*(getattr(self, one.name) + getattr(other, one.name) for one in fields(self)))


@dataclass(frozen=True)
class ErrorCounts(Counts):
    """Edit errors over some utterances.

    errors: substitutions + insertions + deletions (the edit distance), summed over the utterances.
    length: reference words, characters or phones, summed over the utterances.
    utterances: how many utterances were compared.
    wrong_utterances: how many of them have at least one error.

    Raises TypeError for a count that is not an int, ValueError for counts that contradict each other.
    """

    errors: int = 0
    length: int = 0
    utterances: int = 0
    wrong_utterances: int = 0

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{field.name} is {value!r}, a whole number was expected")
        super().__post_init__()
        if self.wrong_utterances > min(self.errors, self.utterances):
            raise ValueError(
                f"{self.wrong_utterances} wrong utterances contradict {self.errors} errors "
                f"in {self.utterances} utterances"
            )
        if self.errors and not self.wrong_utterances:
            raise ValueError(f"{self.errors} errors without a wrong utterance")
        if self.length and not self.utterances:
            raise ValueError(f"a reference length of {self.length} without an utterance")

    @property
    def rate(self) -> float:
        """errors / length, a fraction that insertions can push above 1.

        Raises ValueError when the reference length is 0: the rate is then undefined.
        """
        if self.length == 0:
            raise ValueError(f"no error rate: {self.utterances} utterances have a reference length of 0")
        return self.errors / self.length
