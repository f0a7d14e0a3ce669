"""A forecast for a device that is not here: its arithmetic, its bottlenecks, its errors, and what is said."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest

pytest.importorskip("torch")

from downstream_runs import tasks
from downstream_runs.cli import estimate
from downstream_runs.cli import main as cli
from downstream_runs.estimate import accelerators, forecast
from downstream_runs.estimate.accelerators import Device
from downstream_runs.estimate.counted import Counted, TaskCounts
from downstream_runs.estimate.counts import Counts
from downstream_runs.estimate.heads import Shape

PEAKS = {"fp64": 1.0, "fp32": 100.0, "tf32": 1000.0, "bf16": 1.0}
ROUND = Device("round", "nowhere", **PEAKS, memory=10.0, link=1e6, kernel=1.0)


@pytest.mark.parametrize(
    ("counts", "seconds"),
    [
        (Counts(kernels=3, steps=2), 5.0),
        (Counts(kernels=3, fp32=1000), 10.0),
        (Counts(kernels=3, fp32=1000, tf32=4000), 14.0),
        (Counts(kernels=3, fp32=1000, products=50), 10.0),  # read while multiplying
        (Counts(kernels=3, fp32=1000, products=50, others=20), 12.0),
        (Counts(kernels=30, fp32=1000, products=50, others=20), 30.0),  # launched while computing
    ],
)
def test_the_seconds_of_counts(counts: Counts, seconds: float) -> None:
    assert ROUND.seconds(counts) == seconds


def test_a_library_starts_the_kernels_of_a_recurrent_layer() -> None:
    busy = dataclasses.replace(ROUND, operation=4.0)
    assert busy.seconds(Counts(kernels=3, steps=10)) == 3 * 5 + 10 * 1


def made(name: str, **counts: object) -> forecast.Forecast:
    """The forecast of a task of which an upstream's second of audio takes a kernel, unless told otherwise."""
    given = {"trained": Counts(kernels=1), "alone": Counts(kernels=1), "workers": 2, **counts}
    found = Counted(Shape(2, 10, 320), {name: TaskCounts(**given)}, 0.0)  # type: ignore[arg-type]
    return forecast.forecast(tasks.get(name), "superb", found, ROUND)


def test_hours_are_those_of_an_estimate() -> None:
    found = made("ic", step=Counts(kernels=7), pooled=Counts(kernels=3))
    train = tasks.get("ic").corpus.splits["train"].mean_seconds
    steps = 200_000 * (32 * train + 7) / 3600
    assert found.accelerator.off > steps
    assert found.accelerator.training == pytest.approx(200_000 * 3 / 3600)
    assert found.hours("off") == found.parts["launches"].off == found.accelerator.off
    assert found.parts["memory"].off == found.host.off == 0


@pytest.mark.parametrize(
    ("task", "counts", "off", "stored"),
    [
        ("ic", {"pooled": Counts(kernels=1)}, "launches", "launches"),
        ("ic", {"pooled": Counts(others=20), "step": Counts(fp32=1e6)}, "arithmetic", "memory"),
        ("sid", {"pooled": Counts(kernels=1), "decoding": 10.0}, "decoding", "decoding"),
        ("asr", {"trained": Counts(tf32=1e6), "alone": Counts()}, "arithmetic", "reading"),
        ("qbe", {"stock_pair": 1.0}, "search", "launches"),
    ],
)
def test_what_limits_a_task(task: str, counts: dict[str, object], off: str, stored: str) -> None:
    found = made(task, **counts)
    assert (found.bottleneck("off"), found.bottleneck("stored")) == (off, stored)


def test_loading_processes_share_the_decoding() -> None:
    found = made("sid", pooled=Counts(kernels=1), decoding=10.0)
    assert found.hours("off") == found.host.off / 2 > found.accelerator.off


def test_the_formula_is_held_against_every_published_figure() -> None:
    found = {check.task.name: check for check in forecast.checks(operation=5e-6)}
    assert set(found) == {name for name in tasks.names() if tasks.get(name).cost.hours}
    assert found["sid"].published == (30.0, 50.0)
    # Peaks are never reached: a formula above the published hours would have counted too much.
    assert all(0.02 < check.formula < check.published[1] for check in found.values())
    assert found["ks"].factors == (1.5 / found["ks"].formula,) * 2


@pytest.mark.parametrize("name", ["h100", "h200", "a100", "rtx4090", "t4"])
def test_every_device_says_where_its_figures_are_from(name: str) -> None:
    found = accelerators.named(name.upper())
    assert "NVIDIA" in found.source
    assert found.fp32 <= found.tf32 <= found.bf16 and found.fp64 <= found.fp32


def test_an_unknown_device_is_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["estimate", "armhubert", "ks", "--device-model", "h10"]) == 2
    error = capsys.readouterr().err
    assert "--device-model h10 is not known, did you mean 'h100'?; known are: h100, h200, a100" in error
    assert "Traceback" not in error


def test_a_forecast_of_a_toy_upstream(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("s3prl")
    import torch
    import toy

    from downstream_runs.upstreams.checked import CheckedUpstream

    toy.register()
    monkeypatch.chdir(tmp_path)
    built = (CheckedUpstream(toy.Toy(), "toy"), torch.device("cpu"), "toy [untrained]")
    monkeypatch.setattr(estimate, "built_upstream", lambda options, task: built)
    assert cli.main(["estimate", "toy", "ks,qbe", "--device-model", "h100"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "FORECAST for toy [untrained], 3 layers x 16, recipe superb, on NVIDIA H100 SXM 80 GB"
    rows = [line.split()[0] for line in said if line.startswith(("ks ", "qbe "))]
    assert rows == ["ks", "qbe", "ks", "qbe", "ks"], "a table for each way, and the check of the formula"
    assert said[-1].startswith(
        "a FORECAST from counts and published peaks: nothing was measured on the device"
    )
    assert not list(tmp_path.iterdir()), "nothing is written"
