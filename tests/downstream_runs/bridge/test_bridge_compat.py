"""What the bridge supplies besides audio, and that all of s3prl that the ten tasks need then imports."""

from __future__ import annotations

import importlib
import sys
from argparse import Namespace
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import torch

from downstream_runs import bridge
from downstream_runs.bridge import (
    removed_names,
    stand_ins,
    torchaudio_compat,
)
from downstream_runs.bridge.stand_ins import dtw
from upstream_arm.common.errors import UsageError

TASKS = (
    "asr", "ctc", "speech_commands", "quesst14_dtw", "voxceleb1", "sv_voxceleb1", "diarization",
    "fluent_commands", "emotion",
)  # fmt: skip


def test_s3prl_imports(bridged: None) -> None:
    for module in ("hub", "run_downstream", "downstream.runner", *(f"downstream.{t}.expert" for t in TASKS)):
        importlib.import_module(f"s3prl.{module}")


def test_apply_registers_our_upstreams_and_repeats_nothing(bridged: None) -> None:
    import torchaudio

    hub = importlib.import_module("s3prl.hub")
    assert callable(hub.arm_hubert) and "maskhubert_local" in hub.options()
    supplied = torchaudio.load, torchaudio.sox_effects
    bridge.apply.cache_clear()
    bridge.supply.cache_clear()
    bridge.apply()
    assert (torchaudio.load, sys.modules["torchaudio.sox_effects"]) == supplied


