"""The card says of any upstream what was measured, and a run keeps the part of it that is cheap."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import noise
import pytest
import small_student
import torch
import toy
import uneven
from torch import Tensor, nn

from downstream_runs import bridge
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.core.run import run_dir
from downstream_runs.engine import run
from downstream_runs.upstreams import card_words, licence, probes
from downstream_runs.upstreams.card import Card, measure
from downstream_runs.upstreams.checked import CheckedUpstream
from upstream_arm.common.errors import UsageError


class Made(toy.Toy):
    """The toy upstream, what it is given and what it gives changed."""

    def __init__(
        self,
        before: Callable[[list[Tensor]], Sequence[Tensor]] = lambda wavs: wavs,
        after: Callable[[list[Any]], list[Any]] = lambda states: states,
    ) -> None:
        super().__init__()
        self.before, self.after = before, after

    def forward(self, wavs: list[Tensor]) -> dict[str, Any]:
        states: Any = super().forward(list(self.before(wavs)))["hidden_states"]
        return {"hidden_states": self.after(states)}


class Dropping(Made):
    """Dropout that eval() does not reach."""

    def eval(self) -> Dropping:
        return self


def card_of(module: nn.Module, thorough: bool = False, batching: str | None = None) -> Card:
    return measure(CheckedUpstream(module, "mine", batching=batching), "mine", thorough=thorough)


def longest_first(wavs: list[Tensor]) -> list[Tensor]:
    return sorted(wavs, key=len)


def with_parity(states: list[Tensor]) -> list[Tensor]:
    return [state + state.shape[1] % 2 for state in states]


def mixed(states: list[Tensor]) -> list[Tensor]:
    return [state + state.mean(0, keepdim=True) for state in states]


def by_place(states: list[Tensor]) -> list[Tensor]:
    return [state + torch.arange(len(state)).view(-1, 1, 1) for state in states]


def in_noise(states: list[Tensor]) -> list[Tensor]:
    return [state + torch.rand(()) for state in states]


@pytest.mark.parametrize(
    ("module", "dependent"),
    [
        (toy.Toy(), []),
        (small_student.build(), []),
        (small_student.build("released"), ["padded"]),
        (uneven.GroupNormed(), ["padded"]),
        (Made(after=mixed), ["padded", "equal"]),
        (Made(after=by_place), ["padded", "permuted"]),
    ],
    ids=["toy", "exact student", "released student", "group norm", "mixed", "by place"],
)
def test_how_features_depend_on_the_batch(module: nn.Module, dependent: list[str]) -> None:
    card = card_of(module)
    assert card.batch is not None and card.repeated == probes.Difference(0.0, 0.0, True)
    found = {name for name in card_words.MATES if not getattr(card.batch, name).rounding}
    assert found >= set(dependent) and bool(found) == bool(dependent)
    said = card_words.line(card)
    assert ("do not depend on its batch" in said or "by rounding alone" in said) == (not dependent)
    for name in dependent:
        assert card_words.MATES[name] in said and "--batching exact encodes each alone" in said
    assert card.batch.largest.relative == max(getattr(card.batch, name).relative for name in card_words.MATES)


def test_another_order_of_sums_is_no_dependence() -> None:
    student = small_student.build()
    student.student.explicit = True  # computes a batch at once
    card = card_of(student)
    assert card.batch is not None and card.batch.largest.absolute and card.batch.largest.rounding
    assert "depend on its batch by rounding alone (up to" in card_words.line(card)


def test_a_module_is_described_as_it_is_whatever_the_run_does_with_it() -> None:
    stock, exact = (card_of(uneven.GroupNormed(), batching=batching) for batching in (None, "exact"))
    assert (stock.batching, exact.batching) == ("stock", "exact") and stock.batch == exact.batch
    assert "this run encodes each alone" in card_words.line(exact)


def test_rows_in_another_order_are_refused() -> None:
    with pytest.raises(probes.WrongOrder, match="features of waveform 2 of a batch in row 0, expected"):
        card_of(Made(before=longest_first))
    assert issubclass(probes.WrongOrder, UsageError)


def test_what_is_measured_leaves_no_trace() -> None:
    module = Made(after=in_noise)
    before = torch.get_rng_state()
    card = card_of(module)
    assert torch.equal(torch.get_rng_state(), before)
    assert card.repeated is not None and not card.repeated.rounding
    assert "two calls with the same audio differ by" in card_words.line(card)


def test_everything_is_on_a_thorough_card() -> None:
    card = card_of(small_student.build().train(), thorough=True)
    assert card.shortest == 400 and card.refused == {"silence": None, "clipping": None, "60 s": None}
    assert (card.stride, card.stride_promised, card.layers, card.width) == (320, 320, 4, 24)
    assert card.arrived_training and card.dropouts and card.left_training == 0
    assert card.parameters_used and 0 < card.parameters - card.parameters_used < 1000, "mask_emb has no part"
    assert [one.frames for one in card.longer] == [49, 49, 50, 51, 52]
    assert card.macs and card.rtf and card.peak_memory and card.machine and not card.failed
    assert json.loads(json.dumps(card.to_json()))["batch"]["padded"]["rounding"] is True
    said = dict(card_words.sentences(card))
    assert said["shortest"] == "400 samples (25.0 ms) can be encoded"
    assert said["repetition"] == "two calls with the same audio give the same features, bit for bit"
    assert said["mode"].startswith("it came in training mode with") and "no part is left" in said["mode"]
    assert {"layers", "frames", "MACs", "time", "memory", "weights", "batch", "length", "60 s"} <= said.keys()


def only_above(samples: int) -> Callable[[list[Tensor]], list[Tensor]]:
    def check(wavs: list[Tensor]) -> list[Tensor]:
        if max(map(len, wavs)) < samples:
            raise ValueError(f"fewer than {samples} samples")
        return wavs

    return check


def no_longer(wavs: list[Tensor]) -> list[Tensor]:
    if max(map(len, wavs)) > 17_000:
        raise ValueError("more than 17000 samples")
    return wavs


def normalised(wavs: list[Tensor]) -> list[Tensor]:
    return [(wav - wav.mean()) / wav.std() for wav in wavs]


def test_what_breaks_an_upstream_is_told() -> None:
    short = card_of(Made(before=only_above(7_321)), thorough=True)
    assert short.shortest == 7_321
    silent = card_of(Made(before=normalised), thorough=True)
    assert "not finite" in str(silent.refused["silence"]) and silent.refused["clipping"] is None
    assert "is not encoded: 'features are not finite'" in dict(card_words.sentences(silent))["silence"]
    uneven_ = card_of(Made(after=with_parity), thorough=True)
    assert (
        uneven_.parity and "one more changes more than two" in dict(card_words.sentences(uneven_))["parity"]
    )
    assert card_of(toy.Toy(), thorough=True).parity is False
    one = card_of(Made(after=lambda states: [states[0], states[1], states[1]]))
    assert one.shared_layers == ((1, 2),)
    assert card_of(Dropping()).left_training == 5


def in_inference(states: list[Tensor]) -> list[Tensor]:
    return [state.detach() for state in states]


def test_parameters_that_no_gradient_reaches_are_not_counted_as_used() -> None:
    frozen = toy.Toy().requires_grad_(False)
    first = card_of(Made(after=lambda states: states[:1]), thorough=True)
    assert first.parameters_used == 321 * 16 < first.parameters
    assert card_of(frozen, thorough=True).parameters_used == first.parameters
    assert not any(parameter.requires_grad for parameter in frozen.parameters())
    assert card_of(Made(after=in_inference), thorough=True).parameters_used is None


def test_a_run_says_and_keeps_its_card(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bridge.apply()
    import s3prl.hub

    built = iter([uneven.GroupNormed(), Made(before=no_longer), Made(before=longest_first)])
    monkeypatch.setattr(s3prl.hub, "mine", lambda **_: next(built), raising=False)
    corpus = noise.make_corpus(tmp_path / "noise")
    plans = [noise.tiny_plan(corpus, tmp_path / str(number), upstream="mine") for number in range(3)]
    result = run(plans[0])
    assert "mine: 2 layers of 8 features, 160 samples a frame, 3,296 parameters" in capsys.readouterr().err
    assert result.card is not None and result.card["batching"] == "stock"
    assert result.card["batch"]["padded"]["relative"] > 0.1 and "rtf" not in result.card
    path = run_dir(plans[0]) / "result.json"
    old = {key: value for key, value in json.loads(path.read_text()).items() if key != "card"}
    old["content_sha256"] = results._content_hash(old)
    path.write_text(json.dumps(old))
    assert results.read(path).card is None

    assert run(plans[1]).card is None, "its corpus is short enough, what is measured is not"
    assert "mine could not be measured: upstream mine cannot encode a list of 1" in capsys.readouterr().err
    with pytest.raises(UsageError, match="upstream mine gives the features of waveform 2"):
        run(plans[2])


def test_inspect_prints_the_card(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    toy.register()
    from downstream_runs.upstreams import weights

    monkeypatch.setattr(weights, "check_upstream", lambda name: None)
    assert cli.main(["inspect", "toy", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "toy [untrained]"
    assert re.fullmatch(r"layers +3 of 16 features \(hidden_states\)", lines[1])
    assert cli.main(["inspect", "toy", "--device", "cpu", "--json", "--batching", "exact"]) == 0
    content = json.loads(capsys.readouterr().out)
    assert (content["upstream"], content["batching"], content["layers"]) == ("toy", "exact", 3)
    assert content["licence"] is None and content["parameters"] == 5680
    import s3prl.hub

    monkeypatch.setattr(s3prl.hub, "toy", lambda **_: Made(after=lambda states: [states[0].long()]))
    assert cli.main(["inspect", "toy", "--device", "cpu"]) == 2
    assert (
        "upstream toy gives its one layer as torch.int64, expected torch.float32" in capsys.readouterr().err
    )


@pytest.mark.parametrize(
    ("readme", "expected"),
    [
        ("---\nlanguage: en\nlicense: cc-by-nc-4.0\n---\n# A model\n", "cc-by-nc-4.0"),
        ("---\nlicense: other\nlicense_name: my-own\n---\n", "my-own"),
        ("---\nlicense: other\n---\n", "other"),
        ("---\nlanguage: en\n---\nlicense: mit\n", None),
        ("# A model\nlicense: mit\n", None),
        ("---\nlicense: mit\n", None),
        ("---\n[license: }\n---\n", None),
        ("---\n- license\n---\n", None),
        ("", None),
    ],
)
def test_the_licence_is_that_of_the_head_of_the_readme(readme: str, expected: str | None) -> None:
    assert licence.stated(readme) == expected


def test_the_licence_of_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "README.md").write_text("---\nlicense: mit\n---\n")

    def of(source: str | None) -> str | None:
        plan: Any = SimpleNamespace(source=source, revision="0" * 40)
        return licence.of(plan)

    assert of(str(tmp_path)) == "mit" and of(str(tmp_path.parent)) is None and of(None) is None
    asked: list[tuple[str, ...]] = []

    def file(*given: str) -> Path:
        asked.append(given)
        if "absent" in given[0]:
            raise UsageError("not on this machine")
        return tmp_path / "README.md"

    monkeypatch.setattr(licence.hub, "file", file)
    assert of("hf:org/model") == "mit" and of("hf:org/absent@main") is None
    assert asked[0] == ("org/model", "0" * 40, "README.md")
