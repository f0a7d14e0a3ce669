"""The 32 utterances over which SUPERB sums multiply-accumulates.

Source: the LibriSpeech test-clean utterances of the profiling tool of the SUPERB challenge at SLT 2022
(github.com/B06901052/DeepSpeed, branch superb-challenge), from which the leaderboard's MACs come. MACs depend
on the length alone, so no audio is needed.
"""

from __future__ import annotations

SAMPLE_RATE = 16_000
# By bucket, as the leaderboard names them, LibriSpeech's id and the samples at 16 kHz.
_TABLE = {
    "short": """
        672-122797-0033 20560  4446-2275-0025 34560  7176-92135-0019 38480  2094-142345-0019 42560
        1221-135767-0015 45600  61-70970-0010 48720  8463-294825-0015 52000  1089-134686-0035 55120""",
    "medium": """
        1995-1836-0012 59120  8555-284449-0006 62720  121-127105-0036 66400  237-126133-0012 71200
        7176-88083-0005 75200  3575-170457-0051 78640  7176-92135-0044 82800  5142-33396-0059 87520""",
    "long": """
        260-123286-0009 92720  2830-3980-0023 98560  2830-3980-0010 104400  4970-29095-0016 111120
        260-123286-0006 118480  2961-961-0016 125040  61-70968-0010 132720  8455-210777-0069 142640""",
    "longer": """
        908-157963-0023 154000  4992-23283-0020 166720  4507-16021-0009 180880  1320-122617-0036 197920
        672-122797-0002 217920  8463-294828-0035 239280  2300-131720-0003 268160  3729-6852-0045 326000""",
}

BUCKETS = tuple(_TABLE)
"""Eight utterances each, shortest first."""

IDS = tuple(name for text in _TABLE.values() for name in text.split()[::2])
LENGTHS = tuple(int(samples) for text in _TABLE.values() for samples in text.split()[1::2])
SECONDS = sum(LENGTHS) / SAMPLE_RATE
