"""Rank agreement: scipy's tau-b, an interval that is the same each time, and what has no order."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from reports.statistics import ranks


@pytest.mark.parametrize("ties", [False, True])
def test_tau_is_that_of_scipy(ties: bool) -> None:
    random = np.random.default_rng(0)
    for models in (3, 6, 15):
        numbers = random.integers(0, 4, (models, 2)) if ties else random.normal(size=(models, 2))
        found = ranks.agreement({"acc": [tuple(map(float, row)) for row in numbers]})["acc"]  # type: ignore[misc]
        expected = kendalltau(*numbers.T).statistic
        assert (found.tau is None and np.isnan(expected)) or found.tau == pytest.approx(expected)
        assert found.models == models


def test_the_interval() -> None:
    random = np.random.default_rng(1)
    one = random.normal(size=30)
    pairs = list(zip(one.tolist(), (one + random.normal(size=30)).tolist(), strict=True))
    found = ranks.agreement({"acc": pairs})["acc"]
    assert found == ranks.agreement({"acc": pairs, "per": pairs[:5]})["acc"]
    assert found.tau is not None and found.low is not None and found.high is not None
    assert 0 < found.low < found.tau < found.high < 1 and 0.2 < found.high - found.low < 0.6
    same = ranks.agreement({"acc": [(value, value) for value, _ in pairs]})["acc"]
    assert (same.tau, same.low, same.high) == (1, 1, 1)


def test_what_has_no_order() -> None:
    assert ranks.agreement({"acc": [(1.0, 2.0), (2.0, 1.0)]}) == {}
    found = ranks.agreement({"acc": [(1.0, 2.0), (1.0, 1.0), (1.0, 5.0)]})["acc"]
    assert found.tau is None and "which one of the two does not tell apart" in str(found)
