"""A profile: parameters and multiply-accumulates of one model, by part and by bucket."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from upstream_arm.config import StudentConfig
from upstream_arm.convolutions import receptive_field
from upstream_arm.profiling import macs, parameters
from upstream_arm.profiling.architecture import HUBERT_BASE, Architecture, of_student
from upstream_arm.profiling.utterances import BUCKETS, LENGTHS, SECONDS, UTTERANCES

RULE = (
    "closed formula (upstream_arm/profiling/macs.py) summed over the 32 LibriSpeech test-clean utterances of "
    "SUPERB's profiling tool, each alone, attention written out: matrix products and convolutions; "
    "not counted: norms, activations, softmax, biases and other element-wise work"
)
HUBERT_BASE_NOTE = (
    "hubert_base is the reference architecture: nothing was downloaded or loaded; as in SUPERB's own figure "
    "its attention also counts 4Td + 4HT^2 a layer, and its size includes the pre-training head"
)


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a model costs.

    Attributes:
        name: how it was asked for.
        method: `formula` or `measured`.
        params_by_part: parameters of each part.
        macs_by_part: multiply-accumulates of each part, summed over the 32 utterances.
        buckets: multiply-accumulates of SUPERB's four buckets of eight utterances.
        rule: what was counted, where the rule is from, and what is not counted.
        frames_rule: how many frames a waveform of L samples gives, empty where it is not known.
        notes: sentences that belong beside the numbers.
        switches: the student's settings that change its arithmetic but none of these counts.
    """

    name: str
    method: Literal["formula", "measured"]
    params_by_part: Mapping[str, int]
    macs_by_part: Mapping[str, int]
    buckets: Mapping[str, int]
    rule: str
    frames_rule: str = ""
    notes: tuple[str, ...] = ()
    switches: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def params(self) -> int:
        """All parameters."""
        return sum(self.params_by_part.values())

    @property
    def macs(self) -> int:
        """Multiply-accumulates over the 32 utterances, as SUPERB sums them."""
        return sum(self.buckets.values())

    @property
    def macs_per_second(self) -> int:
        """Multiply-accumulates per second of audio over the 32 utterances, rounded."""
        return round(self.macs / SECONDS)

    def to_mapping(self) -> dict[str, Any]:
        """The profile as json holds it; parameters and multiply-accumulates are whole numbers."""
        return {
            "name": self.name,
            "method": self.method,
            "params": self.params,
            "macs": self.macs,
            "macs_per_second": self.macs_per_second,
            "buckets": dict(self.buckets),
            "params_by_part": dict(self.params_by_part),
            "macs_by_part": dict(self.macs_by_part),
            "utterances": len(UTTERANCES),
            "seconds": SECONDS,
            "rule": self.rule,
            "frames": self.frames_rule,
            "notes": list(self.notes),
            "switches": dict(self.switches),
        }


def of_config(name: str, config: StudentConfig) -> Profile:
    """Profile one of our students from its shape."""
    switches = {key: value for key, value in config.switches.items() if key != "repeats"}
    notes: tuple[str, ...] = ()
    if config.repeats is not None:
        notes = (
            f"{name}: {config.blocks} blocks, each run {config.repeats} times; parameters are counted once "
            "and MACs in every run",
        )
    return dataclasses.replace(_of_architecture(name, of_student(config)), switches=switches, notes=notes)


def of_hubert_base(name: str = "hubert_base") -> Profile:
    """Profile HuBERT BASE from its shape, counted as SUPERB counts fairseq's model."""
    return dataclasses.replace(_of_architecture(name, HUBERT_BASE), notes=(HUBERT_BASE_NOTE,))


def measured(
    name: str, params_by_part: Mapping[str, int], counts: Sequence[Mapping[str, int]], rule: str
) -> Profile:
    """Profile from counts of each of the 32 utterances, as `hooks.count` gives them."""
    return Profile(
        name=name,
        method="measured",
        params_by_part=params_by_part,
        macs_by_part={part: sum(entry[part] for entry in counts) for part in counts[0]},
        buckets=_buckets(counts),
        rule=rule,
    )


def _of_architecture(name: str, architecture: Architecture) -> Profile:
    counts = [macs.count(architecture, samples) for samples in LENGTHS]
    first, step = receptive_field(architecture.conv_layers)
    return Profile(
        name=name,
        method="formula",
        params_by_part=parameters.count(architecture),
        macs_by_part={part: sum(entry[part] for entry in counts) for part in counts[0]},
        buckets=_buckets(counts),
        rule=RULE,
        frames_rule=f"T = floor((L - {first}) / {step}) + 1 for L samples at 16 kHz",
    )


def _buckets(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    sums = dict.fromkeys(BUCKETS, 0)
    for utterance, entry in zip(UTTERANCES, counts, strict=True):
        sums[utterance.bucket] += sum(entry.values())
    return sums
