"""The installed s3prl's own metrics on random input: the same numbers, to the last digit."""

from __future__ import annotations

import random
from types import ModuleType

import pytest

from downstream_runs.scoring import eer, per, slots, wer
from downstream_runs.scoring.sums import in_order

WORDS = ["ONE", "TWO", "THREE", "É", "B-x", "E-x", "B-y", "E-y", "B-yy", "E-yy", ""]


@pytest.fixture(scope="module")
def common() -> ModuleType:
    pytest.importorskip("sklearn", reason="s3prl's metrics need scikit-learn")
    pytest.importorskip("torchaudio", reason="the bridge, which has an editdistance for s3prl, needs it")
    from downstream_runs import bridge

    bridge.supply()
    return pytest.importorskip("s3prl.metric.common")


def texts(random: random.Random, words: list[str], most: int) -> dict[str, str]:
    return {str(n): " ".join(random.choices(words, k=random.randint(1, most))) for n in range(8)}


@pytest.mark.parametrize("seed", range(40))
def test_slots(common: ModuleType, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    theirs = pytest.importorskip("s3prl.metric.slot_filling")
    # Up to Python 3.11, where the published numbers come from, the builtin sum is this; it is another since.
    monkeypatch.setattr(theirs, "sum", in_order, raising=False)
    chance = random.Random(seed)
    ref = {"0": "B-x ONE TWO E-x", **{f"r{n}": text for n, text in texts(chance, WORDS, 14).items()}}
    hyp = dict(zip(ref, ["", *texts(chance, WORDS, 14).values()], strict=True))
    both = (list(hyp.values()), list(ref.values()))
    ours = slots.score(ref, hyp)
    assert ours.type_f1 == theirs.slot_type_f1(*both)
    assert ours.value_cer == theirs.slot_value_cer(*both)
    assert ours.value_wer == theirs.slot_value_wer(*both)
    assert ours.edit_f1_full == theirs.slot_edit_f1_full(*both)
    assert ours.edit_f1_part == theirs.slot_edit_f1_part(*both)


@pytest.mark.parametrize("seed", range(10))
def test_edit_rates(common: ModuleType, seed: int) -> None:
    chance = random.Random(seed)
    ref, hyp = texts(chance, ["A", "BB", "C C"], 9), texts(chance, ["A", "BB", "C C"], 9)
    both = (list(hyp.values()), list(ref.values()))
    assert wer.score(ref, hyp).rate == common.wer(*both)
    assert per.score(ref, hyp).rate == common.per(*both)
    assert wer.score(ref, hyp, "char").rate == common.cer(*both)


@pytest.mark.parametrize("digits", [9, 1, 0])
@pytest.mark.parametrize("seed", range(10))
def test_equal_error_rates(common: ModuleType, seed: int, digits: int) -> None:
    chance = random.Random(seed)
    labels = [1, 0, *chance.choices([0, 1], k=60)]
    scores = [round(chance.gauss(label, 1.0), digits) for label in labels]
    rate, threshold = common.compute_eer(labels, scores)
    ours = eer.score(labels, scores)
    assert ours.rate == rate
    assert ours.threshold == threshold or threshold != threshold or threshold == float("inf")
