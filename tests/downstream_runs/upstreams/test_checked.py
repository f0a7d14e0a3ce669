"""Upstreams that do not fit s3prl's interface end a run in one sentence, before the first step."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import pytest
import torch
import toy
from torch import nn

from downstream_runs.engine import run
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common.errors import UsageError


class Bent(toy.Toy):
    """The toy upstream, its output changed by `bend`."""

    def __init__(self, bend: Callable[[dict[str, Any], int], Any]) -> None:
        super().__init__()
        self.bend, self.calls = bend, 0

    def forward(self, wavs: list[torch.Tensor]) -> Any:
        self.calls += 1
        return self.bend(super().forward(wavs), self.calls)


def fixed_length(output: dict[str, Any], _: int) -> dict[str, Any]:
    return {"hidden_states": [torch.zeros(len(one), 1500, 16) for one in output["hidden_states"]]}


def layer_drop(output: dict[str, Any], call: int) -> dict[str, Any]:
    return {"hidden_states": output["hidden_states"][: 3 - (call > 3)]}


def wider_later(output: dict[str, Any], call: int) -> dict[str, Any]:
    return {"hidden_states": [torch.cat([one] * (1 + (call > 3)), 2) for one in output["hidden_states"]]}


def unequal_widths(output: dict[str, Any], _: int) -> dict[str, Any]:
    return {"hidden_states": [output["hidden_states"][0], output["hidden_states"][1][..., :8]]}


BENDS: dict[str, tuple[Callable[[dict[str, Any], int], Any], str]] = {
    "a tuple": (
        lambda output, _: tuple(output["hidden_states"]),
        "returns a tuple, expected a dict with hid",
    ),
    "a tensor": (lambda output, _: output["last_hidden_state"], "returns a Tensor, expected a dict"),
    "nothing": (lambda output, _: None, "returns a NoneType, expected a dict"),
    "another dict": (
        lambda output, _: {"last_hidden_state": output["last_hidden_state"]},
        "returns a dict of last_hidden_state, expected a dict with hidden_states",
    ),
    "no layers": (lambda output, _: {"hidden_states": []}, "has an empty list under hidden_states"),
    "no tensors": (lambda output, _: {"hidden_states": [1.0]}, "has a float as layer 0"),
    "time first": (
        lambda output, _: {"hidden_states": [one.transpose(0, 1) for one in output["hidden_states"]]},
        "gives 50 items for a batch of 1 waveforms",
    ),
    "without a batch": (
        lambda output, _: {"hidden_states": [one[0] for one in output["hidden_states"]]},
        r"has a tensor of shape \[50, 16\] as layer 0",
    ),
    "unequal widths": (
        unequal_widths,
        r"has layers of different shapes, \[1, 50, 16\] and \[1, 50, 8\] in layer 1",
    ),
    "a fixed length": (
        fixed_length,
        "gives 1500 frames for 1.00 s of audio, expected 50 at 320 samples a frame",
    ),
    "fewer layers later": (layer_drop, "gave 3 layers of width 16 and now gives 2 of width 16"),
    "wider later": (wider_later, "gave 3 layers of width 16 and now gives 3 of width 32"),
}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    toy.register()
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


@pytest.mark.parametrize("features", ["off", "memory"])
@pytest.mark.parametrize("name", BENDS)
def test_a_run_says_what_does_not_fit(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, features: Any
) -> None:
    import s3prl.hub

    from downstream_runs.core.feature_options import FeatureOptions

    bend, says = BENDS[name]
    monkeypatch.setattr(s3prl.hub, "bent", lambda **_: Bent(bend), raising=False)
    plan = noise.tiny_plan(corpus, tmp_path, upstream="bent", features=FeatureOptions(features))
    with pytest.raises(UsageError, match=f"upstream bent {says}") as caught:
        run(plan)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("result.json"))


def test_something_that_is_no_module_is_refused() -> None:
    with pytest.raises(UsageError, match=r"upstream mine gave a dict, expected a torch\.nn\.Module"):
        CheckedUpstream({}, "mine")


@pytest.mark.parametrize(
    "states", [list, tuple, lambda states: dict(enumerate(states)), lambda states: states[0]]
)
def test_every_form_that_s3prls_featurizer_takes_passes(states: Callable[[Any], Any]) -> None:
    upstream = Bent(lambda output, _: {"hidden_states": states(output["hidden_states"])})
    checked = CheckedUpstream(upstream, "mine").eval()
    assert isinstance(checked, CheckedUpstream) and not upstream.training
    assert checked([torch.zeros(1600)])["hidden_states"] is not None
    assert isinstance(checked.layers, nn.ModuleList) and checked.untrained
