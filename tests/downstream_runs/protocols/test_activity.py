"""From probabilities to turns, against a second way to compute them."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import medfilt

from downstream_runs.protocols.activity import SETTINGS, Setting, turns


def test_the_ten_settings_are_those_of_score_sh() -> None:
    assert [(way.median, way.threshold) for way in SETTINGS] == [
        (median, threshold) for median in (1, 11) for threshold in (0.3, 0.4, 0.5, 0.6, 0.7)
    ]
    assert SETTINGS[-1].file == "hyp_0.7_11.rttm"


def test_a_turn_lasts_from_its_first_to_the_end_of_its_last_frame() -> None:
    probabilities = np.array([[0.9, 0.0], [0.5, 0.0], [0.51, 0.2], [0.0, 0.7]], np.float32)
    found = turns(probabilities, Setting(1, 0.5), 320, "a")
    # The threshold itself is silence, and frames of 20 ms begin at 0.
    assert [(turn.speaker, turn.start, round(turn.end, 9)) for turn in found] == [
        ("a_0", 0.0, 0.02),
        ("a_0", 0.04, 0.06),
        ("a_1", 0.06, 0.08),
    ]


def test_the_median_closes_gaps_and_drops_blips() -> None:
    speaks = np.zeros((60, 1), np.float32)
    speaks[5:30] = 1
    speaks[12:16] = 0
    speaks[45:50] = 1
    assert len(turns(speaks, Setting(1, 0.5), 160, "a")) == 3
    (turn,) = turns(speaks, Setting(11, 0.5), 160, "a")
    assert (turn.start, turn.end) == (0.05, 0.3)


def test_times_are_rounded_to_hundredths_and_empty_turns_left_out() -> None:
    speaks = np.array([[0], [1], [0], [1], [1], [1]], np.float32)
    # Frames of 4 ms: one frame rounds to nothing, three to 0.01 s from 0.01 s on.
    (turn,) = turns(speaks, Setting(1, 0.5), 64, "a")
    assert (turn.start, turn.end) == (0.01, 0.02)


@given(
    st.lists(st.tuples(*[st.floats(0, 1, width=32)] * 2), min_size=1, max_size=60),
    st.sampled_from(SETTINGS),
    st.sampled_from([160, 320]),
)
def test_turns_hold_exactly_the_filtered_frames(
    rows: list[tuple[float, float]], setting: Setting, shift: int
) -> None:
    probabilities = np.array(rows, np.float32)
    expected = np.where(probabilities > setting.threshold, 1, 0)
    if setting.median > 1:
        expected = medfilt(expected, (setting.median, 1)).astype(int)
    found = np.zeros_like(expected)
    for turn in turns(probabilities, setting, shift, "a"):
        first, last = round(turn.start * 16000 / shift), round(turn.end * 16000 / shift)
        assert not found[first:last, int(turn.speaker[-1])].any()
        found[first:last, int(turn.speaker[-1])] = 1
    assert (found == expected).all()
