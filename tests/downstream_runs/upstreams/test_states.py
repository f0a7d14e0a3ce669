"""What is taken of an upstream's output: as s3prl's `-s` and `-l`, refused where there is none, not mixed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import noise
import peer_files
import pytest
import torch
import toy

from downstream_runs import engine
from downstream_runs.cli import main as cli
from downstream_runs.core import results
from downstream_runs.core.feature_options import FeatureOptions
from downstream_runs.engine import RunPlan, components, run, run_dir
from downstream_runs.features.packs import Packs
from upstream_arm import published_states
from upstream_arm.common.errors import UsageError
from upstream_arm.published_states import STATES, default, in_words, of, remark

Choice = tuple[str, int | None]
CHOICES: Sequence[Choice] = (
    (STATES, None),
    (STATES, 0),
    (STATES, 1),
    (STATES, -1),
    ("last_hidden_state", None),
    ("last_hidden_state", 0),
    ("deep", None),
    ("deep", 1),
)


class Keyed(toy.Toy):
    """The toy upstream, which also gives a dict of its last two layers, and things that are no features."""

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        output = super().forward(wavs)
        states: Any = output["hidden_states"]
        deep = {"second": states[1], "third": states[2]}
        return {**output, "deep": deep, "mask": torch.ones(1), "names": ["a"], "none": None}


class Uneven(toy.Toy):
    """Its hidden states are of no use together, as FitHuBERT's are."""

    def forward(self, wavs: list[torch.Tensor]) -> dict[str, Any]:
        output = super().forward(wavs)
        states: Any = output["hidden_states"]
        return {**output, "hidden_states": [(state, None) for state in states]}


@pytest.fixture(scope="module", autouse=True)
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    toy.register()
    import s3prl.hub

    s3prl.hub.keyed, s3prl.hub.uneven = lambda **_: Keyed(), lambda **_: Uneven()
    yield
    del s3prl.hub.keyed, s3prl.hub.uneven


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return noise.make_corpus(tmp_path_factory.mktemp("noise"))


def plan(corpus: Path, out: Path, choice: Choice, **changes: Any) -> RunPlan:
    runner = {"total_steps": 2, "eval_step": 2, "save_step": 2, "gradient_accumulate_steps": 1}
    changes = {"upstream": "keyed", "runner": runner, **changes}
    return noise.tiny_plan(corpus, out, states=choice[0], layer=choice[1], **changes)


@pytest.mark.parametrize("choice", CHOICES)
def test_features_are_those_of_s3prls_featurizer(choice: Choice, tmp_path: Path) -> None:
    from s3prl.upstream.interfaces import Featurizer

    torch.manual_seed(0)
    wavs = [torch.randn(samples) for samples in (8000, 9000, 16000)]
    upstream, device = components.build_upstream(plan(tmp_path, tmp_path, choice))
    stock = Featurizer(upstream.module, choice[0], str(device), choice[1])
    ours = components.make_featurizer(plan(tmp_path, tmp_path, choice), upstream, device)
    for one, other in zip(stock(wavs, upstream.module(wavs)), ours(wavs, upstream(wavs)), strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("choice", CHOICES)
def test_stored_features_give_the_numbers_of_computed_ones(
    choice: Choice, corpus: Path, tmp_path: Path
) -> None:
    numbers = []
    for features in (FeatureOptions("off"), FeatureOptions("disk", "fp32")):
        result = run(plan(corpus, tmp_path, choice, features=features))
        assert (result.states, result.layer) == choice
        numbers.append([metric.value for metric in result.metrics])
    assert numbers[0] == pytest.approx(numbers[1])
    (item,) = {tensor.shape[0] for tensor in stored(tmp_path)}
    assert item == {(STATES, None): 3, ("deep", None): 2}.get(choice, 1), "only the chosen layers are stored"


def stored(out: Path) -> Iterator[torch.Tensor]:
    from safetensors.torch import load

    for index in out.rglob("*.index"):
        packs = Packs(index.parent)
        for line in index.read_text().splitlines():
            yield load(packs.read(line.split()[0]))["frames"]


def test_no_choice_finds_what_another_one_left(corpus: Path, tmp_path: Path) -> None:
    several: Sequence[Choice] = ((STATES, None), (STATES, 1), ("last_hidden_state", None), ("deep", None))
    options = FeatureOptions("disk", "fp32")
    plans = [plan(corpus, tmp_path, choice, features=options) for choice in several]
    assert len({run_dir(one) for one in plans}) == len(several)
    kept = []
    for one in plans:
        run(one)
        events = [json.loads(line) for line in (run_dir(one) / "events.jsonl").read_text().splitlines()]
        (account,) = [event for event in events if event["event"] == "features"]
        kept.append(account["stored"])
    assert kept == [kept[0]] * len(several) and kept[0] > 0


@pytest.mark.parametrize(
    ("upstream", "choice", "says"),
    [
        (
            "keyed",
            ("paper", None),
            "a dict with paper: take --states hidden_states or last_hidden_state or deep",
        ),
        ("keyed", ("mask", None), r"has a tensor of shape \[1\] as layer 0 of mask"),
        ("keyed", ("names", None), "has a str as layer 0 of names"),
        ("keyed", ("none", None), "has a NoneType under none, expected a list of tensors"),
        (
            "keyed",
            (STATES, 3),
            "gives 3 layers under hidden_states, --layer is 3: give 0 to 2, or leave it out",
        ),
        ("keyed", (STATES, -4), "gives 3 layers under hidden_states, --layer is -4"),
        (
            "keyed",
            ("last_hidden_state", 1),
            "gives one layer under last_hidden_state, --layer is 1: give 0 to 0",
        ),
        ("uneven", (STATES, None), "a tuple as layer 0 of hidden_states.*: take --states last_hidden_state"),
        ("uneven", (STATES, 1), "a tuple as layer 1 of hidden_states.*: take --states last_hidden_state"),
    ],
)
def test_a_choice_that_the_upstream_does_not_give(
    upstream: str, choice: Choice, says: str, corpus: Path, tmp_path: Path
) -> None:
    with pytest.raises(UsageError, match=f"upstream {upstream} .*{says}") as caught:
        run(plan(corpus, tmp_path, choice, upstream=upstream))
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.rglob("result.json"))


