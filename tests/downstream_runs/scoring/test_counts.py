"""Counts that add and check themselves."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring.counts import ErrorCounts


@st.composite
def counts(draw: st.DrawFn) -> ErrorCounts:
    utterances = draw(st.integers(0, 50))
    wrong = draw(st.integers(0, utterances))
    errors = draw(st.integers(wrong, wrong + 500)) if wrong else 0
    return ErrorCounts(errors, draw(st.integers(0, 900)) if utterances else 0, utterances, wrong)


@given(counts(), counts(), counts())
def test_addition_pools_and_has_a_neutral_element(a: ErrorCounts, b: ErrorCounts, c: ErrorCounts) -> None:
    assert (a + b) + c == a + (b + c)
    assert a + b == b + a
    assert a + ErrorCounts() == a
    assert sum([a, b, c], ErrorCounts()).errors == a.errors + b.errors + c.errors


def test_the_pooled_rate_weighs_by_length() -> None:
    pooled = ErrorCounts(1, 2, 1, 1) + ErrorCounts(0, 98, 1, 0)
    assert pooled.rate == 0.01
    assert pooled.as_dict() == {"errors": 1, "length": 100, "utterances": 2, "wrong_utterances": 1}


def test_a_rate_above_one_is_a_rate() -> None:
    assert ErrorCounts(errors=3, length=2, utterances=1, wrong_utterances=1).rate == 1.5


@pytest.mark.parametrize("empty", [ErrorCounts(), ErrorCounts(2, 0, 1, 1)])
def test_no_rate_over_an_empty_reference(empty: ErrorCounts) -> None:
    with pytest.raises(ValueError, match="reference length of 0"):
        _ = empty.rate


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((-1, 2, 1, 0), "0 or more was expected"),
        ((1, 2, 1, 2), "contradict"),
        ((1, 9, 3, 2), "contradict"),
        ((1, 2, 1, 0), "without a wrong utterance"),
        ((0, 2, 0, 0), "without an utterance"),
    ],
)
def test_counts_that_contradict_each_other(values: tuple[int, int, int, int], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ErrorCounts(*values)


@pytest.mark.parametrize("value", [1.0, True, "1", None])
def test_only_whole_numbers(value: object) -> None:
    with pytest.raises(TypeError, match="whole number"):
        ErrorCounts(errors=value, length=1, utterances=1, wrong_utterances=0)  # type: ignore[arg-type]


def test_frozen_and_not_addable_to_numbers() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        ErrorCounts().errors = 1  # type: ignore[misc]
    with pytest.raises(TypeError):
        _ = ErrorCounts() + 1  # type: ignore[operator]
