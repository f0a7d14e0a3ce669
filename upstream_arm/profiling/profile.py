"""A profile: parameters and multiply-accumulates of one model, by part and by bucket."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from upstream_arm.config import StudentConfig
from upstream_arm.convolutions import receptive_field
from upstream_arm.profiling import formulas
from upstream_arm.profiling.utterances import BUCKETS, LENGTHS, SECONDS

RULE = (
    "closed formula (upstream_arm/profiling/formulas.py) summed over the 32 LibriSpeech test-clean "
    "utterances of SUPERB's profiling tool, each alone, attention written out: matrix products and "
    "convolutions; not counted: norms, activations, softmax, biases and other element-wise work"
)
HUBERT_BASE_NOTE = (
    "hubert_base is the reference architecture: nothing was downloaded or loaded; as in SUPERB's own figure "
    "its attention also counts 4Td + 4HT^2 a layer, and its size includes the pre-training head"
)


@dataclasses.dataclass(frozen=True)
class Profile:
    """What a model costs; multiply-accumulates are sums over the 32 utterances."""

    name: str  # as it was asked for
    method: Literal["formula", "measured"]
    params_by_part: Mapping[str, int]
    counts: Sequence[Mapping[str, int]]  # multiply-accumulates of each utterance by part
    rule: str  # what was counted, where the rule is from, and what is not counted
    frames_rule: str = ""  # how many frames L samples give, empty where it is not known
    notes: tuple[str, ...] = ()  # sentences that belong beside the numbers
    switches: Mapping[str, str] = dataclasses.field(default_factory=dict)  # none changes these counts

    @property
    def macs_by_part(self) -> dict[str, int]:
        """Multiply-accumulates of each part."""
        return {part: sum(entry[part] for entry in self.counts) for part in self.counts[0]}

    @property
    def buckets(self) -> dict[str, int]:
        """Multiply-accumulates of SUPERB's four buckets of eight utterances."""
        totals = [sum(entry.values()) for entry in self.counts]
        size = len(totals) // len(BUCKETS)
        return {name: sum(totals[size * i : size * (i + 1)]) for i, name in enumerate(BUCKETS)}

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
            "buckets": self.buckets,
            "params_by_part": dict(self.params_by_part),
            "macs_by_part": self.macs_by_part,
            "utterances": len(LENGTHS),
            "seconds": SECONDS,
            "rule": self.rule,
            "frames": self.frames_rule,
            "notes": list(self.notes),
            "switches": dict(self.switches),
        }


def of_config(name: str, config: StudentConfig) -> Profile:
    """Profile one of our students, or HuBERT BASE, from its shape."""
    first, step = receptive_field(config.conv_layers)
    switches = {key: value for key, value in config.switches.items() if key != "repeats"}
    notes: tuple[str, ...] = ()
    if isinstance(config, formulas.FairseqHubert):
        switches, notes = {}, (HUBERT_BASE_NOTE,)
    elif config.repeats is not None:
        notes = (
            f"{name}: {config.blocks} blocks, each run {config.repeats} times; parameters are counted once "
            "and MACs in every run",
        )
    return Profile(
        name,
        "formula",
        formulas.parameters(config),
        [formulas.macs(config, samples) for samples in LENGTHS],
        RULE,
        f"T = floor((L - {first}) / {step}) + 1 for L samples at 16 kHz",
        notes,
        switches,
    )


def of_hubert_base(name: str = "hubert_base") -> Profile:
    """Profile HuBERT BASE from its shape, counted as SUPERB counts fairseq's model."""
    return of_config(name, formulas.HUBERT_BASE)
