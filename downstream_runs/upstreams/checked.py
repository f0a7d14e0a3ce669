"""An upstream whose output is held to s3prl's interface at every call.

s3prl itself finds out late and in its own words: an assertion of its featurizer, or unequal tensors stacked.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from downstream_runs.core.efficiency import Quantized
from downstream_runs.upstreams import alone, tensors
from upstream_arm.common.errors import SuperbError, UsageError, sentence
from upstream_arm.convolutions import TOLERATED_FRAMES
from upstream_arm.published_states import STATES

EXACT = "exact"  # the value of `batching` with which an utterance's features do not depend on its batch
SAMPLE_RATE = tensors.SAMPLE_RATE


class CheckedUpstream:
    """Stands for an upstream: calls it and checks what comes back; all else of it is at hand as it is.

    Attributes:
        module: the upstream itself.
        switches: the settings that change the arithmetic, for result files: its own, and `batching` if given.
        arrived_training: whether it came in training mode.
        alone: whether each utterance is encoded by itself: `batching` is exact, and the module does not see
            to that.
        states, layer: what is taken of its output, as RunPlan has them.
        quantized: what quantizing made of it, if it was.

    Raises UsageError, naming the upstream and the fault, if it is no module of torch, or if an output is not
    a dict with `states`: tensors `[batch, frame, feature]` of one shape, as many at each call, with the
    frames that `get_downsample_rates` promises; or if it has no such layer.
    """

    def __init__(
        self,
        upstream: Any,
        name: str,
        states: str = STATES,
        layer: int | None = None,
        *,
        batching: str | None = None,
    ) -> None:
        if not isinstance(upstream, nn.Module):
            raise UsageError(
                f"upstream {name} gave a {type(upstream).__name__}, expected a torch.nn.Module that takes a "
                "list of waveforms; let its function return one"
            )
        self.module: Any = upstream
        self.arrived_training = upstream.training
        self._name = name
        own = dict(getattr(upstream, "switches", None) or {})
        self.alone = batching == EXACT != own.get("batching")
        given = {} if batching is None else {"batching": batching}
        self.switches = {**own, **given} if self.alone else {**given, **own}
        self._rates: dict[str, float] = {}
        self.states, self.layer = states, layer
        self.quantized: Quantized | None = None
        self._layers: tuple[int, int] | None = None  # their number and their width, once known

    def __getattr__(self, name: str) -> Any:
        if name == "module":  # not set yet: a copy in the making
            raise AttributeError(name)
        return getattr(self.module, name)

    def eval(self) -> CheckedUpstream:
        """Evaluation mode."""
        self.module.eval()
        return self

    def __call__(self, wavs: Sequence[Tensor]) -> Any:
        """The upstream's output for waveforms `[sample]`."""
        if self.alone:
            outputs = [self._checked([wav]) for wav in wavs]
            if len({alone.first_layer(one[self.states]).data_ptr() for one in outputs}) < len(outputs):
                found = "gives the memory of its last output again"
                raise self._fault(found, "tensors of its own at each call", "return copies")
            longest = max(map(len, wavs))
            return alone.together(outputs, lambda key: round(longest / self._rate(key, wavs[0])))
        return self._checked(wavs)

    def used_layers(self, wavs: Sequence[Tensor]) -> list[Tensor]:
        """The layers `[batch, frame, feature]` that are used of the output for waveforms."""
        return self._check(self(wavs), wavs)

    def _checked(self, wavs: Sequence[Tensor]) -> Any:
        if torch.compiler.is_compiling():
            return self.module(wavs)
        if self._layers is not None:
            output = self.module(wavs)
            self._check(output, wavs)
            return output
        before = [wav.clone() for wav in wavs]
        try:
            output = self.module(wavs)
        except (SuperbError, MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # an upstream may raise anything
            reason = sentence(" ".join(str(error).split())) or "no reason given"
            raise UsageError(
                f"upstream {self._name} cannot encode a list of {len(before)} waveforms of up to "
                f"{max(map(len, before))} samples: {type(error).__name__}: {reason}; correct its forward"
            ) from error
        self._tell(tensors.first_fault(self._check(output, wavs), wavs, before))
        return output

    def _rate(self, key: str, like: Tensor) -> float:
        """Samples a frame: as the upstream says, or of one second, as s3prl's featurizer takes it then."""
        promised = getattr(self.module, "get_downsample_rates", None)
        if promised is not None:
            return float(promised(key))
        if key not in self._rates:
            second = self.module([like.new_zeros(SAMPLE_RATE)])
            self._rates[key] = round(SAMPLE_RATE / alone.first_layer(second[key]).shape[1])
        return self._rates[key]

    def _check(self, output: Any, wavs: Sequence[Tensor]) -> list[Tensor]:
        """The layers that are used of an output, all as they should be."""
        key = self.states
        if not isinstance(output, Mapping):
            raise self._fault(f"returns a {type(output).__name__}", f"a dict with {key}")
        if key not in output:
            found = ", ".join(map(str, output)) or "nothing"
            raise self._fault(f"returns a dict of {found}", f"a dict with {key}", _instead(output))
        states = _listed(output[key])
        if not isinstance(states, (list, tuple)) or not states:
            raise self._fault(f"has {_kind(states)} under {key}", "a list of tensors, one a layer")
        layers = self._taken(len(states))
        for number in layers:
            if not isinstance(states[number], Tensor) or states[number].dim() != 3:
                raise self._fault(
                    f"has {_kind(states[number])} as layer {number} of {key}",
                    "a tensor [batch, frame, feature]",
                    _instead(output),
                )
        used = [states[number] for number in layers]
        self._tell(tensors.fault(used, wavs))
        self._check_shapes([tuple(state.shape) for state in used], wavs)
        return used

    def _taken(self, count: int) -> range:
        """The numbers of the layers that are used, of so many."""
        if self.layer is None:
            return range(count)
        if not -count <= self.layer < count:
            what = f"{count} layers" if count > 1 else "one layer"
            raise UsageError(
                f"upstream {self._name} gives {what} under {self.states}, --layer is {self.layer}: give 0 to "
                f"{count - 1}, or leave it out"
            )
        return range(self.layer % count, self.layer % count + 1)

    def _check_shapes(self, shapes: Sequence[tuple[int, ...]], wavs: Sequence[Tensor]) -> None:
        first = shapes[0]
        for number, shape in enumerate(shapes):
            if shape != first:
                raise self._fault(
                    f"has layers of different shapes, {list(first)} and {list(shape)} in layer {number}",
                    "layers of one shape, which s3prl can sum",
                )
        layers = len(shapes), first[2]
        if self._layers is None:
            self._layers = layers
        if layers != self._layers:
            before = "{} layers of width {}".format(*self._layers)
            raise self._fault(
                f"gave {before} and now gives {layers[0]} of width {layers[1]}", "as many at each call"
            )
        if first[0] != len(wavs):
            raise self._fault(f"gives {first[0]} items for a batch of {len(wavs)} waveforms", "one for each")
        self._check_frames(first[1], max(len(wav) for wav in wavs))

    def _check_frames(self, frames: int, samples: int) -> None:
        rates = getattr(self.module, "get_downsample_rates", None)
        if rates is None:
            return  # s3prl measures the rate from the first output
        rate = rates(self.states)
        if isinstance(rate, bool) or not isinstance(rate, (int, float)) or not 0 < rate < math.inf:
            raise self._fault(
                f"has {rate!r} as its get_downsample_rates({self.states!r})",
                "the number of samples from one frame to the next",
                "correct that",
            )
        expected = round(samples / rate)
        if abs(frames - expected) >= TOLERATED_FRAMES:
            raise self._fault(
                f"gives {frames} frames for {samples / SAMPLE_RATE:.2f} s of audio",
                f"{expected} at {rate} samples a frame, which is what its get_downsample_rates says",
                "cut its padding off, or correct the rate",
            )

    def _tell(self, fault: tensors.Fault | None) -> None:
        if fault is not None:
            raise self._fault(fault.found, fault.expected, fault.then)

    def _fault(self, found: str, expected: str, then: str = "correct its forward") -> UsageError:
        return UsageError(f"upstream {self._name} {found}, expected {expected}: {then}")


def _listed(states: Any) -> Any:
    """One entry of an upstream's output as s3prl's featurizer takes it: a list of layers."""
    states = list(states.values()) if isinstance(states, Mapping) else states
    return [states] if isinstance(states, Tensor) else states


def _instead(output: Mapping[str, Any]) -> str:
    """What to do where the states are no features: take others, if there are some."""
    listed = {str(key): _listed(value) for key, value in output.items()}
    usable = [key for key, states in listed.items() if isinstance(states, (list, tuple)) and _are(states)]
    return f"take --states {' or '.join(usable)}" if usable else "correct its forward"


def _are(states: Sequence[Any]) -> bool:
    """Whether these are features of layers."""
    return bool(states) and all(isinstance(state, Tensor) and state.dim() == 3 for state in states)


def _kind(value: Any) -> str:
    if isinstance(value, Tensor):
        return f"a tensor of shape {list(value.shape)}"
    empty = isinstance(value, (list, tuple)) and not value
    return f"an empty {type(value).__name__}" if empty else f"a {type(value).__name__}"


def weights_sha256(module: nn.Module) -> str:
    """SHA-256 over the names and values of a module's parameters and buffers."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(name.encode("utf-8"))
        flat = tensor.detach().cpu().contiguous().reshape(-1)
        digest.update(flat.view(torch.uint8).numpy())
    return digest.hexdigest()
