"""How large the tasks' real corpora are: utterances and hours of each split that a run reads.

Utterances are those that this project's corpus checks expect, where they know them. Hours:

- LibriSpeech: Panayotov et al. 2015, table 1 (100.6, 5.4 and 5.4 hours).
- Speech Commands v0.01: the splits as counted for SUPERB (its data set's card on Hugging Face: 51,094, 6,798
  and 3,081 items), each at most one second (Warden 2018).
- QUESST 2014: 2,438 documents of non-native English of 273 minutes (Anguera et al. 2014, MediaEval overview);
  138 queries a split, taken as 2 seconds each: an assumption of this project.
- VoxCeleb1: Nagrani et al. 2017, a mean of 8.2 seconds; ASV's test list names 4,708 of the 4,874 test files,
  and its dev trials here are drawn from training speakers.
- Libri2Mix `max`: Cosentino et al. 2020, table 1 (58, 11 and 11 hours).
- Fluent Speech Commands: Lugosch et al. 2019, table 1 (14.7, 1.9 and 2.4 hours).
- Audio SNIPS: s3prl's lists (104,672 and twice 2,800 utterances); 3 seconds each is an assumption of this
  project, since no source for its hours is known.
- IEMOCAP: 5,531 utterances of the four classes, Busso et al. 2008: a mean of 4.5 seconds a turn; a fold tests
  a session of five and holds out a fifth of the rest.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

CROP_SECONDS = 8.0
"""SID and ASV train on crops of at most 128,000 samples (s3prl's `max_timestep`)."""


@dataclass(frozen=True)
class Split:
    """Utterances and hours of audio of one split, or of recordings for SD and QbE."""

    utterances: int
    hours: float

    @property
    def mean_seconds(self) -> float:
        """Of an utterance."""
        return 3600 * self.hours / self.utterances


def _of_mean(utterances: int, seconds: float) -> Split:
    return Split(utterances, utterances * seconds / 3600)


_LIBRISPEECH = {
    "train": Split(28_539, 100.6),
    "dev": Split(2_703, 5.4),
    "test": Split(2_620, 5.4),
}

SPLITS: Mapping[str, Mapping[str, Split]] = MappingProxyType(
    {
        "pr": _LIBRISPEECH,
        "asr": _LIBRISPEECH,
        "ks": {"train": _of_mean(51_094, 1.0), "dev": _of_mean(6_798, 1.0), "test": _of_mean(3_081, 1.0)},
        "qbe": {
            "documents": Split(2_438, 273 / 60),
            "dev": _of_mean(138, 2.0),
            "test": _of_mean(138, 2.0),
        },
        "sid": {"train": _of_mean(138_361, 8.2), "dev": _of_mean(6_904, 8.2), "test": _of_mean(8_251, 8.2)},
        "asv": {"train": _of_mean(148_642, 8.2), "test": _of_mean(4_708, 8.2)},
        "sd": {"train": Split(13_900, 58.0), "dev": Split(3_000, 11.0), "test": Split(3_000, 11.0)},
        "ic": {"train": Split(23_132, 14.7), "dev": Split(3_118, 1.9), "test": Split(3_793, 2.4)},
        "sf": {"train": _of_mean(104_672, 3.0), "dev": _of_mean(2_800, 3.0), "test": _of_mean(2_800, 3.0)},
        # The mean fold: four fifths of four sessions, the other fifth, and one session.
        "er": {"train": _of_mean(3_540, 4.5), "dev": _of_mean(885, 4.5), "test": _of_mean(1_106, 4.5)},
    }
)
"""The splits of each task under one name a role: train, dev, test, and QbE's documents."""

CROPPED = ("sid", "asv")
"""Tasks that train on random crops of at most CROP_SECONDS."""

RANDOM_SHARE: Mapping[str, float] = MappingProxyType({"ks": 1 / 12, "sid": 1.0, "asv": 1.0})
"""Upper bounds of the share of training items that are random crops, which a store does not hold.

KS draws its twelve classes equally often, and silence is one of them. Not every utterance of VoxCeleb1 is
longer than a crop, but how many are is not known here, so all count.
"""


def trained_seconds(task: str) -> float:
    """Mean seconds of a training item, crops counted as such."""
    seconds = SPLITS[task]["train"].mean_seconds
    return min(seconds, CROP_SECONDS) if task in CROPPED else seconds


def total(task: str) -> Split:
    """All splits of a task together."""
    splits = SPLITS[task].values()
    return Split(sum(split.utterances for split in splits), sum(split.hours for split in splits))
