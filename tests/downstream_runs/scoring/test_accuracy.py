"""Accuracy of labels, and PER, which is WER on phones."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import accuracy, per, wer
from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.names import ScoringError

labels = st.dictionaries(st.text("uvw", min_size=1, max_size=4), st.sampled_from(["yes", "no", "é", ""]))


def test_wrong_labels_are_counted() -> None:
    ref = {"a": "yes", "b": "no", "c": "activate,lights,kitchen"}
    hyp = {"c": "activate,lights,bedroom", "b": "no", "a": "yes"}
    assert accuracy.score(ref, hyp) == ErrorCounts(errors=1, length=3, utterances=3, wrong_utterances=1)


def test_labels_are_compared_as_they_stand() -> None:
    assert accuracy.score({"a": "é", "b": "Yes"}, {"a": "e\u0301", "b": "yes"}).errors == 2
    assert accuracy.score({}, {}) == ErrorCounts()


@given(labels)
def test_the_truth_is_all_right_and_another_label_all_wrong(ref: dict[str, str]) -> None:
    assert accuracy.score(ref, ref).errors == 0
    assert accuracy.score(ref, dict.fromkeys(ref, "other")).errors == len(ref)


def test_missing_and_surplus_labels_are_errors() -> None:
    with pytest.raises(ScoringError, match=r"1 of 2 .* have no hypothesis \(b\) and 1 hypotheses .*\(c\)"):
        accuracy.score({"a": "x", "b": "x"}, {"a": "x", "c": "x"})


def test_phones_are_words() -> None:
    ref = {"u": "HH AH0 L OW1", "v": "B AY1"}
    hyp = {"u": "HH AH0 L AH0 OW1", "v": ""}
    assert per.score(ref, hyp) == wer.score(ref, hyp) == ErrorCounts(3, 6, 2, 2)
    with pytest.raises(ScoringError):
        per.score(ref, {"u": ""})
