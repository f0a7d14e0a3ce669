"""Edit errors as counts, so that rates of parts can be pooled and recomputed."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class ErrorCounts:
    """Edit errors over some utterances; add two with `+`, add many with `sum(many, ErrorCounts.zero())`.

    errors: substitutions + insertions + deletions (the edit distance), summed over the utterances.
    length: reference words, characters or phones, summed over the utterances.
    utterances: how many utterances were compared.
    wrong_utterances: how many of them have at least one error.

    Raises TypeError for a count that is not an int, ValueError for counts that contradict each other.
    """

    errors: int
    length: int
    utterances: int
    wrong_utterances: int

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, bool) or not isinstance(value, int):
                raise TypeError(f"{field.name} is {value!r}, a whole number was expected")
            if value < 0:
                raise ValueError(f"{field.name} is {value}, a count cannot be negative")
        if self.wrong_utterances > min(self.errors, self.utterances):
            raise ValueError(
                f"{self.wrong_utterances} wrong utterances contradict {self.errors} errors "
                f"in {self.utterances} utterances"
            )
        if self.errors and not self.wrong_utterances:
            raise ValueError(f"{self.errors} errors without a wrong utterance")
        if self.length and not self.utterances:
            raise ValueError(f"a reference length of {self.length} without an utterance")

    @classmethod
    def zero(cls) -> ErrorCounts:
        """Nothing compared yet: the neutral element of `+`."""
        return cls(errors=0, length=0, utterances=0, wrong_utterances=0)

    def __add__(self, other: ErrorCounts) -> ErrorCounts:
        if not isinstance(other, ErrorCounts):
            return NotImplemented
        return ErrorCounts(
            errors=self.errors + other.errors,
            length=self.length + other.length,
            utterances=self.utterances + other.utterances,
            wrong_utterances=self.wrong_utterances + other.wrong_utterances,
        )

    @property
    def rate(self) -> float:
        """errors / length, a fraction that insertions can push above 1.

        Raises ValueError when the reference length is 0: the rate is then undefined.
        """
        if self.length == 0:
            raise ValueError(f"no error rate: {self.utterances} utterances have a reference length of 0")
        return self.errors / self.length

    def as_dict(self) -> dict[str, int]:
        """The four counts by name, as result files store them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}
