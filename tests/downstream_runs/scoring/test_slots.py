"""Slot scores against s3prl's and the leaderboard's, their quirks and edge cases."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.scoring import slots, wer
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.slots import SlotCounts


def named(texts: list[str]) -> dict[str, str]:
    return {str(number): text for number, text in enumerate(texts)}


def test_the_values_of_s3prl_and_of_the_leaderboard(data_dir: Path) -> None:
    oracle = json.loads((data_dir / "oracles" / "sf" / "expected.json").read_text())
    ref, hyp = named(oracle["refs"]), named(oracle["hyps"])
    found = slots.score(ref, hyp)
    ours = {
        "slot_type_f1": found.type_f1,
        "slot_value_cer": found.value_cer,
        "slot_value_wer": found.value_wer,
        "slot_edit_f1_full": found.edit_f1_full,
        "slot_edit_f1_part": found.edit_f1_part,
        "wer": wer.score(ref, hyp).rate,
        "cer": wer.score(ref, hyp, "char").rate,
    }
    for theirs in oracle["expected"].values():
        assert {name: ours[name] for name in theirs} == theirs


@pytest.mark.parametrize(
    ("reference", "hypothesis", "f1", "errors", "length"),
    [
        ("", "", 1.0, 0, 0),
        ("B-x AB E-x", "", 0.0, 2, 2),
        ("", "B-x AB E-x", 0.0, 0, 0),
        ("B-x AB E-x", "B-y AB E-y", 0.0, 2, 2),
        ("B-x AB E-x", "B-x  AB   E-x", 1.0, 0, 2),  # runs of spaces are one space
        ("B-x AB E-x", "B-x AB", 0.0, 2, 2),  # never closed
        ("B-x AB E-x", "B-x AB E-xyz", 1.0, 0, 2),  # closed by the type's beginning
        ("B-x AB E-x", "B-x B-y AB E-y E-x", 1.0, 0, 2),  # nested marks leave a found value
        ("B-x B-y AB E-y E-x", "B-x AB E-x", 1.0, 8, 10),  # and stay in an expected one
        ("B-x A E-x B-x B E-x", "B-x B E-x", 1.0, 1, 2),  # one value serves both
        ("B-x A E-x", "B-x A E-x B-x Q E-x", 1.0, 0, 1),  # a surplus value costs nothing
        ("B-x A E-x", f"B-x {'Q' * 99} E-x", 1.0, 99, 1),
        ("B-x A E-x", f"B-x {'Q' * 100} E-x", 1.0, 1, 1),  # from 100 on it counts as the empty text
        ("B-é NAÏVE E-é", "B-é NAIVE E-é", 1.0, 1, 5),
        ("B-x A:B E-x", "B-x A;B E-x", 1.0, 1, 3),
        ("B-x A E-x B-y B E-y", "B-x A E-x B-z C E-z", 0.5, 1, 2),
    ],
)
def test_edge_cases(reference: str, hypothesis: str, f1: float, errors: int, length: int) -> None:
    found = slots.compare(reference, hypothesis)
    assert (found.f1_sum, found.cer_errors, found.cer_length) == (f1, errors, length)


def test_undefined_values_say_why() -> None:
    with pytest.raises(ValueError, match="no slot-type F1: there is no utterance"):
        _ = SlotCounts().type_f1
    nothing = slots.score({"u": "HELLO"}, {"u": "B-x HELLO E-x"})
    with pytest.raises(ValueError, match="no slot-value CER: there is no slot value in the reference"):
        _ = nothing.value_cer
    with pytest.raises(ValueError, match="no slot edit F1"):
        _ = nothing.edit_f1_part
    assert nothing.edit_f1_full == 0.0


def test_missing_and_surplus_utterances_are_errors() -> None:
    with pytest.raises(ScoringError, match="have no hypothesis"):
        slots.score({"a": "", "b": ""}, {"a": ""})
    with pytest.raises(ScoringError, match="have no reference"):
        slots.score({"a": ""}, {"a": "", "b": ""})


marked = st.lists(
    st.one_of(
        st.sampled_from(["ONE", "TWO", "THREE"]),
        st.builds("B-{0} {1} E-{0}".format, st.sampled_from("xyz"), st.sampled_from(["ONE", "TWO B"])),
    ),
    max_size=5,
).map(" ".join)
pairs = st.lists(st.tuples(marked, marked), max_size=6)


@given(marked)
def test_the_reference_itself_is_perfect(text: str) -> None:
    found = slots.compare(text, text)
    assert found.f1_sum == 1.0
    assert (found.cer_errors, found.wer_errors, found.misses, found.false_alarms, found.surplus) == (0,) * 5


@given(marked, marked)
def test_the_type_f1_is_symmetric_and_bounded(a: str, b: str) -> None:
    assert slots.compare(a, b).f1_sum == slots.compare(b, a).f1_sum
    assert 0.0 <= slots.compare(a, b).f1_sum <= 1.0


@given(pairs)
def test_pooling_is_the_sum_over_utterances(texts: list[tuple[str, str]]) -> None:
    ref, hyp = named([a for a, _ in texts]), named([b for _, b in texts])
    assert slots.score(ref, hyp) == sum((slots.compare(a, b) for a, b in texts), SlotCounts())
    assert slots.score(ref, hyp).as_dict()["utterances"] == len(texts)
