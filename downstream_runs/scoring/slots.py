"""Slot filling scores of transcripts with slot marks, such as `B-rank TEN E-rank OF B-suit CLUBS E-suit`.

Definitions, over the slots that each transcript marks:
- slot-type F1: for each utterance the F1 of the set of slot types found against the set expected (1 when both
  are empty, 0 when one is), averaged over the utterances;
- slot-value CER: every expected value is compared with the value found under the same type that is nearest to
  it (with the empty text when the type was not found); character errors / characters expected, pooled;
- slot-value WER: the same with words;
- slot edit F1 `part` and `full`: 2 hits / (2 hits + misses + false alarms), pooled, where an expected value
  is a hit when it was found under its type, else a miss, and where its type was found with other values also
  a false alarm; `full` adds every value of a type that was not expected as a false alarm.

Source: `s3prl/metric/slot_filling.py` of s3prl 0.4.18 and `backend/inference/metric.py` of the SUPERB
leaderboard (github.com/superbbenchmark/website-react).

What those do that one might not expect, and this does too, so that the numbers agree:
- runs of spaces count as one; a mark can start inside a word, and `E-` closes a slot by its type's beginning,
  so `E-ranking` closes `B-rank`; a slot without a closing mark is no slot;
- marks nested in a found value are taken out of it, those nested in an expected value stay;
- one found value can serve several expected ones, and surplus values of an expected type cost nothing;
- a found value whose error rate is 100 or more (a hundred times too long) counts as the empty text.

What differs: a value that holds `:` or `;` stops s3prl with an error and is scored here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from downstream_runs.scoring.counts import Counts
from downstream_runs.scoring.distance import edit_distance
from downstream_runs.scoring.names import same
from downstream_runs.scoring.wer import Unit, tokens

SLOT = re.compile(r"B-(\S+) (.+?) E-\1")
HOPELESS = 100  # s3prl's search for the best value starts from this error rate


@dataclass(frozen=True)
class SlotCounts(Counts):
    """Slot counts over some utterances.

    f1_sum: sum of the utterances' slot-type F1. utterances: how many. cer_errors, cer_length: characters
    wrong and expected in slot values. wer_errors, wer_length: their words. hits, misses, false_alarms: of the
    edit F1's `part`. surplus: found values of types not expected, the further false alarms of `full`.
    """

    f1_sum: float = 0.0
    utterances: int = 0
    cer_errors: int = 0
    cer_length: int = 0
    wer_errors: int = 0
    wer_length: int = 0
    hits: int = 0
    misses: int = 0
    false_alarms: int = 0
    surplus: int = 0

    @property
    def type_f1(self) -> float:
        """Slot-type F1, a fraction. Raises ValueError without an utterance."""
        return _quotient(self.f1_sum, self.utterances, "slot-type F1", "utterance")

    @property
    def value_cer(self) -> float:
        """Slot-value CER, a fraction. Raises ValueError when no value is expected."""
        return _quotient(self.cer_errors, self.cer_length, "slot-value CER", "slot value in the reference")

    @property
    def value_wer(self) -> float:
        """Slot-value WER, a fraction. Raises ValueError when no value is expected."""
        return _quotient(self.wer_errors, self.wer_length, "slot-value WER", "slot value in the reference")

    @property
    def edit_f1_part(self) -> float:
        """Slot edit F1 over the expected types, a fraction. Raises ValueError when no value is expected."""
        return self._edit_f1(self.false_alarms)

    @property
    def edit_f1_full(self) -> float:
        """Slot edit F1 over all types, a fraction. Raises ValueError when no value is expected or found."""
        return self._edit_f1(self.false_alarms + self.surplus)

    def _edit_f1(self, false_alarms: int) -> float:
        every = 2 * self.hits + false_alarms + self.misses
        return _quotient(2 * self.hits, every, "slot edit F1", "slot value")


def _quotient(above: float, below: int, metric: str, needed: str) -> float:
    if below == 0:
        raise ValueError(f"no {metric}: there is no {needed}")
    return above / below


def score(ref: Mapping[str, str], hyp: Mapping[str, str]) -> SlotCounts:
    """Count the slot errors of `hyp` against `ref`, both utterance name -> transcript with slot marks.

    Utterances are taken in the order of `ref`, on which the last digit of `f1_sum` can depend. Raises
    ScoringError when an utterance is in only one of the two.
    """
    same(ref, hyp)
    total = SlotCounts()  # adds F1 in order, as `in_order` of scoring/sums.py does, on every Python
    for name, reference in ref.items():
        total += compare(reference, hyp[name])
    return total


def compare(reference: str, hypothesis: str) -> SlotCounts:
    """The counts of one utterance."""
    expected = parse(reference)
    found = {kind: [_unmarked(value) for value in values] for kind, values in parse(hypothesis).items()}
    cer_errors, cer_length = _values(expected, found, "char")
    wer_errors, wer_length = _values(expected, found, "word")
    hits = misses = false_alarms = 0
    for kind, values in expected.items():
        right = sum(value in found.get(kind, ()) for value in values)
        hits += right
        misses += len(values) - right
        false_alarms += len(values) - right if kind in found else 0
    return SlotCounts(
        f1_sum=_f1(set(expected), set(found)),
        utterances=1,
        cer_errors=cer_errors,
        cer_length=cer_length,
        wer_errors=wer_errors,
        wer_length=wer_length,
        hits=hits,
        misses=misses,
        false_alarms=false_alarms,
        surplus=sum(len(values) for kind, values in found.items() if kind not in expected),
    )


def parse(text: str) -> dict[str, list[str]]:
    """Slot type -> its values, in the order in which the transcript marks them."""
    slots: dict[str, list[str]] = {}
    for kind, value in SLOT.findall(re.sub(" +", " ", text)):
        slots.setdefault(kind, []).append(value)
    return slots


def _unmarked(value: str) -> str:
    # One after the other as in s3prl: what the first leaves behind can be taken by the second.
    return re.sub(r" E-\S+", "", re.sub(r"B-\S+ ", "", value))


def _f1(expected: set[str], found: set[str]) -> float:
    if not expected and not found:
        return 1.0
    both = len(expected & found)
    if not both:
        return 0.0
    precision, recall = both / len(found), both / len(expected)
    return 2 * precision * recall / (precision + recall)


def _values(expected: Mapping[str, list[str]], found: Mapping[str, list[str]], unit: Unit) -> tuple[int, int]:
    """Errors and length of the expected values against the best ones found, in characters or words."""
    errors = length = 0
    for kind, values in expected.items():
        for wanted in (tokens(value, unit) for value in values):
            distances = [edit_distance(wanted, tokens(value, unit)) for value in found.get(kind, ())]
            usable = [distance for distance in distances if distance < HOPELESS * len(wanted)]
            errors += min(usable, default=len(wanted))
            length += len(wanted)
    return errors, length
