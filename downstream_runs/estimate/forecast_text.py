"""A forecast in lines: a table for each way, what is read, how far the formula is off, and the whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from downstream_runs.estimate.accelerators import Device
from downstream_runs.estimate.forecast import WAYS, Check, Forecast, Way, checks
from downstream_runs.estimate.heads import Shape
from downstream_runs.estimate.predict import frame_bytes
from upstream_arm.common.words import columns, span

TITLES: Mapping[Way, str] = {
    "off": "the upstream in every pass, as in stock s3prl (--features off)",
    "stored": "features stored (--features disk)",
}


def lines(
    rows: Sequence[Forecast], recipe: str, precision: str, shape: Shape, device: Device
) -> Iterator[str]:
    """Everything but of which upstream it is."""
    for way in WAYS:
        yield f"forecast of hours, {TITLES[way]}:"
        yield from columns([*_table(rows, way)], right=range(1, 3 + len(rows[0].parts)))
    yield "hours: the accelerator's, or the host's, of the recipe's loading processes on a core each, if more"
    yield "launches to host: as if there were nothing else; core h: of one core, as measured on this machine"
    for row in rows:
        if row.task.crop_seconds is not None:
            yield _crops(row, recipe)
    yield from _frames(rows, recipe, frame_bytes(shape, precision))
    known = list(checks(device.operation))
    yield "the same formula for stock s3prl with HuBERT BASE on an H100, and hours that a user published:"
    yield from columns([*_checked(known)], right=range(1, 4))
    yield from _whole(rows, known)
    yield f"the device: {device.source}"
    yield (
        f"a launch: {device.kernel * 1e6:.1f} microseconds (A. Gray, CUDA Graphs, NVIDIA, 2019); "
        f"torch before it: {device.operation * 1e6:.1f}, measured on a core of this machine"
    )
    yield "a FORECAST from counts and published peaks: nothing was measured on the device or written"


def _table(rows: Sequence[Forecast], way: Way) -> Iterator[tuple[str, ...]]:
    parts = tuple(rows[0].parts)
    yield ("task", "hours", *parts, "host", "core h", "limited by")
    for row in rows:
        alone = (getattr(part, way) for part in row.parts.values())
        numbers = (row.hours(way), *alone, row.host_hours(way), getattr(row.host, way))
        yield (row.task.name, *map(_hours, numbers), row.bottleneck(way))
    if len(rows) > 1:
        yield ("total", _hours(sum(row.hours(way) for row in rows)), *[""] * (len(parts) + 3))


def _drawn(row: Forecast, recipe: str) -> tuple[float, float]:
    """How many utterances training draws, each fold's apart, and hours of their audio."""
    config = row.task.recipes[recipe].config
    runner = config["runner"]
    drawn = row.task.batch_size(config) * runner["gradient_accumulate_steps"] * runner["total_steps"]
    return drawn, drawn * row.task.trained_seconds / 3600


def _crops(row: Forecast, recipe: str) -> str:
    """What random crops have to be read, and what decoding once would save."""
    drawn, hours = _drawn(row, recipe)
    once, rate = row.task.corpus.splits["train"].hours, row.counts.decoding
    return (
        f"{row.task.name}: training draws {drawn:,.0f} utterances, {hours:,.0f} h if each is as "
        f"long as a crop: {hours * rate:.2f} h of a core to decode, {hours * rate / row.hours('off'):.2f} "
        f"cores to keep up; each utterance once, {once:,.0f} h of audio: {once * rate:.2f} h"
    )


def _frames(rows: Sequence[Forecast], recipe: str, hourly: float) -> Iterator[str]:
    """What is read from a store of frames of so many bytes an hour, which the disk or its cache must give."""
    for row in rows:
        if row.counts.pooled is None and row.task.train_split is not None and row.task.random_share < 1:
            size = _drawn(row, recipe)[1] * (1 - row.task.random_share) * hourly
            speed = size / row.hours("stored") / 3600
            read = f"reads {size / 1e12:,.1f} TB of stored frames"
            yield f"{row.task.name}: {read}, {speed / 1e9:.1f} GB a second"


def _checked(known: Sequence[Check]) -> Iterator[tuple[str, ...]]:
    yield ("task", "formula h", "published h", "published / formula", "error")
    for check in known:
        factors = span(*(f"{factor:.1f}" for factor in check.factors))
        errors = span(*(f"{1 / factor - 1:+.0%}" for factor in check.factors))
        yield (check.task.name, f"{check.formula:.2f}", check.task.cost.hours, factors, errors)


def _whole(rows: Sequence[Forecast], known: Sequence[Check]) -> Iterator[str]:
    """The sum, and what becomes of it if it is as far off as the formula is for stock s3prl."""
    low = min(check.factors[0] for check in known)
    high = max(check.factors[1] for check in known)
    for way in WAYS:
        total = sum(row.hours(way) for row in rows)
        yield (
            f"{len(rows)} tasks, {TITLES[way]}: {_hours(total)} h by the formula, "
            f"{span(_hours(low * total), _hours(high * total))} h if it is as far off as there"
        )


def _hours(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"
