"""Other upstreams than the paper's students on a pretend accelerator, a card, and distillation's steps."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import noise
import peer_files
import pytest
import rehearsal
import sources
import tiny_distillation
import torch
import toy
from rehearsed_runs import ours
from safetensors.torch import load_file

from downstream_runs.upstreams import card
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.distillation import training
from upstream_arm.distillation.devices import DistributedContext
from upstream_arm.peers.loading import load_peer

LENGTHS = (4_000, 2_500, 4_000)
NOT_COMPARED = ("rtf", "peak_memory", "machine", "shared_layers", "failed")
"""What of a card differs from call to call, or needs a device's memory, which the pretend one has not."""


def peer(folder: Path) -> Any:
    return load_peer("distilhubert_local", peer_files.write("distilhubert", folder))


def encoder(folder: Path) -> Any:
    pytest.importorskip("transformers")
    from upstream_arm.encoders.transformers_encoder import TransformersEncoder

    return TransformersEncoder(sources.model(folder / "model"))


# transformers normalises each waveform in numpy, on the host.
@pytest.mark.parametrize(("make", "theirs"), [(peer, 0), (encoder, len(LENGTHS))])
def test_features_are_the_cpus_and_one_copy_out_says_that_waveforms_are_finite(
    make: Any, theirs: int, tmp_path: Path
) -> None:
    upstream = make(tmp_path).eval()
    torch.manual_seed(0)
    wavs = [torch.randn(length) for length in LENGTHS]
    with torch.no_grad():
        expected = upstream(wavs)["hidden_states"]
    with rehearsal.counting(), torch.no_grad():
        placed = copy.deepcopy(upstream).to(rehearsal.DEVICE)
        there = [wav.to(rehearsal.DEVICE) for wav in wavs]
        with rehearsal.counting() as counts:
            found = placed(there)["hidden_states"]
    pairs = zip(found, expected, strict=True)
    assert all(torch.allclose(rehearsal.on_host(one), other, atol=1e-6) for one, other in pairs)
    assert sum(counts.copies_out.values()) <= 1 + theirs and not counts.waits, counts
    assert not counts.blocking, counts.blocking


def test_a_card_measures_the_same_on_the_device() -> None:
    torch.manual_seed(0)
    upstream = toy.Toy().eval()
    expected = card.measure(CheckedUpstream(upstream, "toy"), "toy", thorough=True)
    with rehearsal.counting():
        placed = copy.deepcopy(upstream).to(rehearsal.DEVICE)
        found = card.measure(CheckedUpstream(placed, "toy"), "toy", thorough=True)
    left_out = dict.fromkeys(NOT_COMPARED)
    assert dataclasses.replace(found, **left_out) == dataclasses.replace(expected, **left_out)
    assert found.failed.keys() <= {"peak_memory"}


def test_distillation_makes_the_cpus_student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    noise.make_corpus(tmp_path)
    settings = tiny_distillation.settings(tmp_path, epochs=1, full_epochs=1)
    options = training.RuntimeOptions(device="cpu")
    expected = load_file(training.distil(settings, tmp_path / "cpu", options))
    steps: list[rehearsal.Counts] = []
    step = training.Distillation._step

    @contextlib.contextmanager
    def distributed(device: str) -> Iterator[DistributedContext]:
        yield DistributedContext(rehearsal.DEVICE)

    def counted(run: Any, *given: Any) -> Any:
        with rehearsal.counting() as counts:
            values = step(run, *given)
        steps.append(counts)
        return values

    monkeypatch.setattr(training, "distributed", distributed)
    monkeypatch.setattr(training.Distillation, "_step", counted)
    with rehearsal.counting():
        found = load_file(training.distil(settings, tmp_path / "device", options))
    assert found.keys() == expected.keys() and len(steps) == 2
    assert all(torch.allclose(one, expected[key], atol=1e-5) for key, one in found.items())
    for counts in steps:  # of two batches; what is recorded is read at once, after the weights were changed
        assert not ours(counts.waits) and sum(counts.copies_out.values()) <= 1, counts
        assert not counts.blocking, counts.blocking
