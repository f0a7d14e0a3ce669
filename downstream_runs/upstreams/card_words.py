"""The card of an upstream in plain sentences."""

from __future__ import annotations

import math
from collections.abc import Iterator

from downstream_runs.upstreams.card import Card
from downstream_runs.upstreams.efficiency import SECONDS
from downstream_runs.upstreams.probes import Batching, Difference
from upstream_arm.common.words import shown

EXACT = "exact"
MATES = {
    "padded": "beside longer ones",
    "equal": "beside one of its own length",
    "permuted": "where the batch is in another order",
}


def line(card: Card) -> str:
    """The card in one line, as a run says it before it begins."""
    layers = f"{card.layers} layer{'s' if card.layers > 1 else ''} of {card.width} features"
    size = f"{card.parameters:,} parameters" if card.parameters else "no parameters"
    said = f"{card.upstream}: {layers}, {card.stride:g} samples a frame, {size}; {_on_batch(card)}"
    if card.repeated is not None and card.repeated.absolute != 0:
        said += f"; two calls with the same audio differ by {_up_to(card.repeated)}"
    return said


def sentences(card: Card) -> Iterator[tuple[str, str]]:
    """All of the card: what is told, and in words."""
    yield from _shape(card)
    yield from _costs(card)
    yield from (
        (name, str(value))
        for name, value in (
            ("weights", card.weights_sha256 and f"SHA-256 {card.weights_sha256}"),
            ("source", card.source),
            ("revision", card.revision),
            ("licence", card.licence),
        )
        if value
    )
    yield "batch", _on_batch(card)
    yield from _details(card)
    yield from _cases(card)
    yield "audio", f"what was encoded is {card.audio}"
    for what, reason in card.failed.items():
        yield what, f"could not be measured: {shown(reason, 200)}"


def _shape(card: Card) -> Iterator[tuple[str, str]]:
    taken = card.states if card.layer is None else f"layer {card.layer} of {card.states}"
    yield "layers", f"{card.layers} of {card.width} features ({taken})"
    said = f"every {card.stride:g} samples ({1000 * card.stride / 16_000:g} ms)"
    if card.stride_promised is None:
        said += ", as measured; it has no get_downsample_rates"
    elif math.isclose(card.stride, card.stride_promised):
        said += ", as its get_downsample_rates promises"
    else:
        said += f", as measured; its get_downsample_rates promises {card.stride_promised:g}"
    yield "frames", said
    if card.sampling_rate == 16_000:
        yield "sampling", "16,000 Hz"
    else:
        yield (
            "sampling",
            f"{card.sampling_rate:,} Hz, and every corpus here has 16,000 Hz: it hears another pitch",
        )
    used = "" if card.parameters_used is None else f", of which {card.parameters_used:,} decide the features"
    yield "parameters", f"{card.parameters:,}{used if card.parameters else ''}"


def _costs(card: Card) -> Iterator[tuple[str, str]]:
    if card.macs is not None:
        yield "MACs", f"{card.macs / 1e9:,.3f} G over the 32 utterances of SUPERB's rule"
    if card.rtf is not None:
        yield "time", f"{card.rtf:.2g} s for a second of audio, one utterance at a time ({card.machine})"
    if card.peak_memory is not None:
        yield (
            "memory",
            f"{card.peak_memory / 1e6:,.1f} MB at most, weights included, for {SECONDS} s of audio",
        )


def _details(card: Card) -> Iterator[tuple[str, str]]:
    if card.repeated is not None:
        same = "two calls with the same audio give the same features, bit for bit"
        differ = f"two calls with the same audio differ by {_up_to(card.repeated)}: results will not repeat"
        yield "repetition", same if card.repeated.absolute == 0 else differ
    if card.longer:
        first, sample, *frames = card.longer
        yield (
            "length",
            f"{first.samples:,} samples give {first.frames} frames; one more gives {sample.frames} and "
            f"changes features by {_up_to(sample.difference)}; then {card.stride:g} more at a time give "
            f"{', '.join(str(one.frames) for one in frames)} and change those before by "
            f"{', '.join(_up_to(one.difference) for one in frames)}",
        )
    if card.parity is not None:
        yield (
            "parity",
            (
                "even and odd numbers of frames give other features: one more changes more than two more"
                if card.parity
                else "even and odd numbers of frames are alike"
            ),
        )
    if card.arrived_training is not None:
        came = (
            f"in training mode with {card.dropouts} dropouts"
            if card.arrived_training
            else "in evaluation mode"
        )
        left = f"{card.left_training} parts are" if card.left_training else "no part is"
        yield "mode", f"it came {came}; after eval() {left} left in training mode"
    if card.shared_layers:
        pairs = ", ".join(f"{one} and {other}" for one, other in card.shared_layers)
        yield "layers", f"these are one tensor each: {pairs}; a change in place would show in both"


def _cases(card: Card) -> Iterator[tuple[str, str]]:
    for what, wrong in card.refused.items():
        yield what, "features are finite" if wrong is None else f"is not encoded: {shown(wrong, 200)}"
    if card.shortest is not None:
        yield "shortest", f"{card.shortest:,} samples ({1000 * card.shortest / 16_000:.1f} ms) can be encoded"


def _on_batch(card: Card) -> str:
    """Whether an utterance's features depend on its batch mates."""
    if card.batch is None:
        return "it could not be measured whether features depend on the batch"
    largest = card.batch.largest
    if largest.absolute == 0:
        return "an utterance's features do not depend on its batch"
    if largest.rounding:
        return f"an utterance's features depend on its batch by rounding alone ({_up_to(largest)})"
    how = "this run encodes each alone" if card.batching == EXACT else "--batching exact encodes each alone"
    return f"an utterance's features depend on its batch: they differ by {_mates(card.batch)}; {how}"


def _mates(batch: Batching) -> str:
    every = {words: getattr(batch, name) for name, words in MATES.items()}
    return ", ".join(f"{_up_to(one)} {words}" for words, one in every.items() if not one.rounding)


def _up_to(difference: Difference) -> str:
    """A difference in words, in parts of the features' own size (their root mean square)."""
    relative = difference.relative
    if relative is None:
        return "what is no number"
    if relative == 0:
        return "nothing"
    if relative < 1e-3:
        return f"up to {relative:.0e} of their size"
    return (
        f"up to {100 * relative:.2g} % of their size"
        if relative < 1
        else f"up to {relative:.2g} times their size"
    )