def test_s3prl_imports_without_distutils() -> None:
    import subprocess

    code = (
        "import importlib.util, sys\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name, *more: None if name == 'distutils' else found(name, *more)\n"
        "for name in [name for name in sys.modules if name.partition('.')[0] == 'distutils']:\n"
        "    del sys.modules[name]\n"
        "from downstream_runs import bridge\n"
        "bridge.apply()\n"
        "from s3prl.upstream.mockingjay.builder import strtobool\n"
        "print(strtobool.__module__, strtobool('Yes'), strtobool('off'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip().endswith("downstream_runs.bridge.stand_ins 1 0")
    with pytest.raises(ValueError, match="maybe"):
        stand_ins.strtobool("maybe")


def test_importing_the_bridge_is_cheap() -> None:
    import subprocess

    code = (
        "import sys, downstream_runs.bridge.command;"
        "print([m for m in ('torch', 'numpy', 's3prl', 'yaml') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_only_what_is_missing_is_supplied(monkeypatch: pytest.MonkeyPatch, bridged: None) -> None:
    import huggingface_hub
    import torchaudio

    marker = object()
    for module, name in ((torchaudio, "info"), (huggingface_hub, "HfFolder")):
        monkeypatch.setattr(module, name, marker)
    torchaudio_compat.install()
    removed_names.install()
    assert torchaudio.info is marker
    assert huggingface_hub.HfFolder is marker
    monkeypatch.setitem(sys.modules, "dtw", marker)  # type: ignore[arg-type]
    stand_ins.install()
    assert sys.modules["dtw"] is marker


def test_torchcodec_keeps_torchaudios_own_load(monkeypatch: pytest.MonkeyPatch) -> None:
    import torchaudio

    def own(file: str) -> tuple[torch.Tensor, int]:
        return torch.tensor([[0.0, float("nan" if file == "bad.wav" else 1)]]), 16_000

    monkeypatch.setattr(torchaudio, "load", own)
    monkeypatch.setattr(torchaudio_compat, "_importable", lambda name: True)
    torchaudio_compat.install()
    torchaudio_compat.install()
    assert torchaudio.load.__wrapped__ is own
    assert torchaudio.load("good.wav")[0].tolist() == [[0, 1]]
    with pytest.raises(UsageError, match=r"bad.wav: 1 of 2 samples are no finite numbers .* is sample 1\)"):
        torchaudio.load("bad.wav")


def test_a_namespace_is_loaded_and_code_is_not(bridged: None, tmp_path: Path) -> None:
    safe, unsafe = tmp_path / "safe.ckpt", tmp_path / "unsafe.ckpt"
    torch.save({"Args": Namespace(seed=7, upstream="fbank"), "Step": 3}, safe)
    assert torch.load(safe) == {"Args": Namespace(seed=7, upstream="fbank"), "Step": 3}
    torch.save({"Args": Namespace(), "code": print}, unsafe)
    with pytest.raises(Exception, match="Unsupported global"):
        torch.load(unsafe)


@pytest.mark.parametrize("name", ["Adam", "AdamW", "SGD"])
def test_optimizer_and_scheduler_states_of_s3prl_survive(bridged: None, tmp_path: Path, name: str) -> None:
    from s3prl.optimizers import get_optimizer
    from s3prl.schedulers import get_scheduler

    model = torch.nn.Linear(2, 2)
    settings = {"name": "TorchOptim", "torch_optim_name": name, "lr": 0.1}
    optimizer = get_optimizer([model], 10, settings)
    scheduler = get_scheduler(optimizer, 10, {"name": "linear_schedule_with_warmup", "num_warmup_steps": 2})
    model(torch.ones(1, 2)).sum().backward()
    optimizer.step()
    scheduler.step()
    torch.save(
        {"Optimizer": optimizer.state_dict(), "Scheduler": scheduler.state_dict()}, tmp_path / "a.ckpt"
    )
    loaded = torch.load(tmp_path / "a.ckpt")
    optimizer.load_state_dict(loaded["Optimizer"])
    scheduler.load_state_dict(loaded["Scheduler"])
    assert loaded["Scheduler"]["last_epoch"] == 1


def test_numpy_names(bridged: None) -> None:
    assert np.fromiter((1, 2), np.int).tolist() == [1, 2]


def test_hf_folder_uses_the_new_functions(monkeypatch: pytest.MonkeyPatch) -> None:
    import huggingface_hub

    stored: list[str] = []
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "t")
    monkeypatch.setattr(huggingface_hub, "login", lambda token: stored.append(token))
    monkeypatch.setattr(huggingface_hub, "logout", stored.clear)
    assert removed_names.HfFolder.get_token() == "t"
    removed_names.HfFolder.save_token("u")
    assert stored == ["u"]
    removed_names.HfFolder.delete_token()
    assert not stored


def test_repository_says_why_not() -> None:
    with pytest.raises(UsageError, match="push_to_hf_hub"):
        removed_names.Repository(local_dir="x", clone_from="y")


def brute_force(x: np.ndarray, row: int, column: int, open_begin: bool) -> float:
    """The cheapest path to one cell, by trying every one."""
    if row == 0:
        return float(x[0, column]) if open_begin or column == 0 else np.inf
    steps = [column - step for step in range(3) if column >= step]
    return float(x[row, column]) + min(brute_force(x, row - 1, before, open_begin) for before in steps)


@pytest.mark.parametrize("open_begin", [False, True])
@pytest.mark.parametrize("open_end", [False, True])
def test_dtw_finds_the_cheapest_path(open_begin: bool, open_end: bool) -> None:
    x = np.random.default_rng(0).random((5, 7))
    costs = [brute_force(x, 4, column, open_begin) for column in range(7)]
    found = dtw(x, open_begin=open_begin, open_end=open_end)
    assert found.distance == pytest.approx(min(costs) if open_end else costs[-1])
    assert found.normalizedDistance == pytest.approx(found.distance / 5)


def test_dtw_refuses_what_it_cannot_do() -> None:
    with pytest.raises(UsageError, match="symmetric2"):
        dtw(np.ones((2, 2)), step_pattern="symmetric2")
    with pytest.raises(ValueError, match="no path"):
        dtw(np.ones((2, 9)))


def test_lxml_writes_the_same_document(tmp_path: Path) -> None:

    root = ElementTree.Element("stdlist", language="english")
    ElementTree.SubElement(root, "term", file="a<b", score="1.0")
    path = tmp_path / "a.xml"
    stand_ins.ElementTree(root).write(str(path), encoding="UTF-8", pretty_print=True)
    assert path.read_text().splitlines()[1:3] == [
        '<stdlist language="english">',
        '  <term file="a&lt;b" score="1.0" />',
    ]
    assert ElementTree.parse(path).getroot()[0].attrib == {"file": "a<b", "score": "1.0"}


def test_distributed_sampler_deals_every_item_once() -> None:
    from downstream_runs.bridge.stand_ins import DistributedSamplerWrapper

    items = [10, 11, 12, 13, 14, 15]
    parts = [list(DistributedSamplerWrapper(items, num_replicas=2, rank=rank)) for rank in range(2)]  # type: ignore[arg-type]
    assert [len(part) for part in parts] == [3, 3]
    assert sorted(parts[0] + parts[1]) == items


def test_stand_ins_can_be_looked_up(bridged: None) -> None:
    import importlib.util

    for name in ("catalyst", "dtw", "lxml", "sox"):
        assert importlib.util.find_spec(name) is not None
