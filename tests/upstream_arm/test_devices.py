"""Names of devices, what there is of them, and what is done on the CPU in their place."""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from downstream_runs.core import generators
from upstream_arm.common import devices
from upstream_arm.common.errors import UsageError
from upstream_arm.distillation.devices import distributed


def pretend(monkeypatch: pytest.MonkeyPatch, kind: str | None, count: int) -> None:
    """Have torch see so many accelerators of that kind."""
    there = None if kind is None else torch.device(kind)
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: there)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
    monkeypatch.setattr(torch.accelerator, "set_device_index", lambda index: None)


@pytest.mark.parametrize(
    ("kind", "count", "name", "found"),
    [
        (None, 0, "auto", "cpu"),
        (None, 0, "cpu", "cpu"),
        ("cuda", 2, "auto", "cuda:0"),
        ("cuda", 2, "cuda", "cuda"),
        ("cuda", 2, "cuda:1", "cuda:1"),
        ("xpu", 1, "auto", "xpu:0"),
        ("mps", 1, "auto", "cpu"),
        ("mps", 1, "cpu", "cpu"),
    ],
)
def test_a_name_is_a_device(
    monkeypatch: pytest.MonkeyPatch, kind: str | None, count: int, name: str, found: str
) -> None:
    pretend(monkeypatch, kind, count)
    assert devices.pick(name) == torch.device(found)


@pytest.mark.parametrize(
    ("kind", "count", "name", "sentence"),
    [
        (None, 0, "cuda", "device cuda is not here, torch sees cpu; use one of these, or auto"),
        ("cuda", 2, "cuda:2", "device cuda:2 is not here, torch sees cpu, cuda:0, cuda:1; use one of"),
        ("cuda", 2, "mps", "device mps is not here, torch sees cpu, cuda:0, cuda:1; use one of these"),
        ("mps", 1, "mps:1", "device mps:1 is not here, torch sees cpu, mps:0; use one of these, or auto"),
        ("cuda", 2, "gpu", "device 'gpu' is unknown, expected auto, cpu, cuda, mps or xpu"),
        ("cuda", 2, "cuda:", "device 'cuda:' is unknown, expected"),
        ("cuda", 2, "cuda:1\n", "is unknown, expected"),
    ],
)
def test_what_is_not_there_is_told_with_what_is(
    monkeypatch: pytest.MonkeyPatch, kind: str | None, count: int, name: str, sentence: str
) -> None:
    pretend(monkeypatch, kind, count)
    with pytest.raises(UsageError) as raised:
        devices.pick(name)
    assert sentence in str(raised.value)


def test_the_cpu_does_what_a_device_cannot() -> None:
    places = {kind: torch.device(kind) for kind in ("cpu", *devices.KINDS)}
    for need in (devices.FLOAT64, devices.PEAKS):
        assert {kind: devices.able(place, need).type for kind, place in places.items()} == {
            "cpu": "cpu",
            "cuda": "cuda",
            "xpu": "xpu",
            "mps": "cpu",
        }


