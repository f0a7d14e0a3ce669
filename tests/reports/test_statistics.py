"""Intervals cover what they promise, and tests find differences only where there are some."""

from __future__ import annotations

import math

import numpy as np
import pytest
from made_trials import mtwv_evidence, speakers
from scored import Item, scored, trials_of

from reports.items import ScoredItems
from reports.statistics import paired, ratios, systems, trials
from reports.statistics.resample import Draws, interval, two_sided, weights, widened
from reports.statistics.resample import _weights as kept_weights


def corpus(
    rng: np.random.Generator, speakers: int, shift: float = 0.0, per_speaker: int = 6
) -> tuple[list[Item], list[Item]]:
    """Two systems on the same utterances; the second has `shift` more errors per word. Speakers differ."""
    first, second = [], []
    for speaker in range(speakers):
        rate = rng.beta(4, 36)  # mean 0.1, spread over speakers 0.047
        for number in range(per_speaker):
            length = int(rng.integers(5, 40))
            name, group = f"{speaker}-{number}", f"s{speaker:03d}"
            first.append(Item(name, group, int(rng.binomial(length, rate)), length))
            second.append(Item(name, group, int(rng.binomial(length, min(1, rate + shift))), length))
    return first, second


def wer(items: list[Item]) -> ScoredItems:
    return scored("asr_wer", "asr", items=(tuple(items),))


def coverage(speakers: int, by_item: bool = False, rounds: int = 400) -> float:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(rounds):
        items, _ = corpus(rng, speakers)
        if by_item:
            items = [Item(item.name, item.name, item.numerator, item.denominator) for item in items]
        found = interval(ratios.draws(wer(items)))
        assert found is not None
        hits += found.low <= 10 <= found.high
    return hits / rounds


@pytest.mark.parametrize(("speakers", "least"), [(40, 0.92), (10, 0.90)])
def test_the_intervals_cover_the_true_value_as_often_as_they_say(speakers: int, least: float) -> None:
    # 400 rounds: two standard errors of a coverage of 0.95 are 0.022.
    assert least <= coverage(speakers) <= 0.985


def test_resampling_utterances_instead_of_speakers_covers_too_rarely() -> None:
    assert coverage(40, by_item=True) < 0.85


def test_an_interval_names_what_it_resampled() -> None:
    items, _ = corpus(np.random.default_rng(1), 12)
    found = interval(ratios.draws(wer(items)))
    assert found is not None and found.how == "by 12 speakers" and found.low < found.high
    few = interval(ratios.draws(wer(corpus(np.random.default_rng(1), 3)[0])))
    assert few is not None and few.how == "by 3 speakers, rough"
    alone = [Item(item.name, item.name, item.numerator, item.denominator) for item in items]
    assert wer(alone).unit == "utterance"
    assert ratios.draws(wer(corpus(np.random.default_rng(1), 1)[0])) is None


def test_folds_are_averaged_and_resampled_apart() -> None:
    rng = np.random.default_rng(2)
    strata = tuple(tuple(corpus(rng, 2)[0]) for _ in range(5))
    drawn = ratios.draws(scored("er_acc", "er", items=strata))
    rates = [sum(i.numerator for i in s) / sum(i.denominator for i in s) for s in strata]
    assert drawn is not None and drawn.point == pytest.approx(100 * sum(rates) / 5)
    assert drawn.groups == 10 and 1 < drawn.freedom <= 5
    assert drawn.values.std() < np.mean(
        [ratios.draws(scored("er_acc", "er", items=(s,))).values.std() for s in strata]  # type: ignore[union-attr]
    )


def test_strata_are_resampled_independently_of_each_other() -> None:
    # Five strata with the same items: the mean of independent draws spreads by 1 / sqrt(5) of one's.
    stratum = tuple(corpus(np.random.default_rng(2), 8)[0])
    one = ratios.draws(scored("er_acc", "er", items=(stratum,)))
    five = ratios.draws(scored("er_acc", "er", items=(stratum,) * 5))
    assert one is not None and five is not None and five.point == pytest.approx(one.point)
    assert five.values.std() / one.values.std() == pytest.approx(5**-0.5, rel=0.1)
    other = tuple(Item(item.name, item.group, 0, item.denominator) for item in stratum)
    both = [scored("er_acc", "er", items=(some,) * 5) for some in (other, stratum)]
    difference = ratios.draws(*both)
    assert difference is not None and difference.values.std() == pytest.approx(five.values.std())


