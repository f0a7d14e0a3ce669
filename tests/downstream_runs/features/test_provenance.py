"""Stored features of an upstream that is no one's but the user's: never those of other code or options."""

from __future__ import annotations

import functools
import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import noise
import pytest
import small_student
import torch
from torch import nn

from downstream_runs import bridge
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.records import EVENTS, read
from downstream_runs.engine import run, run_dir
from downstream_runs.features import provenance

CODE = """
import torch
from torch import nn
import foreign_helper

HOP = 320

class Foreign(nn.Module):
    switches = {"batching": "exact"}

    def __init__(self, power=1):
        super().__init__()
        self.power = power

    def get_downsample_rates(self, key):
        return HOP

    def forward(self, wavs):
        padded = nn.utils.rnn.pad_sequence(wavs, batch_first=True)
        whole = nn.functional.pad(padded, (0, -padded.shape[1] % HOP)).view(len(wavs), -1, HOP)
        return {"hidden_states": [foreign_helper.change(whole) ** self.power]}

def entry(**options):
    return Foreign()
"""
HELPER = "def change(frames):\n    return frames\n"
CHANGED = "def change(frames):\n    return -3 * frames\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    folder = tmp_path / "code"
    folder.mkdir()
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (folder / "foreign.py").write_text(CODE)
    (folder / "foreign_helper.py").write_text(HELPER)
    yield folder
    for name in ("foreign", "foreign_helper"):
        sys.modules.pop(name, None)


def load() -> ModuleType:
    for name in ("foreign", "foreign_helper"):
        sys.modules.pop(name, None)
    importlib.invalidate_caches()
    return importlib.import_module("foreign")


def found(upstream: Any = None, entry: Any = None) -> str:
    module = load()
    return provenance.identity(upstream or module.Foreign(), entry or module.entry)


def test_the_same_code_and_options_are_the_same(package: Path) -> None:
    assert found() == found()


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [("foreign.py", "HOP = 320", "HOP = 160"), ("foreign_helper.py", "return frames", "return frames + 1")],
)
def test_changed_code_is_another(package: Path, file: str, old: str, new: str) -> None:
    before = found()
    path = package / file
    path.write_text(path.read_text().replace(old, new))
    assert found() != before


@pytest.mark.parametrize(
    "file", ["__init__", "model", "parts", "late", "below/__init__", "below/deep", "sibling"]
)
def test_all_that_a_package_imports_counts(file: str, package: Path) -> None:
    """Relative imports, imports within functions, of what is beside the package, and of its own folders."""
    sources = {
        "__init__": "",
        "model": "from .parts import layer\ndef entry(**options):\n    from . import late\n",
        "parts": "import sibling\nfrom owned.below import deep\nlayer = 1\n",
        "late": "import absent_everywhere\n",
        "below/__init__": "",
        "below/deep": "import torch\n",
        "unused": "",
    }
    (package / "owned" / "below").mkdir(parents=True)
    for name, source in sources.items():
        (package / "owned" / f"{name}.py").write_text(source)
    (package / "sibling.py").write_text("")
    entry = importlib.import_module("owned.model").entry
    before = provenance.identity(entry, entry)
    (package / "owned" / "unused.py").write_text("changed = True\n")
    assert provenance.identity(entry, entry) == before
    changed = package / "sibling.py" if file == "sibling" else package / "owned" / f"{file}.py"
    changed.write_text(changed.read_text() + "\nchanged = True\n")
    assert provenance.identity(entry, entry) != before
    for name in [name for name in sys.modules if name.partition(".")[0] in ("owned", "sibling")]:
        del sys.modules[name]


def test_changed_options_are_others(package: Path) -> None:
    module = load()

    def made(power: int) -> Any:
        return lambda **options: module.Foreign(power)

    one, other = module.Foreign(), module.Foreign()
    other.window = torch.ones(3)
    hooked = module.Foreign()
    hooked.register_forward_hook(lambda upstream, given, states: None)
    several = [
        provenance.identity(one, module.entry),
        provenance.identity(module.Foreign(2), module.entry),
        provenance.identity(other, module.entry),
        provenance.identity(hooked, module.entry),
        provenance.identity(one, made(1)),
        provenance.identity(one, made(2)),
        provenance.identity(one, functools.partial(module.entry, kind="x")),
    ]
    assert len(set(several)) == len(several)


def test_what_cannot_be_told_is_not_guessed(package: Path) -> None:
    module = load()
    upstream = module.Foreign()
    upstream.lock = threading.Lock()
    with pytest.raises(provenance.Unknown, match=r"upstream\.lock is a lock"):
        provenance.identity(upstream, module.entry)
    typed = type("Typed", (nn.Module,), {"__module__": "typed_in"})
    with pytest.raises(provenance.Unknown, match="typed_in is in no file"):
        provenance.identity(typed(), module.entry)


@pytest.mark.parametrize("build", [small_student.build, functools.partial(small_student.build, "released")])
def test_our_students_and_s3prls_baselines_can_be_told(build: Any) -> None:
    bridge.apply()
    import s3prl.hub

    assert provenance.identity(build(), build) == provenance.identity(build(), build)
    fbank = s3prl.hub.fbank
    assert provenance.identity(fbank(), fbank) == provenance.identity(fbank(), fbank)
    assert provenance.identity(fbank(), fbank) != provenance.identity(s3prl.hub.mfcc(), fbank)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("data"))


def register(build: Any) -> None:
    bridge.apply()
    import s3prl.hub

    s3prl.hub.foreign = build


def test_a_run_after_a_change_of_the_code_has_its_own_features(
    package: Path, corpus: Path, tmp_path: Path
) -> None:
    (tmp_path / "cache").mkdir()

    def metrics(out: str, mode: Any) -> str:
        register(load().entry)
        features = FeatureOptions(mode, "fp32")
        plan = noise.tiny_plan(corpus, tmp_path / out, upstream="foreign", features=features)
        (tmp_path / out).mkdir()
        (tmp_path / out / "cache").symlink_to(tmp_path / "cache")
        run(plan)
        return (run_dir(plan) / "metrics.jsonl").read_text()

    first = metrics("first", "disk")
    assert metrics("again", "disk") == first
    (package / "foreign_helper.py").write_text(CHANGED)
    assert metrics("changed", "disk") == metrics("fresh", "memory") != first


@pytest.mark.parametrize("mode", ["auto", "disk"])
def test_features_of_code_that_cannot_be_told_are_not_found_again(
    package: Path, corpus: Path, tmp_path: Path, mode: Any, capfd: pytest.CaptureFixture[str]
) -> None:
    def build(**options: Any) -> nn.Module:
        upstream: nn.Module = load().Foreign()
        upstream.lock = threading.Lock()  # type: ignore[assignment]
        return upstream

    register(build)
    plan = noise.tiny_plan(
        corpus, tmp_path / "runs", upstream="foreign", features=FeatureOptions(mode, "fp32")
    )
    result = run(plan)
    assert not list((tmp_path / "runs" / "cache").rglob("*.pack"))
    assert "what computes them cannot be told" in capfd.readouterr().err
    assert ("features" in result.config) == (mode == "disk")
    events = [line for line in read(run_dir(plan) / EVENTS) if line["event"] == "features"]
    assert [line["folder"] for line in events] == ([None] if mode == "disk" else [])
