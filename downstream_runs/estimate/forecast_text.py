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

USUAL = "as runs do it by default: frames not stored (--features auto)"

WAV_BYTES = 32_000
"""Of a second of 16-bit audio at 16 kHz."""


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
        if row.counts.stock_pair:
            yield f"{row.task.name}: s3prl searches on the host, counted as one core; we on the device"
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
    train, rate = row.task.corpus.splits["train"], row.counts.decoding
    read, once = drawn * train.mean_seconds * WAV_BYTES, train.hours
    speed = read / row.hours("off") / 3600
    return (
        f"{row.task.name}: training draws {drawn:,.0f} utterances, {hours:,.0f} h if each fills a crop: "
        f"{hours * rate:.2f} h of a core to decode, {hours * rate / row.hours('off'):.2f} cores to keep up; "
        f"{read / 1e12:.1f} TB of files, {speed / 1e9:.2f} GB/s; each once: {once:,.0f} h of audio, "
        f"{once * rate:.2f} h"
    )


def _frames(rows: Sequence[Forecast], recipe: str, hourly: float) -> Iterator[str]:
    """What is read from a store of frames, so many bytes an hour, and the disk for which it is worth it."""
    for row in rows:
        if row.stores_frames and row.task.random_share < 1:
            size = _drawn(row, recipe)[1] * (1 - row.task.random_share) * hourly
            speed = size / row.hours("off") / 3600
            read = f"reads {size / 1e12:,.1f} TB of stored frames, slower than off from a disk"
            yield f"{row.task.name}: {read} (or its cache) of less than {speed / 1e9:.1f} GB/s"


def _checked(known: Sequence[Check]) -> Iterator[tuple[str, ...]]:
    yield ("task", "formula h", "published h", "published / formula", "error")
    for check in known:
        factors = span(*(f"{factor:.1f}" for factor in check.factors))
        errors = " to ".join(dict.fromkeys(f"{1 / factor - 1:+.0%}" for factor in check.factors))
        yield (check.task.name, f"{check.formula:.2f}", check.task.cost.hours, factors, errors)


def _whole(rows: Sequence[Forecast], known: Sequence[Check]) -> Iterator[str]:
    """The sums, and what becomes of them if they are as far off as the formula's sum for stock s3prl."""
    formula = sum(check.formula for check in known)
    factors = [sum(check.published[end] for check in known) / formula for end in (0, 1)]
    yield f"together: published {span(*(f'{factor:.1f}' for factor in factors))} times the formula's"
    totals = {title: sum(row.hours(way) for row in rows) for way, title in TITLES.items()}
    totals[USUAL] = sum(row.hours("off" if row.stores_frames else "stored") for row in rows)
    for title, total in totals.items():
        longer = span(*(_hours(factor * total) for factor in factors))
        yield f"all of it, {title}: {_hours(total)} h by the formula, {longer} h if as far off as there"


def _hours(number: float) -> str:
    return f"{number:.2f}" if number < 10 else f"{number:,.0f}"