def test_few_groups_widen_what_resampling_shows() -> None:
    assert widened(10.0, np.array([8.0, 10.0, 13.0]), 4) == pytest.approx(
        [10 - 2 * math.sqrt(4 / 3), 10.0, 10 + 3 * math.sqrt(4 / 3)]
    )
    # Rates 0 and 100 of two speakers: of a draw 0, 1 or 2 times the second, and wider by sqrt(2 / 1).
    two = [Item("a", "a", 0, 1), Item("b", "b", 1, 1)]
    drawn = ratios.draws(wer(two))
    assert drawn is not None
    assert np.unique(drawn.values.round(9)) == pytest.approx([50 - 50 * 2**0.5, 50, 50 + 50 * 2**0.5])
    # Of the mean of four normals the variance is 1/4; resampling shows 3/4 of that.
    rng = np.random.default_rng(1)
    found = []
    for _ in range(300):
        items = [Item(str(number), str(number), value, 1) for number, value in enumerate(rng.normal(size=4))]
        one = ratios.draws(wer(items))
        assert one is not None
        found.append(one.values.var() / 100**2)
    assert np.mean(found) == pytest.approx(1 / 4, rel=0.08)
    # EER and MTWV are widened in the same way.
    queries = mtwv_evidence({"a": {"x": 1.0, "y": 0.0}, "b": {"x": 0.0, "y": 1.0}}, {"a": "x", "b": "x"})
    values = trials.draws(queries)
    assert values is not None
    assert values.point == 0, "what finds a's target is a false alarm of b"
    assert values.values.max() == pytest.approx(100 * 2**0.5), "twice query a, which alone has 100"


def test_the_order_of_the_items_does_not_matter() -> None:
    items, other = corpus(np.random.default_rng(3), 15, 0.01)
    shuffled = [items[index] for index in np.random.default_rng(4).permutation(len(items))]
    assert interval(ratios.draws(wer(items))) == interval(ratios.draws(wer(shuffled)))
    assert paired.compare(wer(items), wer(other)) == paired.compare(wer(shuffled), wer(other))


def test_draws_are_the_same_everywhere_and_differ_between_tasks() -> None:
    kept_weights.cache_clear()
    one = weights(7, "asr/0").copy()
    kept_weights.cache_clear()
    assert (weights(7, "asr/0") == one).all() and not (weights(7, "pr/0") == one).all()
    assert (one.sum(axis=1) == 7).all()


def test_p_values_of_equal_systems_are_uniform_and_those_of_unequal_ones_small() -> None:
    rng = np.random.default_rng(6)
    equal, unequal = [], []
    for _ in range(150):
        first, second = corpus(rng, 20)
        found = paired.compare(wer(first), wer(second))
        assert isinstance(found, paired.Comparison) and found.matched_pairs is not None
        equal.append((found.p, found.matched_pairs))
        first, second = corpus(rng, 20, shift=0.03)
        found = paired.compare(wer(first), wer(second))
        assert isinstance(found, paired.Comparison) and found.matched_pairs is not None
        unequal.append((found.p, found.matched_pairs))
    for level in (0.05, 0.2, 0.5):
        share = np.mean(np.array(equal) <= level, axis=0)
        # Three standard errors of a share among 150.
        assert (abs(share - level) < 3 * math.sqrt(level * (1 - level) / 150)).all(), (level, share)
    assert (np.mean(np.array(unequal) < 0.05, axis=0) > 0.9).all()


def test_the_exact_permutation_against_counting_by_hand() -> None:
    # Differences by speaker +1, +1, -2 of 10 words each: |sum| of the 8 sign patterns is 0 twice, else >= 2.
    first = wer([Item(name, name, count, 10) for name, count in (("a", 1), ("b", 1), ("c", 3))])
    second = wer([Item(name, name, count, 10) for name, count in (("a", 2), ("b", 2), ("c", 3))])
    found = paired.compare(first, second)
    assert isinstance(found, paired.Comparison)
    assert found.difference == pytest.approx(100 * 2 / 30)
    assert found.p == pytest.approx(4 / 8)  # + + and - -, with either sign of the 0
    assert found.verdict("A", "B") == "no difference shown (p = 0.500)"
    assert found.method == "permutation by utterance; 3 of them cannot give less than p = 0.25"


def test_each_group_is_swapped_for_itself_in_every_stratum() -> None:
    # One speaker a fold, each 1 of 10 worse: the mean of the four sign patterns is +10, 0, 0, -10.
    strata = [(Item(name, name, 1, 10),) for name in "ab"], [(Item(name, name, 2, 10),) for name in "ab"]
    first, second = (scored("er_acc", "er", items=tuple(items)) for items in strata)
    found = paired.compare(first, second)
    assert isinstance(found, paired.Comparison)
    assert found.difference == pytest.approx(10) and found.p == pytest.approx(2 / 4)


def test_the_observed_order_is_among_random_swaps() -> None:
    # 40 speakers who all got worse: of 10,000 random swaps none is as extreme, and p is never 0.
    first = wer([Item(str(number), str(number), 1, 10) for number in range(40)])
    second = wer([Item(str(number), str(number), 5, 10) for number in range(40)])
    found = paired.compare(first, second)
    assert isinstance(found, paired.Comparison) and found.p == pytest.approx(1 / paired.SWAPS)


