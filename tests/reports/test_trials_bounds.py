"""Draws of trials at their boundaries, by hand."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from scored import Item, Trial, scored

from downstream_runs.scoring.mtwv import BETA, DEFAULT_SCORE
from reports.statistics import ratios, trials
from reports.statistics.resample import interval


def trial(group: str, label: int, score: float, name: str = "") -> Trial:
    return Trial(name or f"{group} {label} {score}", group, label, score)


def eer(*made: Trial) -> float:
    found = scored("asv_eer", "asv", trials=made)
    rate, counted = trials.point(found), trials._counted(found)
    assert counted.values(np.ones((1, counted.resampled)))[0] == pytest.approx(rate)
    return rate


def test_equal_error_rates_by_hand() -> None:
    assert eer(trial("a", 1, 2), trial("a", 0, 1)) == 0.0
    assert eer(trial("a", 1, 1), trial("a", 0, 2)) == pytest.approx(100.0)
    assert eer(trial("a", 1, 1), trial("a", 0, 1)) == pytest.approx(50.0)
    # Hits 1/2 at no alarm, then 1/2 alarms, then all hits: crossed where alarms reach 1/2.
    four = (trial("a", 1, 4), trial("a", 0, 3), trial("a", 1, 2), trial("a", 0, 1))
    assert eer(*four) == pytest.approx(50.0)
    three = (trial("a", 1, 4), trial("a", 1, 3), trial("b", 0, 3, "x"), trial("b", 0, 2), trial("b", 0, 1))
    assert eer(*three) == pytest.approx(100 / 5)  # on the line from (0, 1/2) to (1/3, 1): 1 - x = 1/2 + 3x/2


def mtwv(*made: Trial) -> float:
    return trials.point(scored("qbe_mtwv", "qbe", trials=made))


def test_term_weighted_values_by_hand() -> None:
    beta = BETA
    assert beta == pytest.approx(12.490015, abs=1e-6)
    hundred = [trial("q", 0, -float(number)) for number in range(1, 101)]
    assert mtwv(trial("q", 1, 5), *hundred) == 100.0
    # One false alarm of 100 comes first.
    assert mtwv(trial("q", 0, 9), trial("q", 1, 5), *hundred[1:]) == pytest.approx(100 * (1 - beta / 100))
    # Half of the targets is found before the alarms.
    assert mtwv(trial("q", 1, 5), trial("q", 1, -1000), *hundred) == pytest.approx(50.0)
    # Queries count alike, those without a target not at all, and nothing found is worth 0.
    assert mtwv(trial("q", 1, 5), trial("p", 1, -2000), trial("r", 0, 9), *hundred) == pytest.approx(50.0)
    assert mtwv(trial("q", 1, -1000), *hundred) == 0.0


def test_trials_draw_their_groups() -> None:
    made = [trial("a", 1, 2), trial("a", 0, 1), trial("b", 1, 1.5), trial("b", 0, 1.8, "x"), trial("c", 1, 3)]
    made += [trial("c", 0, 0.5)]
    evidence = scored("asv_eer", "asv", trials=tuple(made))
    drawn = trials.draws(evidence)
    assert drawn is not None and drawn.point == eer(*made)
    assert (drawn.freedom, drawn.groups, drawn.unit) == (2, 3, "enrolled speaker")
    assert trials.draws(scored("asv_eer", "asv", trials=tuple(made[:2]))) is None
    better = scored(
        "asv_eer", "asv", trials=tuple(trial(t.group, t.label, t.score + 9 * t.label, t.name) for t in made)
    )
    gap = trials.draws(evidence, better)
    assert gap is not None and gap.point == pytest.approx(-drawn.point)
    assert np.allclose(gap.values, -drawn.values)  # the better one's draws are all 0


def test_many_scores_are_thinned_for_the_draws_and_not_for_the_value() -> None:
    rng = np.random.default_rng(0)
    made = tuple(
        trial(f"s{number % 7}", number % 2, float(rng.normal(number % 2)), str(number))
        for number in range(2400)
    )
    evidence = scored("asv_eer", "asv", trials=made)
    drawn = trials.draws(evidence)
    assert drawn is not None and drawn.point == trials.point(evidence)
    assert abs(float(np.mean(drawn.values)) - drawn.point) < 0.5


def test_thinned_thresholds_span_all_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trials, "THRESHOLDS", 5)
    # Trials that reach each threshold, from the highest, and all: of scores 0 to 100, odd ones targets.
    made = [trial("a", number % 2, float(number)) for number in range(101)]
    asv, qbe = (trials._counted(scored(key, "x", trials=made)).thinned() for key in ("asv_eer", "qbe_mtwv"))
    assert (asv.targets + asv.nontargets).tolist() == [[1, 26, 51, 76, 101, 101]]
    assert (50 * qbe.targets + 51 * qbe.nontargets)[0] == pytest.approx([2, 26, 52, 76, 100, 101])


def test_what_thinning_moves_the_draws_by_is_taken_back(monkeypatch: pytest.MonkeyPatch) -> None:
    # With every group once in each draw, each draw is the value of all thresholds and not of four.
    monkeypatch.setattr(trials, "THRESHOLDS", 4)
    monkeypatch.setattr(trials, "weights", lambda groups, stream: np.ones((3, groups)))
    rng = np.random.default_rng(1)
    made = tuple(trial(f"s{n % 7}", n % 2, float(rng.normal(n % 2)), str(n)) for n in range(200))
    evidence = scored("asv_eer", "asv", trials=made)
    drawn, value = trials.draws(evidence), trials.point(evidence)
    assert drawn is not None and drawn.values == pytest.approx([value] * 3)
    thinned = trials._counted(evidence).thinned().values(np.ones((1, 7)))
    assert abs(thinned[0] - value) > 0.1


def test_queries_that_no_document_holds_give_no_draws() -> None:
    assert trials.draws(scored("qbe_mtwv", "qbe", trials=(trial("q", 0, 1.0), trial("r", 0, 2.0)))) is None


def test_a_draw_that_is_undefined_is_silent_and_gives_no_interval() -> None:
    # Drawn alone, the one group is 0/0 and the other 2/0: phones inserted where nothing is spoken.
    for empty in (0, 2):
        evidence = scored("pr_per", "pr", items=((Item("", "a", 1, 10), Item("", "b", empty, 0)),))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            drawn = ratios.draws(evidence)
        assert drawn is not None and drawn.point == 10.0 * (1 + empty)
        assert not np.isfinite(drawn.values).all() and interval(drawn) is None

    # A draw of b alone has no nontargets.
    made = (trial("a", 0, 1.0), trial("a", 1, 3.0), trial("b", 1, 2.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = trials.draws(scored("asv_eer", "asv", trials=made))
    assert found is not None and np.isnan(found.values).any() and interval(found) is None


def test_groups_stand_in_the_order_of_their_names() -> None:
    # Two systems, and two processes, give one column of the draws to one group.
    names = [f"s{number:02d}" for number in range(40)]
    made = [trial(name, label, float(label)) for name in reversed(names) for label in (0, 1)]
    asv = trials._counted(scored("asv_eer", "asv", trials=[*made, trial("s05", 1, 9.0)]))
    assert asv.resampled == 40 and asv.targets[:, -1].tolist() == [
        2.0 if name == "s05" else 1.0 for name in names
    ]
    missed = [trial(f"r{number:02d}", 1, DEFAULT_SCORE) for number in range(40)]
    unspoken = trial("a", 0, 3.0)
    qbe = trials._counted(scored("qbe_mtwv", "qbe", trials=[*missed, *made, unspoken]))
    assert qbe.resampled == 40 and len(qbe.targets) == 80
    assert qbe.targets[:, -1].tolist() == [1.0] * 80 and qbe.nontargets[:, -1].sum() == 40
    assert qbe.targets[:40, 0].tolist() == [1.0] * 40 and not qbe.targets[40:, 0].any()