def test_the_chosen_states_alone_must_fit(corpus: Path, tmp_path: Path) -> None:
    result = run(plan(corpus, tmp_path, ("last_hidden_state", None), upstream="uneven"))
    assert "features are last_hidden_state, not the weighted sum over all hidden_states" in result.deviations


@pytest.mark.parametrize("layers", [(None, 1), (1, None)])
def test_a_run_of_another_choice_is_not_continued(
    layers: tuple[int | None, int | None], corpus: Path, tmp_path: Path
) -> None:
    one, other = (plan(corpus, tmp_path, (STATES, layer)) for layer in layers)
    run(one)
    run_dir(one).rename(run_dir(other))
    with pytest.raises(UsageError, match="holds a run with other layer, and two runs are never mixed"):
        engine.run(other)
    written = results.read(run_dir(other) / "result.json")
    assert (written.states, written.layer) == (STATES, layers[0])


@pytest.mark.parametrize(
    ("upstream", "chosen", "said"),
    [
        ("hubert_base", (STATES, None), None),
        ("hubert_base", (STATES, 6), "features are layer 6 of hidden_states; published rows sum all"),
        ("distilhubert", (STATES, None), "features are hidden_states; its published row was made from paper"),
        ("distilhubert", ("paper", None), "features are paper, as for its published row"),
        ("distiller_local", (STATES, 2), "features are layer 2 of hidden_states, as for its published row"),
        ("ntu-spml/distilhubert", (STATES, None), "its published row was made from layer 2 of hidden_states"),
        ("fithubert_local", ("last_hidden_state", None), "as for its published row"),
    ],
)
def test_what_is_said_beside_a_published_row(upstream: str, chosen: Choice, said: str | None) -> None:
    found = remark(upstream, *chosen)
    assert found is None if said is None else said in str(found)


def test_what_was_published_is_the_default_of_our_names_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    assert default("distilhubert") == default("armhubert") == default("hubert_base") == (STATES, None)
    monkeypatch.setattr(published_states.names, "names", lambda: ("fithubert_local", "distilhubert_local"))
    assert default("fithubert_local") == ("last_hidden_state", None)
    assert default("distilhubert_local") == ("paper", None)
    assert default("distilhubert") == (STATES, None), "s3prl's own name keeps what s3prl takes"
    row = of("distilhubert")
    assert row is not None and in_words(*row.equal[0]) == "layer 2 of hidden_states"


def test_a_run_measures_its_upstream_where_it_is_asked_to(corpus: Path, tmp_path: Path) -> None:
    plain, measuring = (plan(corpus, tmp_path, (STATES, None), efficiency=asked) for asked in (False, True))
    assert run_dir(plain) == run_dir(measuring), "it decides no other number"
    result = run(measuring)
    assert result.efficiency is not None and result.efficiency.parameters == result.upstream_parameters
    assert result.efficiency.macs and result.efficiency.rtf > 0 and result.efficiency.machine
    assert results.read(run_dir(plain) / "result.json") == result
    assert run(plain, rerun="always").efficiency is None


def test_students_of_other_papers_have_their_published_choice_as_default() -> None:
    from upstream_arm.peers.loading import FAMILIES

    for entry, family in FAMILIES.items():
        row, chosen = of(entry), default(entry)
        if row is None:
            assert family.published_states == chosen == (STATES, None)
        else:
            assert row.is_from(*family.published_states) and row.is_from(*chosen)


@pytest.mark.parametrize(
    ("golden", "given", "choice", "said"),
    [
        (
            "fithubert",
            [],
            ("last_hidden_state", None),
            "features are last_hidden_state, as for its published",
        ),
        ("distilhubert", [], ("paper", None), "features are paper, as for its published row"),
        ("distilhubert", ["--states", STATES], (STATES, None), "its published row was made from paper"),
    ],
)
def test_a_run_of_another_papers_student(
    golden: str,
    given: list[str],
    choice: Choice,
    said: str,
    corpus: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    entry = peer_files.GOLDENS[golden][0]
    steps = [word for key in ("total_steps", "eval_step", "save_step") for word in ("-o", f"runner.{key}=2")]
    file = ["--ckpt", str(peer_files.write(golden, tmp_path))]
    command = [entry, "asr", "--data", str(corpus.parent), "--recipe", "demo", *steps, *file, *given]
    assert cli.main([*command, "--out", str(tmp_path / "runs"), "--device", "cpu", "--published"]) == 0
    out, err = capsys.readouterr()
    (result,) = map(results.read, (tmp_path / "runs").glob(f"{entry}/asr/*/result.json"))
    assert (result.states, result.layer) == choice
    assert not any("features are" in sentence for sentence in result.deviations)
    assert f"note: {entry}: features are" in err and said in err and said in out
