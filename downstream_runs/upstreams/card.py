"""The card of an upstream: what it is, what it costs, and on what its features depend, all of it measured."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeVar

from downstream_runs.upstreams import efficiency, probes
from downstream_runs.upstreams.checked import SAMPLE_RATE, CheckedUpstream, weights_sha256
from upstream_arm.common.errors import SuperbError

if TYPE_CHECKING:
    from torch import nn

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Card:
    """What an upstream is, as it was measured; what was not, or could not be, is None.

    batching: how a run uses it: exact, stock (as s3prl does) or another of its own. states, layer: what of
        its output is described.
    layers, width: of these states. stride: samples from one frame to the next, promised and measured.
    sampling_rate: in Hz, as the upstream says; s3prl gives every upstream 16,000.
    parameters: all; used: those that a gradient of the features reaches. macs, rtf, peak_memory, machine: see
        `efficiency.Efficiency`.
    weights_sha256: over its tensors. source, revision, licence: of one from elsewhere (`upstreams.sources`).
    batch: how far features depend on an utterance's batch mates, with the module's own batching, whatever
        the run does. repeated: how far two calls differ. longer: what more audio does, and parity whether
        even and odd numbers of frames differ.
    arrived_training: whether it came in training mode, with so many dropouts at work; left_training: parts
        that are in training mode after eval().
    shared_layers: pairs of layers that are one tensor. refused: of hard cases, what was wrong, None where
        nothing was. shortest: samples of the shortest waveform that is encoded.
    audio: what was encoded. failed: measurements that ended in an error, and its words.
    """

    upstream: str
    batching: str
    states: str
    layer: int | None
    layers: int
    width: int
    stride: float
    stride_promised: float | None
    sampling_rate: int = SAMPLE_RATE
    parameters: int
    parameters_used: int | None = None
    macs: int | None = None
    rtf: float | None = None
    peak_memory: int | None = None
    machine: str | None = None
    weights_sha256: str | None = None
    source: str | None = None
    revision: str | None = None
    licence: str | None = None
    batch: probes.Batching | None = None
    repeated: probes.Difference | None = None
    longer: tuple[probes.Longer, ...] = ()
    parity: bool | None = None
    arrived_training: bool | None = None
    dropouts: int | None = None
    left_training: int | None = None
    shared_layers: tuple[tuple[int, int], ...] = ()
    refused: Mapping[str, str | None] = field(default_factory=dict)
    shortest: int | None = None
    audio: str = probes.AUDIO
    failed: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Everything that is known, as JSON holds it."""
        return {key: value for key, value in dataclasses.asdict(self).items() if value not in (None, (), {})}


def measure(upstream: CheckedUpstream, name: str, *, thorough: bool) -> Card:
    """The card of an upstream, which is in evaluation mode afterwards; the random generators are as before.

    thorough: everything, for which some minutes of audio are encoded; else what a run can afford before it
    begins, for which twelve seconds are. UsageError for an upstream that does not fit s3prl's interface;
    anything else that it cannot do is on the card.
    """
    module, attempts = upstream.module, _Attempts()
    promised = getattr(module, "get_downsample_rates", None)
    with probes.undisturbed():
        probe = probes.Probe(module, name, upstream.states, upstream.layer)
        first = probe.lonely[0]
        card = Card(
            upstream=name,
            batching=str(upstream.switches.get("batching", "stock")),
            states=upstream.states,
            layer=upstream.layer,
            layers=first.shape[0],
            width=first.shape[2],
            stride=probe.stride,
            stride_promised=None if promised is None else float(promised(upstream.states)),
            sampling_rate=getattr(getattr(module, "facts", None), "sampling_rate", SAMPLE_RATE),
            parameters=efficiency.parameters(module),
            batch=attempts.of("batch", probe.batching),
            repeated=attempts.of("repeated", probe.repeated),
            arrived_training=upstream.arrived_training,
            dropouts=_dropouts(module),
            left_training=sum(part.training for part in module.modules()),
            shared_layers=attempts.of("shared_layers", probe.shared_layers) or (),
            failed=attempts.failed,
        )
        return _thorough(card, probe, attempts) if thorough else card


def _thorough(card: Card, probe: probes.Probe, attempts: _Attempts) -> Card:
    """The same with what takes longer."""
    module = probe.module
    return dataclasses.replace(
        card,
        parameters_used=attempts.of("parameters_used", probe.parameters_used),
        macs=efficiency.macs(module),
        rtf=attempts.of("rtf", lambda: efficiency.real_time_factor(module)),
        peak_memory=attempts.of("peak_memory", lambda: efficiency.peak_memory(module)),
        machine=efficiency.machine(probe.device),
        weights_sha256=weights_sha256(module) if module.state_dict() else None,
        longer=attempts.of("longer", probe.longer) or (),
        parity=attempts.of("parity", probe.by_parity),
        refused={what: probe.refusal(wav) for what, wav in probes.hard_cases().items()},
        shortest=probe.shortest(),
    )


class _Attempts:
    """Measurements of which one may fail, and the words of those that did."""

    def __init__(self) -> None:
        self.failed: dict[str, str] = {}

    def of(self, what: str, measurement: Callable[[], T]) -> T | None:
        """What is measured, None if the upstream cannot do it; UsageError passes."""
        try:
            return measurement()
        except (SuperbError, MemoryError):
            raise
        except Exception as error:  # an upstream may raise anything
            self.failed[what] = f"{type(error).__name__}: {' '.join(str(error).split())}"
            return None


def _dropouts(module: nn.Module) -> int:
    """The layers that drop something where they are in training mode."""
    return sum(bool(getattr(part, "p", 0)) for part in module.modules() if "Dropout" in type(part).__name__)