@pytest.mark.parametrize(
    "first", ["downstream_runs", "downstream_runs.cli.main", "upstream_arm.distillation.command"]
)
def test_operations_that_mps_lacks_fall_back_from_the_first_import_of_torch_on(first: str) -> None:
    code = (
        f"import os, sys, {first}; assert 'torch' not in sys.modules; import upstream_arm.common.devices; "
        "assert 'torch' not in sys.modules; print(os.environ['PYTORCH_ENABLE_MPS_FALLBACK'])"
    )
    for given, seen in ((None, "1"), ("0", "0")):
        environment = {key: one for key, one in os.environ.items() if key != "PYTORCH_ENABLE_MPS_FALLBACK"}
        environment |= {} if given is None else {"PYTORCH_ENABLE_MPS_FALLBACK": given}
        done = subprocess.run(
            [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True
        )
        assert done.stdout.strip() == seen


def test_precisions_are_those_of_the_devices_autocast(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    assert devices.casts(cpu, torch.bfloat16) and devices.casts(cpu, torch.float16)
    assert not devices.casts(cpu, torch.float64)  # torch warns, and stays with fp32
    assert not devices.casts(torch.device("meta"), torch.bfloat16)
    monkeypatch.setattr(torch.cuda.amp.common, "amp_definitely_not_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: False)  # of which torch makes an error
    assert not devices.casts(torch.device("cuda"), torch.bfloat16)


class Module(SimpleNamespace):
    """The random generators of a pretended kind, and its name."""

    def __init__(self, count: int) -> None:
        super().__init__(states=[torch.full((3,), index, dtype=torch.uint8) for index in range(count)])

    def get_rng_state(self, device: torch.device) -> torch.Tensor:
        found: torch.Tensor = self.states[device.index or 0].clone()
        return found

    def set_rng_state(self, state: torch.Tensor, device: torch.device) -> None:
        self.states[device.index or 0] = state

    def get_device_name(self, device: torch.device) -> str:
        return f"Pretended {device.index}"


@pytest.mark.parametrize("kind", devices.KINDS)
def test_random_states_of_any_kind_are_kept_and_put_back(monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    module: Any = Module(2)
    pretend(monkeypatch, kind, 2)
    monkeypatch.setattr(torch, "get_device_module", lambda device: module)
    kept = generators.random_states()
    assert [state.tolist() for state in kept[kind]] == [[0] * 3, [1] * 3]
    assert generators.random_states(devices=False)["cuda"] == []
    for state in module.states:
        state.fill_(9)
    generators.restore_random_states(kept)
    assert [state.tolist() for state in module.states] == [[0] * 3, [1] * 3]
    # Of another number, another kind, or a checkpoint of before (which had `cuda` alone, and always).
    for others in ({kind: [torch.full((3,), 7)]}, {"cuda": []}, {}):
        plain = {key: one for key, one in kept.items() if key not in devices.KINDS}
        generators.restore_random_states({**plain, **others})
        assert [state.tolist() for state in module.states] == [[0] * 3, [1] * 3]


def test_names_of_the_makers(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.name(torch.device("cpu")) == "cpu"
    monkeypatch.setattr(torch, "get_device_module", lambda device: Module(2))
    assert devices.name(torch.device("xpu", 1)) == "Pretended 1"
    monkeypatch.setattr(torch.backends.mps, "get_name", lambda: "Apple M4")
    assert devices.name(torch.device("mps", 0)) == "Apple M4"


def test_memory_of_a_device_that_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    assert devices.memory(torch.device("cpu")) is None
    pretend(monkeypatch, None, 0)
    assert devices.memory(torch.device("cuda", 0)) is None
    pretend(monkeypatch, "xpu", 1)
    told = SimpleNamespace(get_device_properties=lambda device: SimpleNamespace(total_memory=7))
    monkeypatch.setattr(torch, "get_device_module", lambda device: told)
    assert devices.memory(torch.device("xpu", 0)) == 7


def test_backends_of_several_processes() -> None:
    assert [devices.backend(kind) for kind in ("cpu", "cuda", "xpu")] == ["gloo", "nccl", "xccl"]


@pytest.mark.parametrize(
    ("device", "started", "rank", "own"),
    [("auto", 1, "0", "xpu:0"), ("xpu:1", 1, "0", "xpu:1"), ("xpu", 1, "1", "xpu:1"), ("cpu", 1, "0", "cpu")],
)
def test_distillation_is_on_the_device_of_its_name_or_of_its_rank(
    monkeypatch: pytest.MonkeyPatch, device: str, started: int, rank: str, own: str
) -> None:
    pretend(monkeypatch, "xpu", 2)
    monkeypatch.setenv("WORLD_SIZE", str(started))
    monkeypatch.setenv("LOCAL_RANK", rank)
    monkeypatch.setattr(torch.backends, "cudnn", SimpleNamespace())
    with distributed(device) as context:
        assert context.device == torch.device(own)


def test_one_device_is_not_for_several_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, "xpu", 2)
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(UsageError, match=r"--device xpu:1 names one of several, .* give --device xpu$"):
        distributed("xpu:1").__enter__()


def test_only_what_goes_from_the_cpu_to_a_gpu_goes_through_locked_pages() -> None:
    def tensor(place: str, pinned: bool = False) -> Any:
        def to(device: torch.device, non_blocking: bool = False) -> tuple[bool, str, bool]:
            return pinned, device.type, non_blocking

        return SimpleNamespace(device=torch.device(place), to=to, pin_memory=lambda: tensor(place, True))

    moves = [("cpu", "cuda"), ("cuda", "cuda"), ("cpu", "cpu"), ("cuda", "cpu")]
    assert [devices.to_device(tensor(start), torch.device(end)) for start, end in moves] == [
        (True, "cuda", True),
        (False, "cuda", False),
        (False, "cpu", False),
        (False, "cpu", False),
    ]
