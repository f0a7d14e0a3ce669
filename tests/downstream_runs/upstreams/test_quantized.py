"""Dynamic int8: close to float, the same in any batch, for models of every making, and stated."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import noise
import pytest
import small_student
import torch
import toy
from torch import nn

from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import components, run, run_dir
from downstream_runs.upstreams import efficiency
from downstream_runs.upstreams.checked import weights_sha256
from downstream_runs.upstreams.quantized import Int8Linear, quantize
from reports import ours
from reports.tables import paper
from upstream_arm.common.errors import UsageError
from upstream_arm.profiling import hooks

CPU = torch.device("cpu")


class Attending(nn.Module):
    """torch's own transformer layer, which reads the weights of its linear layers itself."""

    def __init__(self) -> None:
        super().__init__()
        self.front = nn.Linear(toy.HOP, 16)
        self.layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True)

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        frames = torch.stack([wav[: len(wav) // toy.HOP * toy.HOP].view(-1, toy.HOP) for wav in wavs])
        return {"hidden_states": [self.layer(self.front(frames))]}


class Shared(toy.Toy):
    """Its second and third layer are one."""

    def __init__(self) -> None:
        super().__init__()
        self.layers[2] = self.layers[1]


def transformer() -> nn.Module:
    transformers = pytest.importorskip("transformers")
    config = transformers.HubertConfig(
        hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=32,
        conv_dim=(8,) * 7, num_conv_pos_embeddings=4, num_conv_pos_embedding_groups=2,
    )  # fmt: skip
    model = transformers.HubertModel(config)

    class Encoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
            return {"hidden_states": self.model(torch.stack(wavs), output_hidden_states=True).hidden_states}

    return Encoder()


@pytest.fixture(scope="module", autouse=True)
def hub() -> None:
    toy.register()
    small_student.register()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def states(module: nn.Module, wavs: list[torch.Tensor]) -> torch.Tensor:
    with torch.no_grad():
        return torch.stack(list(module.eval()(wavs)["hidden_states"]))


@pytest.mark.parametrize(
    ("make", "layers"),
    [(toy.Toy, 3), (Shared, 2), (small_student.build, 26), (Attending, 3), (transformer, 13)],
)
def test_features_are_close_and_the_weights_take_a_quarter(
    make: Callable[[], nn.Module], layers: int
) -> None:
    torch.manual_seed(0)
    module, wavs = make(), [0.1 * torch.randn(6400) for _ in range(2)]
    expected, parameters = states(module, wavs), efficiency.parameters(module)
    linear = sum(part.weight.numel() for part in set(module.modules()) if type(part) is nn.Linear)
    before = torch.get_rng_state()
    made = quantize(module, "mine", CPU)
    assert torch.equal(torch.get_rng_state(), before)
    assert made.layers == layers and efficiency.parameters(module) == parameters
    outputs = sum(part.out_features for part in module.modules() if isinstance(part, Int8Linear))
    assert made.float_bytes - made.bytes == 3 * linear - 4 * outputs
    error = (states(module, wavs) - expected).std() / expected.std()
    assert 0 < error < 0.05, "as rounding to one of 255 steps gives, and not another model"
    assert len(weights_sha256(module)) == 64 and made.rtf > 0 and made.float_rtf > 0


def test_a_layer_is_what_its_numbers_say() -> None:
    linear = nn.Linear(3, 2)
    linear.weight.data = torch.tensor([[1.27, -0.5, 0.0], [0.0, 0.0, 0.0]])
    linear.bias.data = torch.tensor([1.0, 2.0])
    made = Int8Linear(linear)
    assert made.codes.T.tolist() == [[127, -50, 0], [0, 0, 0]] and torch.equal(made.scale[1:], torch.ones(1))
    torch.testing.assert_close(made.weight, linear.weight.data)
    x = torch.tensor([[[12.7, -3.0, 0.04], [0.0, 0.0, 0.0]]])
    torch.testing.assert_close(made(x)[0, 0], torch.tensor([12.7 * 1.27 + 3.0 * 0.5 + 1.0, 2.0]))
    assert made(x).shape == (1, 2, 2) and made(x)[0, 1].tolist() == [1.0, 2.0]
    assert made(x[:, :0]).shape == (1, 0, 2)
    assert made(x.bfloat16()).dtype == torch.bfloat16
    assert made(torch.full((1, 3), torch.nan)).isnan().all()


def test_a_batch_mate_sets_no_scale() -> None:
    module = small_student.build()
    torch.manual_seed(0)
    quantize(module, "mine", CPU)
    wavs = [0.1 * torch.randn(16_000), 30 * torch.randn(9_000)]  # a loud one, which would have set the scale
    together = states(module, wavs)
    for number, wav in enumerate(wavs):
        alone = states(module, [wav])
        difference = together[:, number, : alone.shape[2]] - alone[:, 0]
        assert difference.std() < 0.02 * alone.std(), "at most steps of rounding here and there"


def test_macs_are_those_of_the_float_model() -> None:
    lengths = 1600, 6401
    expected = hooks.count(toy.Toy(), lengths)
    module = toy.Toy()
    quantize(module, "mine", CPU)
    assert hooks.count(module, lengths) == expected


@pytest.mark.parametrize(
    ("device", "make", "says"),
    [
        ("cuda:0", toy.Toy, "--quantize int8 is for the CPU, and the run is on cuda:0: add --device cpu"),
        ("cpu", nn.Identity, "mine has no linear layers to quantize: leave --quantize out"),
    ],
)
def test_what_cannot_be_quantized(device: str, make: Callable[[], nn.Module], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        quantize(make(), "mine", torch.device(device))


def test_weights_that_are_not_finite_are_named() -> None:
    module = toy.Toy()
    module.layers[1].weight.data[0, 0] = torch.nan  # type: ignore[union-attr,index]
    with pytest.raises(UsageError, match=r"layers\.1 of mine has weights that are not finite"):
        quantize(module, "mine", CPU)
    assert not any(isinstance(part, Int8Linear) for part in module.modules())


def stored_folders(out: Path) -> set[str]:
    return {path.name for path in (out / "cache" / "features").iterdir()}


def test_a_run_states_it_and_shares_nothing_with_a_float_one(corpus: Path, tmp_path: Path) -> None:
    runner = {"total_steps": 2, "eval_step": 2, "save_step": 2, "gradient_accumulate_steps": 1}
    plain = noise.tiny_plan(
        corpus, tmp_path, upstream="small_student", runner=runner, features=FeatureOptions("disk", "fp32")
    )
    plan = dataclasses.replace(plain, quantize="int8")
    float_, int8 = run(plain), run(plan)
    assert run_dir(plain) != run_dir(plan) and len(stored_folders(tmp_path)) == 2
    assert float_.quantize is None and "int8" not in float_.labels
    assert int8.quantize is not None and int8.quantize.layers == 26 and "int8" in int8.labels
    assert int8.upstream_parameters == float_.upstream_parameters
    assert any(sentence.startswith("dynamic int8: weights") for sentence in int8.deviations)
    assert json.loads((run_dir(plan) / "plan.json").read_text())["quantize"] == "int8"
    again = results.read(run_dir(plan) / "result.json")
    assert again == int8
    rows = ours.systems(
        [(run_dir(one) / "result.json", result) for one, result in ((plain, float_), (plan, int8))]
    )
    assert sorted("int8" in row.labels for row in rows) == [False, True]
    notes = paper.table1(rows).notes
    assert sum("dynamic int8 of 26 linear layers takes 0.0 MB instead of 0.1" in note for note in notes) == 1


@pytest.mark.parametrize("quantize", [None, "int8"])
def test_features_are_stored_by_auto_only_where_that_changes_no_number(
    quantize: Any, corpus: Path, tmp_path: Path
) -> None:
    runner = {"total_steps": 2, "eval_step": 2, "save_step": 2, "gradient_accumulate_steps": 1}
    features = FeatureOptions("auto")
    plan = noise.tiny_plan(corpus, tmp_path, upstream="small_student", runner=runner, features=features)
    result = run(dataclasses.replace(plan, quantize=quantize))
    assert ("features" in result.config) == (quantize is None)


def test_the_command_line_takes_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["plan", "fbank", "ks", "--demo", "--out", str(tmp_path)]
    assert cli.main([*arguments, "--quantize", "int8"]) == 0
    assert "fbank ks, int8" in capsys.readouterr().out
    assert cli.main([*arguments, "--quantize", "int4"]) == 2
    with pytest.raises(UsageError, match="--quantize 'int4' is unknown, expected int8"):
        noise.tiny_plan(tmp_path, tmp_path, quantize="int4")


def test_other_devices_are_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(components, "pick_device", lambda name: torch.device("cuda:0"))
    plan = noise.tiny_plan(tmp_path, tmp_path, upstream="toy", quantize="int8")
    with pytest.raises(UsageError, match="add --device cpu"):
        components.build_upstream(plan)
