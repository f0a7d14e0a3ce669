"""Boundaries and small worked cases of the statistics: what changed code must not pass unnoticed."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scored import Item, Trial, scored

from reports.statistics import paired, ratios, resample, systems, trials
from reports.statistics.paired import Comparison, p_text
from reports.statistics.resample import Array, Draws, Interval, combined, interval, two_sided


def comparison(difference: float, p: float, key: str = "asr_wer") -> Comparison:
    return Comparison(key, difference, None, p, "x")


@pytest.mark.parametrize(
    ("made", "verdict"),
    [
        (comparison(-1.0, 0.05), "no difference shown (p = 0.050)"),
        (comparison(-1.0, 0.0499), "B is better (p = 0.050)"),
        (comparison(0.0, 0.01), "no difference shown (p = 0.010)"),
        (comparison(1.0, 0.001), "A is better (p = 0.001)"),
        (comparison(1.0, 0.00099), "A is better (p < 0.001)"),
        (comparison(-1.0, 0.01, "overall"), "A is better (p = 0.010)"),
        (comparison(1.0, 0.01, "ks_acc"), "B is better (p = 0.010)"),
    ],
)
def test_verdicts_at_their_boundaries(made: Comparison, verdict: str) -> None:
    assert made.verdict("A", "B") == verdict


def test_p_values_as_printed() -> None:
    assert (p_text(0.0012), p_text(0.001), p_text(0.0009999)) == ("p = 0.001", "p = 0.001", "p < 0.001")


def stratum(numerators: list[float], denominators: list[float]) -> Array:
    return np.array([numerators, denominators], dtype=np.float64)


def test_twelve_groups_are_swapped_in_every_way_and_thirteen_at_random() -> None:
    def p(groups: int) -> float:
        first, second = stratum([0.0] * groups, [10.0] * groups), stratum([5.0] * groups, [10.0] * groups)
        return paired.permutation([first], [second])[0]

    assert p(12) == 2 / 2**12
    assert p(13) != 2 / 2**13 and p(13) >= 1 / paired.SWAPS
    assert (paired.EXACT, paired.SWAPS, paired.SIGNIFICANT) == (12, 10_000, 0.05)


def test_a_permutation_over_two_strata_swaps_each_ones_own_groups() -> None:
    # By hand: the rates of a stratum after each of its 2^1 swaps, their differences averaged over two strata.
    first = [stratum([1.0], [10.0]), stratum([2.0], [8.0])]
    second = [stratum([3.0], [20.0]), stratum([4.0], [5.0])]
    ours, theirs = (0.1, 0.25), (0.15, 0.8)
    signs = [(a, b) for a in (1, -1) for b in (1, -1)]
    every = [100 * (a * (theirs[0] - ours[0]) + b * (theirs[1] - ours[1])) / 2 for a, b in signs]
    p, difference = paired.permutation(first, second)
    assert difference == pytest.approx(every[0])
    assert p == sum(abs(value) >= abs(every[0]) - 1e-9 for value in every) / 4 == 0.5


def test_a_permutation_with_unequal_groups_against_all_swaps_by_hand() -> None:
    first, second = [4.0, 1.0, 7.0], [1.0, 2.0, 9.0]
    under, over = [10.0, 20.0, 30.0], [11.0, 19.0, 35.0]

    def rate_gap(swapped: int) -> float:
        rates = []
        for one in (0, 1):
            sides = [((swapped >> group) & 1) ^ one for group in range(3)]
            above = sum((first, second)[side][group] for group, side in enumerate(sides))
            below = sum((under, over)[side][group] for group, side in enumerate(sides))
            rates.append(100 * above / below)
        return rates[1] - rates[0]

    gaps = [rate_gap(swapped) for swapped in range(8)]
    p, difference = paired.permutation([stratum(first, under)], [stratum(second, over)])
    assert difference == pytest.approx(gaps[0])
    assert p == sum(abs(gap) >= abs(gaps[0]) - 1e-9 for gap in gaps) / 8


def test_matched_pairs_of_two_and_of_equal_differences() -> None:
    assert paired.matched_pairs([1.0, 1.0]) == 0.0 and paired.matched_pairs([-2.0, -2.0, -2.0]) == 0.0
    assert paired.matched_pairs([]) is None and paired.matched_pairs([3.0]) is None
    # Mean 2, variance 2 with n - 1 = 1: z = 2 / sqrt(2 / 2) = 2.
    assert paired.matched_pairs([1.0, 3.0]) == pytest.approx(math.erfc(2 / math.sqrt(2)))
    assert paired.matched_pairs([-1.0, -3.0]) == pytest.approx(math.erfc(2 / math.sqrt(2)))
    assert paired.smallest(1) == 1.0 and paired.smallest(6) == 0.03125


def items(numbers: list[tuple[str, float, float]]) -> tuple[Item, ...]:
    return tuple(Item(f"{group}-{place}", group, n, d) for place, (group, n, d) in enumerate(numbers))


FIRST = items([("a", 1, 10), ("a", 2, 10), ("b", 3, 10), ("c", 1, 10)])
SECOND = items([("a", 2, 10), ("a", 2, 10), ("b", 5, 10), ("c", 4, 10)])


def test_compare_says_what_it_did_for_each_kind_of_metric() -> None:
    found = paired.compare(
        scored("asr_wer", "asr", items=(FIRST,)), scored("asr_wer", "asr", items=(SECOND,))
    )
    assert isinstance(found, Comparison) and found.matched_pairs is not None and found.interval is not None
    assert found.matched_pairs == paired.matched_pairs([1.0, 0.0, 2.0, 3.0])
    assert found.difference == pytest.approx(100 * (13 - 7) / 40)
    other = paired.compare(scored("ks_acc", "ks", items=(FIRST,)), scored("ks_acc", "ks", items=(SECOND,)))
    assert isinstance(other, Comparison) and other.matched_pairs is None
    assert "cannot give less than p = 0.25" in other.method
    lone = tuple(Trial(str(n), "one", n % 2, float(n)) for n in range(4))
    single = scored("asv_eer", "asv", trials=lone)
    assert paired.compare(single, single) == "a single enrolled speaker gives no test"


def test_sums_by_group_in_the_order_of_their_names() -> None:
    [rows] = scored("asr_wer", "asr", items=(items([("b", 1, 10), ("a", 2, 20), ("b", 4, 40)]),)).strata
    assert ratios.sums(rows).tolist() == [[2.0, 5.0], [20.0, 50.0]]


def test_draws_of_two_groups_by_hand() -> None:
    drawn = ratios.draws(scored("asr_wer", "asr", items=(items([("a", 1, 10), ("b", 3, 10)]),)))
    assert drawn is not None and drawn.point == 20.0 and (drawn.freedom, drawn.groups) == (1, 2)
    # Two of a, one of each, two of b: 10, 20, 30 %, moved from 20 by sqrt(2 / 1).
    wide = 10 * math.sqrt(2)
    assert sorted({round(float(value), 9) for value in drawn.values}) == pytest.approx(
        [20 - wide, 20, 20 + wide]
    )
    lone = scored("asr_wer", "asr", items=(items([("a", 1, 10)]),))
    assert ratios.draws(lone) is None
    mixed = scored("er_acc", "er", items=(items([("a", 1, 10), ("b", 3, 10)]), items([("a", 1, 10)])))
    assert ratios.draws(mixed) is None


def test_a_difference_draws_both_systems_alike() -> None:
    first = scored("asr_wer", "asr", items=(items([("a", 1, 10), ("b", 3, 10)]),))
    second = scored("asr_wer", "asr", items=(items([("a", 2, 10), ("b", 5, 10)]),))
    drawn = ratios.draws(first, second)
    assert drawn is not None and drawn.point == pytest.approx(15.0)
    wide = 5 * math.sqrt(2)
    assert sorted({round(float(v), 9) for v in drawn.values}) == pytest.approx([15 - wide, 15, 15 + wide])


def test_strata_are_drawn_apart() -> None:
    # One stratum twice, under one stream, would give the single one's draws.
    one = items([("a", 1, 10), ("b", 3, 10), ("c", 6, 10)])
    single = ratios.draws(scored("er_acc", "er", items=(one,)))
    double = ratios.draws(scored("er_acc", "er", items=(one, one)))
    assert single is not None and double is not None and double.point == single.point
    assert not np.allclose(single.values, double.values)
    assert double.values.std() == pytest.approx(single.values.std() / math.sqrt(2), rel=0.1)


def test_intervals_by_the_formula() -> None:
    from scipy.special import ndtr, stdtrit

    values = np.linspace(0.0, 100.0, 1001)
    for freedom, level in ((9.0, 0.95), (1.0, 0.95), (9.0, 0.8)):
        found = interval(Draws(50.0, values, freedom, 10, "speaker"), level)
        tail = 100 * float(ndtr(stdtrit(freedom, (1 - level) / 2)))
        assert (
            found is not None and found.low == pytest.approx(tail) and found.high == pytest.approx(100 - tail)
        )
    assert interval(None) is None and interval(Draws(1.0, np.ones(9), 8, 9, "speaker")) is None
    assert interval(Draws(1.0, np.array([0.0, np.nan, 1.0]), 8, 9, "speaker")) is None
    assert (resample.LEVEL, resample.DRAWS, resample.FEW) == (0.95, 1000, 10)


def test_few_groups_are_rough() -> None:
    assert Interval(0, 1, 9, "speaker").how == "by 9 speakers, rough"
    assert Interval(0, 1, 10, "speaker").how == "by 10 speakers"
    assert Interval(0, 1, 1, "query").how == "by 1 query, rough"


def test_two_sided_p_values_by_counting() -> None:
    def p(*values: float) -> float:
        return two_sided(Draws(0.0, np.array(values), 1, 2, "speaker"))

    assert p(1.0, 2.0, 3.0) == 2 * 1 / 4
    assert p(-1.0, 2.0, 3.0, 4.0, 5.0) == 2 * 2 / 6 and p(1.0, -2.0, -3.0, -4.0, -5.0) == 2 * 2 / 6
    assert p(0.0, 1.0, 2.0, 3.0, 4.0) == 2 * 2 / 6 and p(0.0, 0.0) == 1.0


def test_independent_parts_are_averaged_with_welchs_degrees_of_freedom() -> None:
    first = Draws(10.0, np.array([9.0, 11.0]), 3, 4, "speaker")  # variance 1
    second = Draws(20.0, np.array([18.0, 22.0]), 5, 6, "speaker")  # variance 4
    found = combined([first, second], "session")
    assert (found.point, found.groups, found.unit) == (15.0, 10, "session")
    assert found.values.tolist() == [13.5, 16.5]
    assert found.freedom == pytest.approx((1 + 4) ** 2 / (1 / 3 + 16 / 5))
    still = Draws(1.0, np.zeros(2), 3, 4, "speaker"), Draws(1.0, np.zeros(2), 2, 4, "speaker")
    assert combined(still, "x").freedom == 2


def test_weights_are_counts_of_draws_with_replacement() -> None:
    drawn = resample.weights(5, "t/0")
    assert drawn.shape == (1000, 5) and (drawn.sum(axis=1) == 5).all() and drawn.min() == 0
    assert abs(drawn.mean(axis=0) - 1).max() < 0.15
    assert drawn.var() == pytest.approx(0.8, abs=0.1)  # of a multinomial: 1 - 1/5
    assert len({tuple(row) for row in drawn[:50]}) > 30
    wide = resample.widened(10.0, np.array([8.0, 12.0]), 5)
    assert wide.tolist() == pytest.approx([10 - 2 * math.sqrt(5 / 4), 10 + 2 * math.sqrt(5 / 4)])


def test_the_overall_of_draws_by_hand() -> None:
    def one(point: float, spread: float, freedom: float = 4.0, groups: int = 5) -> Draws:
        return Draws(point, np.array([point - spread, point + spread]), freedom, groups, "speaker")

    from reports import scores

    still = {key: one(50.0, 0.0) for key in scores.KEYS}
    drawn = {**still, "asr_wer": one(10.0, 1.0), "ks_acc": one(90.0, 2.0, 9.0, 10)}
    found = systems._overall(drawn)
    # Nine metrics at 50, whichever way they count, and 100 - 10 and 90.
    assert found.point == pytest.approx((9 * 50 + 90 + 90) / 11) and found.unit == "group"
    assert found.values.tolist() == pytest.approx([(9 * 50 + 91 + 88) / 11, (9 * 50 + 89 + 92) / 11])
    assert found.groups == 9 * 5 + 10  # slot filling's two metrics share their groups
    assert found.freedom == pytest.approx((1 + 4) ** 2 / (1 / 4 + 16 / 9))
    # Of differences five go up and four down, besides these two.
    lower = sum(systems.BY_KEY[key].better == "lower" for key in scores.KEYS)
    signs = 50 * (11 - lower - 1) - 50 * (lower - 1)
    assert systems._overall(drawn, offset=0.0).point == pytest.approx((signs + 90 - 10) / 11)
    slots = {**still, "sf_f1": one(80.0, 1.0), "sf_cer": one(30.0, 2.0)}
    both = systems._overall(slots)  # F1 rises where 100 - CER falls: they share their draws
    assert both.values.tolist() == pytest.approx([(450 + 79 + 72) / 11, (450 + 81 + 68) / 11])


def test_degrees_of_freedom_do_not_depend_on_the_unit() -> None:
    from reports import scores

    def made(scale: float) -> list[Draws]:
        return [
            Draws(0.0, scale * np.array([-spread, spread]), freedom, 5, "speaker")
            for spread, freedom in ((1.0, 3.0), (2.0, 5.0))
        ]

    for scale in (1e-3, 1e3):
        assert combined(made(scale), "x").freedom == pytest.approx(combined(made(1), "x").freedom)
        whole = [
            systems._overall({key: made(factor)[number % 2] for number, key in enumerate(scores.KEYS)})
            for factor in (1, scale)
        ]
        assert whole[1].freedom == pytest.approx(whole[0].freedom)


@pytest.mark.parametrize(
    ("key", "low", "high"),
    [("asr_wer", 0.0, 120.0), ("ks_acc", 0.0, 100.0), ("overall", 0.0, 100.0)],
)
def test_an_interval_is_cut_to_what_the_metric_can_be(key: str, low: float, high: float) -> None:
    whole = systems._possible(key, Interval(-0.5, 120.0, 12, "speaker"))
    assert whole == Interval(low, high, 12, "speaker")
    inner = Interval(0.3, 99.0, 12, "speaker")
    assert systems._possible(key, inner) == inner


def test_a_metric_that_one_system_lacks_is_not_compared() -> None:
    words, labels = (scored(key, key[:3], items=(FIRST,)) for key in ("asr_wer", "ks_acc"))
    assert systems.compare({"asr_wer": words}, {"ks_acc": labels}) == {}
    assert list(systems.compare({"asr_wer": words, "ks_acc": labels}, {"ks_acc": labels})) == ["ks_acc"]


def test_a_few_undefined_draws_are_drawn_again_and_more_are_not() -> None:
    def filled(undefined: int) -> list[float]:
        values = np.arange(100.0)
        values[:undefined] = np.nan
        return trials._drawn_again(values).tolist()  # type: ignore[no-any-return]

    assert (trials.MOSTLY, trials.THRESHOLDS) == (0.95, 1000)
    assert filled(5) == [5.0] * 5 + [float(number) for number in range(5, 100)]
    assert math.isnan(filled(6)[0]) and filled(6)[6:] == [float(number) for number in range(6, 100)]
