"""Accuracy of one label for each utterance, as KS, SID, IC and ER report it.

Definition: utterances whose label equals the reference's, character for character / all utterances. For IC
the label is the three slots together (`action,object,location`), so all three must be right. Source:
`accuracy` in s3prl 0.4.18's `s3prl/metric/common.py`, and the per-utterance mean of `acc` in the tasks'
experts.
"""

from __future__ import annotations

from collections.abc import Mapping

from downstream_runs.scoring.counts import ErrorCounts
from downstream_runs.scoring.names import same


def score(ref: Mapping[str, str], hyp: Mapping[str, str]) -> ErrorCounts:
    """Count the wrong labels of `hyp` against `ref`, both utterance name -> label.

    errors = wrong_utterances = wrong labels, length = utterances, so accuracy is `1 - rate`, and better
    `(length - errors) / length`, which does not round twice. Raises ScoringError when an utterance is in only
    one of the two.
    """
    same(ref, hyp)
    wrong = sum(hyp[name] != label for name, label in ref.items())
    return ErrorCounts(errors=wrong, length=len(ref), utterances=len(ref), wrong_utterances=wrong)
