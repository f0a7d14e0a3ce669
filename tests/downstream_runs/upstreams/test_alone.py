"""With `--batching exact` the batch of an utterance changes nothing of its features, for any upstream."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import noise
import pytest
import small_student
import torch
import uneven
from torch import Tensor, nn

from downstream_runs import bridge
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.core.run import run_dir
from downstream_runs.engine import run
from downstream_runs.features.options import is_batch_free
from downstream_runs.upstreams import alone
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common.errors import UsageError

LENGTHS = 9000, 16000, 5234, 16000


def upstream_of(name: str) -> nn.Module:
    bridge.apply()
    import s3prl.hub

    if name == "group norm":
        return uneven.GroupNormed()
    module: nn.Module = getattr(s3prl.hub, name)()
    return module


def waves() -> list[Tensor]:
    generator = torch.Generator().manual_seed(1)
    return [0.1 * torch.randn(length, generator=generator) for length in LENGTHS]


def features(upstream: Any, batches: Sequence[Sequence[int]]) -> list[Tensor]:
    """What s3prl's featurizer makes of the waveforms in such batches, in their own order."""
    from s3prl.upstream.interfaces import Featurizer

    featurizer, wavs = Featurizer(upstream, "hidden_states", torch.device("cpu")), waves()
    found: dict[int, Tensor] = {}
    with torch.no_grad():
        for batch in batches:
            given = [wavs[index] for index in batch]
            found |= dict(zip(batch, featurizer(given, upstream(given)), strict=True))
    return [found[index] for index in range(len(wavs))]


@pytest.mark.parametrize("name", ["fbank", "mfcc", "group norm"])
def test_features_of_a_batch_are_those_of_each_alone(name: str) -> None:
    exact = CheckedUpstream(upstream_of(name), name, batching="exact").eval()
    assert exact.alone and exact.switches == {"batching": "exact"} and is_batch_free(exact)
    one_by_one = features(exact, [[0], [1], [2], [3]])
    assert [len(one) for one in one_by_one] == [round(length / 160) for length in LENGTHS]
    for batches in ([[0, 1, 2, 3]], [[3, 2], [1, 0]], [[2, 0, 3], [1]]):
        for one, same in zip(one_by_one, features(exact, batches), strict=True):
            assert torch.equal(one, same)


def test_stock_batching_of_a_group_norm_does_depend_on_the_batch() -> None:
    stock = CheckedUpstream(upstream_of("group norm"), "group norm", batching="stock").eval()
    assert not stock.alone and stock.switches == {"batching": "stock"} and not is_batch_free(stock)
    by_itself, beside = features(stock, [[0], [1], [2], [3]]), features(stock, [[0, 1, 2, 3]])
    assert (by_itself[0] - beside[0][: len(by_itself[0])]).abs().max() > 0.1
    assert torch.allclose(by_itself[1], beside[1][: len(by_itself[1])], atol=1e-5), (
        "the longest has no padding"
    )


def test_without_a_promised_rate_it_is_that_of_one_second() -> None:
    exact = CheckedUpstream(uneven.Unpromised(), "unpromised", batching="exact").eval()
    # A second has 98 frames, so s3prl takes 163 samples for one.
    lengths = [
        [len(one) for one in features(exact, batches)] for batches in ([[0, 1, 2, 3]], [[0], [1, 2], [3]])
    ]
    assert lengths[0] == lengths[1] == [round(length / 163) for length in LENGTHS]


def test_what_is_no_feature_of_every_utterance_is_left_out() -> None:
    def one(frames: int) -> dict[str, Any]:
        frame = torch.arange(frames).view(1, -1, 1)
        return {
            "tensor": frame,
            "list": [frame, frame],
            "dict": {"a": (frame,)},
            "text": "fbank",
            "flat": torch.zeros(frames),
            "uneven": [frame] * frames,
            "empty": frame[:, :0],
            f"only {frames}": frame,
        }

    joined = alone.together([one(2), one(3)], lambda key: 4 if key == "tensor" else 0)
    assert list(joined) == ["tensor", "list", "dict"]
    assert joined["tensor"][..., 0].tolist() == [[0, 1, 1, 1], [0, 1, 2, 2]]
    for state in (*joined["list"], *joined["dict"]["a"]):
        assert state[..., 0].tolist() == [[0, 1, 1], [0, 1, 2]]


def test_a_module_that_sees_to_it_is_left_alone() -> None:
    student = CheckedUpstream(small_student.build(), "student", batching="exact")
    assert not student.alone and student.switches["batching"] == "exact"
    released = CheckedUpstream(small_student.build("released"), "student", batching="exact")
    assert released.alone and released.switches["batching"] == "exact"


def test_outputs_that_overwrite_each_other_are_refused() -> None:
    class Thrifty(uneven.GroupNormed):
        memory = torch.zeros(1, 200, 8)

        def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
            state: Any = super().forward(wavs)["last_hidden_state"]
            return {"hidden_states": [self.memory[:, : state.shape[1]].copy_(state)]}

    exact = CheckedUpstream(Thrifty(), "thrifty", batching="exact").eval()
    with (
        torch.no_grad(),
        pytest.raises(UsageError, match="thrifty gives the memory of its last"),
    ):
        exact(waves())


def test_a_run_says_how_it_was_batched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bridge.apply()
    import s3prl.hub

    monkeypatch.setattr(s3prl.hub, "uneven", lambda **given: uneven.GroupNormed(), raising=False)
    corpus = noise.make_corpus(tmp_path / "noise")
    losses: dict[str, Any] = {}
    for batching, mode in (("", "auto"), ("stock", "auto"), ("exact", "off"), ("exact", "auto")):
        switches = {"batching": batching} if batching else {}
        features = FeatureOptions(mode)  # type: ignore[arg-type]
        plan = noise.tiny_plan(corpus, tmp_path, upstream="uneven", switches=switches, features=features)
        result = run(plan)
        assert json.loads((run_dir(plan) / "plan.json").read_text())["switches"] == switches
        assert result.upstream_switches == switches
        stored = result.config.get("features")
        kept = {"kind": "frames", "precision": "fp32"} if (batching, mode) == ("exact", "auto") else None
        assert stored == kept
        said = [sentence for sentence in result.deviations if "encoded alone" in sentence]
        assert len(said) == (batching == "exact")
        lines = map(json.loads, (run_dir(plan) / "metrics.jsonl").read_text().splitlines())
        losses[batching, mode] = [line["scalars"] for line in lines]
    stock, exact = losses["stock", "auto"], losses["exact", "off"]
    assert losses["", "auto"] == stock != exact and exact
    for one, other in zip(exact, losses["exact", "auto"], strict=True):
        assert one == pytest.approx(other, rel=1e-4)
