"""Phone error rate as SUPERB counts it: the word error rate of space-separated phones.

Definition: edit distance (substitutions + insertions + deletions) summed over the utterances / reference
phones summed over the utterances. Source: `per` in s3prl 0.4.18's `s3prl/metric/common.py`, which is its
`wer`, as is the SUPERB leaderboard's. No phone is merged with another or left out: stress marks and silences
count as they stand in the two texts.
"""

from __future__ import annotations

from collections.abc import Mapping

from downstream_runs.scoring import wer
from downstream_runs.scoring.counts import ErrorCounts


def score(ref: Mapping[str, str], hyp: Mapping[str, str]) -> ErrorCounts:
    """Count the phone errors of `hyp` against `ref`, both utterance name -> phones with single spaces.

    Raises ScoringError when an utterance is in only one of the two.
    """
    return wer.score(ref, hyp, "word")