def test_matched_pairs_against_a_value_worked_out_by_hand() -> None:
    # mean 1, standard deviation 2 of 16 values: z = 1 / (2 / 4) = 2, two-sided p = 0.0455.
    values = [1 + 2 * math.sqrt(15 / 16) * sign for sign in (1, -1)] * 8
    assert paired.matched_pairs(values) == pytest.approx(0.0455, abs=1e-4)
    assert paired.matched_pairs([0, 0]) == 1.0 and paired.matched_pairs([1]) is None


def test_a_verdict_comes_with_its_p_value_and_in_the_metrics_direction() -> None:
    lower = paired.Comparison("asr_wer", -1.0, None, 0.0004, "permutation")
    assert lower.verdict("A", "B") == "B is better (p < 0.001)"
    assert paired.Comparison("ks_acc", -1.0, None, 0.01, "x").verdict("A", "B") == "A is better (p = 0.010)"
    assert paired.Comparison("overall", 1.0, None, 0.01, "x").verdict("A", "B") == "B is better (p = 0.010)"


def test_other_test_items_cannot_be_paired() -> None:
    first, _ = corpus(np.random.default_rng(7), 5)
    renamed = [Item(item.name + "x", item.group, item.numerator, item.denominator) for item in first]
    assert paired.compare(wer(first), wer(renamed)) == "not the same test items"
    one = [item for item in first if item.group == "s000"]
    found = paired.compare(wer(one), wer(one))
    assert isinstance(found, paired.Comparison) and found.interval is None and found.p == 1.0


# The overall score


def whole(seed: int, shift: float = 0.0) -> dict[str, ScoredItems]:
    from reports import scores
    from reports.columns import BY_KEY

    found = {}
    for number, key in enumerate(scores.KEYS):
        task = BY_KEY[key].task
        rng = np.random.default_rng([seed, number])
        if key in ("asv_eer", "qbe_mtwv"):
            found[key] = scored(key, task, trials=trials_of(speakers(3.0, seed)))
        else:
            items = corpus(rng, 20, shift)[1]
            found[key] = scored(key, task, items=(tuple(items),))
    return found


def test_the_interval_of_the_overall_score_comes_from_all_tasks() -> None:
    evidence = whole(1)
    found = systems.intervals(evidence)
    around = found["overall"]
    values = {key: systems._draws(item) for key, item in evidence.items()}
    from reports import scores

    point = scores.overall({key: item.point for key, item in values.items() if item is not None})
    assert point is not None and around.low < point < around.high
    # Independent errors average out: narrower than the mean of the single ones.
    single = np.mean([found[key].high - found[key].low for key in scores.KEYS])
    assert 0 < around.high - around.low < single
    del evidence["er_acc"]
    assert "overall" not in systems.intervals(evidence)


def test_the_overall_scores_of_two_systems_are_compared() -> None:
    found = systems.compare(whole(1), whole(1, shift=0.2))
    overall = found["overall"]
    assert isinstance(overall, paired.Comparison) and overall.interval is not None
    # Four accuracies and F1 go up with the numerators, four error rates too: here 5 against 4.
    values = [item.difference for item in found.values() if isinstance(item, paired.Comparison)]
    assert len(values) == 12 and overall.interval.low <= overall.difference <= overall.interval.high
    same = systems.compare(whole(1), whole(1))["overall"]
    assert isinstance(same, paired.Comparison) and same.p == 1.0 and same.difference == 0


def test_the_smallest_p_value_of_a_bootstrap_is_not_zero() -> None:
    far = Draws(5.0, np.linspace(4, 6, 1000), 9, 10, "speaker")
    assert two_sided(far) == pytest.approx(2 / 1001)


def test_few_groups_say_what_they_cannot_show() -> None:
    first, second = corpus(np.random.default_rng(8), 5, shift=0.5)
    found = paired.compare(wer(first), wer(second))
    assert isinstance(found, paired.Comparison)
    assert found.p == pytest.approx(paired.smallest(5)) and "cannot give less than p = 0.062" in found.method
    first, second = corpus(np.random.default_rng(8), 6, shift=0.5)
    found = paired.compare(wer(first), wer(second))
    assert isinstance(found, paired.Comparison)
    assert found.p == pytest.approx(0.03125) and found.method == "permutation by speaker"


def test_an_interval_stays_within_what_the_metric_can_be_and_is_none_without_an_error() -> None:
    right = [Item(str(number), f"s{number // 2}", float(number > 0), 1) for number in range(20)]
    found = systems.intervals({"ks_acc": scored("ks_acc", "ks", items=(tuple(right),))})
    assert found["ks_acc"].high == 100 and found["ks_acc"].low < 95
    perfect = [Item(item.name, item.group, 1, 1) for item in right]
    assert systems.intervals({"ks_acc": scored("ks_acc", "ks", items=(tuple(perfect),))}) == {}
