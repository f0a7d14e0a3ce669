"""Reports of runs that the engine made: recorded by record_runs.py, all ten tasks of two upstreams."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from scored import scored, trials_of

from downstream_runs.scoring import eer
from reports import scores
from reports.columns import COLUMNS, in_percent
from reports.item_files import items_of, recomputed
from reports.items import ScoredItems
from reports.ours import gather, headlines
from reports.statistics import paired, ratios, systems, trials
from reports.systems import System
from reports.tables import overview

UPSTREAMS = ("armhubert_random", "fbank_no_cmvn")
#: Metrics in which all groups have the same rate: no draw of them shows how they differ.
EQUAL: dict[str, set[str]] = {"armhubert_random": {"sf_f1"}, "fbank_no_cmvn": set()}


@pytest.fixture(scope="module")
def rows(data_dir: Path) -> dict[str, System]:
    """Upstream -> its one row."""
    found = gather([data_dir / "demo_runs"])
    assert found.problems == () and found.notes == ()
    assert len(found.systems) == len(UPSTREAMS), "QbE, which trains nothing, joins the row of shortened runs"
    return {row.upstream: row for row in found.systems}


@pytest.fixture(scope="module")
def items(rows: Mapping[str, System]) -> dict[str, Mapping[str, ScoredItems]]:
    found = {}
    for name, row in rows.items():
        usable, problems = items_of(row.runs)
        assert problems == []
        found[name] = usable
    return found


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_number_of_every_task_is_computed_again(
    rows: Mapping[str, System], items: Mapping[str, Mapping[str, ScoredItems]], upstream: str
) -> None:
    assert set(items[upstream]) == set(scores.KEYS)
    for _, result in rows[upstream].runs:
        for key, metric in headlines(result).items():
            again = recomputed(items[upstream][key])
            assert again == pytest.approx(in_percent(metric), rel=1e-9, abs=1e-9), key


@pytest.mark.parametrize("upstream", UPSTREAMS)
def test_every_task_and_the_overall_score_get_an_interval(
    rows: Mapping[str, System], items: Mapping[str, Mapping[str, ScoredItems]], upstream: str
) -> None:
    found = systems.intervals(items[upstream])
    assert set(found) == {*scores.KEYS, systems.OVERALL} - EQUAL[upstream]
    values = {**rows[upstream].values, systems.OVERALL: scores.overall(rows[upstream].values)}
    for key, around in found.items():
        value = values[key]
        assert value is not None and around.low <= value <= around.high, key
    for key in EQUAL[upstream]:
        [stratum] = items[upstream][key].strata
        over, under = ratios.sums(stratum)
        assert len(set(over / under)) == 1
    assert found["qbe_mtwv"].unit == "query" and found["asv_eer"].unit == "enrolled speaker"
    table = overview.runs([rows[upstream]], {rows[upstream].name: found})
    assert table is not None
    lines = [line for block in table.blocks for line in block.rows]
    assert len(lines) == len(COLUMNS)
    assert sum(" to " in line[3].text for line in lines) == len(COLUMNS) - len(EQUAL[upstream])


def test_every_task_and_the_overall_score_get_a_paired_test(
    items: Mapping[str, Mapping[str, ScoredItems]],
) -> None:
    found = systems.compare(*(items[name] for name in UPSTREAMS))
    assert set(found) == {*scores.KEYS, systems.OVERALL}
    for key, one in found.items():
        assert isinstance(one, paired.Comparison), (key, one)
        assert 0 < one.p <= 1 and one.interval is not None, key
        assert one.interval.low <= one.difference <= one.interval.high, key


def test_the_trials_of_qbe_are_all_that_the_official_number_counts(
    rows: Mapping[str, System], items: Mapping[str, Mapping[str, ScoredItems]]
) -> None:
    for name, row in rows.items():
        [metric] = [one.headline("mtwv") for _, one in row.runs if one.task == "qbe"]
        found = trials_of(items[name]["qbe_mtwv"])
        assert metric is not None
        spoken = {trial.group for trial in found if trial.label}
        assert len(spoken) == metric.counts["queries"]
        assert sum(trial.number for trial in found if trial.group in spoken) == metric.counts["trials"]
        assert sum(trial.number for trial in found if trial.label) == metric.counts["targets"]


def test_the_eer_is_the_scorers(items: Mapping[str, Mapping[str, ScoredItems]]) -> None:
    for found in items.values():
        asv = trials_of(found["asv_eer"])
        theirs = eer.score([trial.label for trial in asv], [trial.score for trial in asv]).rate
        assert trials.point(found["asv_eer"]) == pytest.approx(100 * theirs, abs=1e-9)


def test_draws_without_a_nontarget_are_drawn_again(items: Mapping[str, Mapping[str, ScoredItems]]) -> None:
    # The demo's last speaker is enrolled for targets only; a draw may consist of that speaker alone.
    found = trials_of(items["fbank_no_cmvn"]["asv_eer"])
    alone = {trial.group for trial in found} - {trial.group for trial in found if not trial.label}
    assert len(alone) == 1
    few = scored("asv_eer", "asv", trials=[trial for trial in found if trial.group in {*alone, "id10270"}])
    drawn = trials.draws(few)
    assert drawn is not None, "a quarter of the draws has no EER: that is too many to draw again"
    assert systems.intervals({"asv_eer": few}) == {}
