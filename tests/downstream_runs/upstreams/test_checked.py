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
    "not a number": (
        lambda output, _: {"hidden_states": [one * torch.nan for one in output["hidden_states"]]},
        "gives NaN or infinity in layer 0 for 1.00 s of audio",
    ),
    "codes": (
        lambda output, _: {"hidden_states": [one.long() for one in output["hidden_states"]]},
        "gives layer 0 as torch.int64, expected torch.float32",
    ),
    "fewer layers later": (layer_drop, "gave 3 layers of width 16 and now gives 2 of width 16"),
    "wider later": (wider_later, "gave 3 layers of width 16 and now gives 3 of width 32"),
}


def of_type(kind: torch.dtype, first: int = 3) -> Callable[[dict[str, Any], int], Any]:
    """The first layers of the toy in another type."""
    return lambda output, _: {"hidden_states": [one.to(kind) for one in output["hidden_states"][:first]]}


def each(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any], int], Any]:
    return lambda output, _: {"hidden_states": [change(one) for one in output["hidden_states"]]}


def after_the_first(change: Callable[[torch.Tensor], Any]) -> Callable[[dict[str, Any], int], Any]:
    return lambda output, call: each(change)(output, call) if call > 1 else output


@torch.inference_mode()
def one_in_inference(output: dict[str, Any], _: int) -> dict[str, Any]:
    return {"hidden_states": output["last_hidden_state"] + 1}


TENSORS: dict[str, tuple[Callable[[dict[str, Any], int], Any], str]] = {
    "codes": (
        of_type(torch.int64),
        "gives layer 0 as torch.int64, expected torch.float32: feat",
    ),
    "marks": (of_type(torch.bool), "gives layer 0 as torch.bool, expected torch.float32"),
    "spectra": (of_type(torch.complex64), "gives layer 0 as torch.complex64, expected torch.float32"),
    "double precision": (of_type(torch.float64), "gives layer 0 as torch.float64, expected torch.float32"),
    "one layer in fp16": (
        of_type(torch.float16, 1),
        "gives its one layer as torch.float16, expected",
    ),
    "fp16 later": (
        after_the_first(lambda one: one.to(torch.float64)),
        "gives layer 0 as torch.float64, expected torch.float32: return it as float32",
    ),
    "another device": (
        each(lambda one: one.to("meta")),
        "has layer 0 on meta for waveforms on cpu, expected it on cpu",
    ),
    "sparse": (each(torch.Tensor.to_sparse), "has a sparse_coo tensor as layer 0, expected a dense one"),
    "nested": (
        each(lambda one: torch.nested.nested_tensor(list(one))),
        "has a nested tensor as layer 0, expected a dense one",
    ),
    "with a gradient": (
        each(lambda one: nn.Parameter(one)),
        "gives layer 0 with a gradient, though it was called without one, expected none: detach",
    ),
    "one layer of inference": (one_in_inference, "gives its one layer of torch.inference_mode, expected a"),
    "not a number": (
        each(lambda one: one * torch.nan),
        "gives NaN or infinity in layer 0 for 1.00 s of audio, expected finite numbers: check its weights",
    ),
    "no features": (
        each(lambda one: one[..., :0]),
        "gives no features for 1.00 s of audio, expected",
    ),
    "an array": (
        lambda output, _: {"hidden_states": output["last_hidden_state"].numpy()},
        "has a ndarray under hidden_states, expected a list of tensors",
    ),
}


class Changing(toy.Toy):
    """Brings each waveform to mean 0 where it is."""

    def forward(self, wavs: list[torch.Tensor]) -> Any:
        for wav in wavs:
            wav -= wav.mean()
        return super().forward(wavs)


class Padding(toy.Toy):
    """Takes one tensor, not a list."""

    def forward(self, wavs: Any) -> Any:
        return super().forward(list(wavs.unsqueeze(0)))


class Rated(toy.Toy):
    def __init__(self, rate: Any) -> None:
        super().__init__()
        self.rate = rate

    def get_downsample_rates(self, key: str) -> Any:
        return self.rate


MODULES: dict[str, tuple[nn.Module, str]] = {
    "changed waveforms": (
        Changing(),
        "changes the waveforms that it is given, number 0 of the batch",
    ),
    "a tensor wanted": (
        Padding(),
        "cannot encode a list of 1 waveforms of up to 16000 samples: AttributeError: 'list' object has no",
    ),
    "a rate of 0": (
        Rated(0),
        r"has 0 as its get_downsample_rates\('hidden_states'\), expected",
    ),
    "no rate": (Rated(None), "has None as its get_downsample_rates"),
    "an infinite rate": (Rated(float("inf")), "has inf as its get_downsample_rates"),
}


@pytest.mark.parametrize("name", [*TENSORS, *MODULES])
def test_tensors_that_s3prl_cannot_use_are_named(name: str) -> None:
    module, says = MODULES.get(name) or (Bent(TENSORS[name][0]), TENSORS[name][1])
    upstream = CheckedUpstream(module, "bent").eval()
    with torch.no_grad(), pytest.raises(UsageError, match=f"upstream bent {says}") as caught:
        for _ in range(2):
            upstream([torch.randn(16000)])
    assert "\n" not in str(caught.value)


def test_half_precision_passes_where_s3prl_makes_fp32_of_it() -> None:
    waveforms = [torch.randn(16000)]
    for kind in (torch.float16, torch.bfloat16):
        with torch.no_grad():
            CheckedUpstream(Bent(of_type(kind)), "bent")(waveforms)
            with torch.autocast("cpu", torch.bfloat16):
                CheckedUpstream(Bent(of_type(kind, 1)), "bent")(waveforms)


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
