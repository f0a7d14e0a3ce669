"""Diarization error rate against dscore, md-eval, spyder and pyannote.metrics, and its edge cases."""

from __future__ import annotations

import itertools
import json
import random
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream_runs.scoring import der, rttm
from downstream_runs.scoring.der import DiarizationCounts, Region
from downstream_runs.scoring.names import ScoringError
from downstream_runs.scoring.rttm import Turn

Files = dict[str, list[Turn]]


@pytest.fixture(scope="module")
def folder(data_dir: Path) -> Path:
    return data_dir / "oracles" / "sd"


@pytest.fixture(scope="module")
def oracle(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return found


def load(folder: Path, name: str) -> tuple[Files, Files]:
    return rttm.read(folder / f"{name}.ref.rttm"), rttm.read(folder / f"{name}.sys.rttm")


def reference_regions(ref: Files) -> dict[str, list[Region]]:
    """What md-eval scores without a UEM: from the first to the last time of the reference."""
    return {
        name: [(min(turn.start for turn in turns), max(turn.end for turn in turns))]
        for name, turns in ref.items()
    }


@pytest.mark.parametrize("name", ["dscore_unit", "libri2mix_example"])
@pytest.mark.parametrize("collar", ["0", "0.25"])
def test_dscore(folder: Path, oracle: dict[str, Any], name: str, collar: str) -> None:
    ref, hyp = load(folder, name)
    expected = oracle[name][f"dscore_collar{collar}_auto_uem"]
    total = der.score(ref, hyp, collar=float(collar))
    assert round(100 * total.rate, 4) == expected["OVERALL"]["DER"]
    for file in ref:
        single = der.score_file(ref[file], hyp[file], collar=float(collar))
        assert round(100 * single.rate, 4) == expected[file]["DER"]
    assert total.files == len(ref) == len(expected) - 1


@pytest.mark.parametrize("ignore_overlaps", [False, True])
@pytest.mark.parametrize("name", ["dscore_unit", "libri2mix_example"])
@pytest.mark.parametrize("collar", ["0", "0.25"])
def test_md_eval(folder: Path, oracle: dict[str, Any], name: str, collar: str, ignore_overlaps: bool) -> None:
    ref, hyp = load(folder, name)
    found = der.score(ref, hyp, reference_regions(ref), float(collar), ignore_overlaps)
    suffix = "_ignore_overlap" if ignore_overlaps else ""
    same_as(found, oracle[name][f"mdeval22_collar{collar}_no_uem{suffix}"])


def same_as(found: DiarizationCounts, expected: dict[str, float]) -> None:
    assert (found.scored, found.missed) == (expected["scored"], expected["miss"])
    assert (found.false_alarm, found.confused) == (expected["fa"], expected["conf"])
    assert round(100 * found.rate, 2) == expected["DER"]


@pytest.mark.parametrize("collar", ["0", "0.25"])
def test_a_uem_wider_than_the_speech(folder: Path, oracle: dict[str, Any], collar: str) -> None:
    ref, hyp = load(folder, "dscore_unit")
    found = der.score(ref, hyp, rttm.read_uem(folder / "dscore_unit.uem"), float(collar))
    same_as(found, oracle["dscore_unit"][f"mdeval22_collar{collar}_uem"])
    if collar == "0":
        published = oracle["dscore_unit"]["published_test_score_uem_0_43"]["DER"]
        assert round(100 * found.rate, 5) == published


@pytest.mark.parametrize("collar", [0.0, 0.2])
def test_spyder(folder: Path, oracle: dict[str, Any], collar: float) -> None:
    published = oracle["dscore_unit"]["published_spyder"]
    ref, hyp = load(folder, "dscore_unit")
    name = f"collar{collar:g}_"
    assert round(der.score(ref, hyp, collar=collar).rate, 4) == published[name + "all"]
    if not collar:
        # spyder's "single" and "overlap" are moments with one and with several reference speakers.
        alone, together = by_speakers(ref["FILE1"])
        assert round(der.score(ref, hyp, {"FILE1": alone}).rate, 4) == published[name + "single"]
        assert round(der.score(ref, hyp, {"FILE1": together}).rate, 4) == published[name + "overlap"]


def by_speakers(turns: list[Turn]) -> tuple[list[Region], list[Region]]:
    edges = sorted({edge for turn in turns for edge in (turn.start, turn.end)})
    found: tuple[list[Region], list[Region]] = ([], [])
    for start, end in itertools.pairwise(edges):
        speakers = {turn.speaker for turn in turns if turn.start <= start and end <= turn.end}
        if speakers:
            found[len(speakers) > 1].append((start, end))
    return found


def test_nist_test_4(folder: Path, oracle: dict[str, Any]) -> None:
    ref, hyp = load(folder, "nist_sd_test4")
    uem = rttm.read_uem(folder / "nist_sd_test4.uem")
    expected = oracle["nist_sd_test4"]
    (name,) = uem
    for line in (folder / "nist_sd_test4.ref.rttm").read_text().splitlines():
        kind, _, _, start, length, *_ = line.split()
        if kind == "NON-LEX":  # md-eval does not score these zones
            zone = (float(start), float(start) + float(length))
            uem[name] = [part for region in uem[name] for part in without(region, zone)]
    for ignore_overlaps in (False, True):
        found = der.score(ref, hyp, uem, ignore_overlaps=ignore_overlaps)
        suffix = "_ignore_overlap" if ignore_overlaps else ""
        same_as(found, expected[f"mdeval22_collar0_uem{suffix}"])
        assert round(100 * found.rate, 2) == expected["published_saved_output_collar0_opt1"]


def without(region: Region, zone: Region) -> list[Region]:
    left, right = (region[0], min(region[1], zone[0])), (max(region[0], zone[1]), region[1])
    return [part for part in (left, right) if part[0] < part[1]]


def example(oracle: dict[str, Any], name: str) -> tuple[list[Turn], list[Turn], dict[str, Any]]:
    found = oracle["doc_examples"][name]
    return [Turn(*turn) for turn in found["ref"]], [Turn(*turn) for turn in found["hyp"]], found


def test_the_examples_in_the_documentation_of_others(oracle: dict[str, Any]) -> None:
    ref, hyp, spyder = example(oracle, "spyder_README")
    found = der.score_file(ref, hyp)
    assert found.scored == spyder["duration"] and round(found.rate, 4) == spyder["DER"]
    parts = (found.missed, found.false_alarm, found.confused)
    expected = (spyder["miss"], spyder["falarm"], spyder["conf"])
    assert tuple(round(part / found.scored, 4) for part in parts) == expected
    assert round(der.score_file(ref, hyp, collar=0.2).rate, 4) == spyder["collar0.2_DER"]
    ref, hyp, pyannote = example(oracle, "pyannote_metrics_test")
    found = der.score_file(ref, hyp)
    assert found.rate == pyannote["DER"] and found.scored == pyannote["total"]
    assert found.missed == pyannote["miss"]
    assert (found.false_alarm, found.confused) == (pyannote["false_alarm"], pyannote["confusion"])


def spoken(chance: random.Random, names: str, most: int) -> list[Turn]:
    turns = []
    for name in names:
        time = chance.randint(0, 2000)
        for _ in range(chance.randint(1, most)):
            length = chance.randint(1, 3000)
            turns.append(Turn(name, time / 1000, (time + length) / 1000))
            time += length + chance.randint(1, 1500)
    return turns


@pytest.mark.parametrize("seed", range(25))
def test_pyannote_metrics(seed: int) -> None:
    core = pytest.importorskip("pyannote.core", reason="cross-check with pyannote.metrics, if installed")
    metrics = pytest.importorskip("pyannote.metrics.diarization")
    chance = random.Random(seed)
    ref, hyp = spoken(chance, "ABC"[: chance.randint(1, 3)], 5), spoken(chance, "wxyz"[: 1 + seed % 4], 5)

    def annotation(turns: list[Turn]) -> Any:
        made = core.Annotation()
        for number, turn in enumerate(turns):
            made[core.Segment(turn.start, turn.end), number] = turn.speaker
        return made

    whole = core.Timeline([core.Segment(0, 60)])
    for collar in (0.0, 0.25):
        theirs = metrics.DiarizationErrorRate(collar=2 * collar)  # theirs is both sides together
        expected = theirs(annotation(ref), annotation(hyp), uem=whole, detailed=True)
        found = der.score_file(ref, hyp, [(0.0, 60.0)], collar)
        assert found.scored == pytest.approx(expected["total"], abs=1e-6)
        assert found.missed == pytest.approx(expected["missed detection"], abs=1e-6)
        assert found.false_alarm == pytest.approx(expected["false alarm"], abs=1e-6)
        if not collar:  # with a collar, pyannote maps the speakers on what is left of them
            assert found.confused == pytest.approx(expected["confusion"], abs=1e-6)


A, B = Turn("A", 0.0, 10.0), Turn("B", 5.0, 15.0)


@pytest.mark.parametrize(
    ("ref", "hyp", "times"),
    [
        ([A, B], [], (20, 20, 0, 0)),
        ([], [A, B], (0, 0, 20, 0)),
        ([], [], (0, 0, 0, 0)),
        ([A], [Turn("x", 0.0, 14.0)], (10, 0, 4, 0)),  # beyond the file's speech: false alarm
        ([A, B], [Turn("x", 0.0, 15.0)], (20, 5, 0, 5)),  # B never found
        ([A], [A, Turn("y", 2.0, 4.0)], (10, 0, 2, 0)),
        ([Turn("A", 0.0, 6.0), Turn("A", 4.0, 10.0)], [A], (10, 0, 0, 0)),  # one speaker overlaps itself
        ([A], [Turn("A", 0.0, 6.0), Turn("A", 4.0, 10.0)], (10, 0, 0, 0)),
        ([Turn("é語", 0.0, 1.0)], [Turn("\u0301", 0.0, 1.0)], (1, 0, 0, 0)),
        ([Turn("A", 0.0, 1.0004)], [Turn("A", 0.0, 1.0006)], (1, 0, 0.001, 0)),  # whole milliseconds
        ([Turn("A", 0.0004, 1.0008)], [], (1, 1, 0, 0)),  # start and duration are rounded, not the end
    ],
)
def test_edge_cases(ref: list[Turn], hyp: list[Turn], times: tuple[float, ...]) -> None:
    found = der.score_file(ref, hyp)
    assert (found.scored, found.missed, found.false_alarm, found.confused) == times


def test_regions_that_touch_or_overlap_are_one() -> None:
    found = der.score_file([A], [A], [(0.0, 5.0), (4.0, 6.0), (6.0, 20.0)], collar=0.25)
    assert found.scored == 9.5  # no collar where a region was cut


def test_a_collar_lies_around_a_change_of_turn_of_one_speaker() -> None:
    turns = [Turn("A", 0.0, 5.0), Turn("A", 5.0, 10.0)]
    assert der.score_file(turns, turns, collar=0.25).scored == 9.0


def test_the_mapping_is_the_best_not_the_greedy_one() -> None:
    ref = [Turn("A", 0, 10), Turn("B", 10, 19)]
    hyp = [Turn("x", 0, 6), Turn("y", 6, 10), Turn("x", 10, 17)]
    assert der.score_file(ref, hyp).confused == 6.0  # x with B (7) and y with A (4), not x with A (6)


def test_missing_and_surplus_files_are_errors() -> None:
    with pytest.raises(ScoringError, match=r"1 of 2 reference files have no hypothesis \(g\)"):
        der.score({"f": [A], "g": [B]}, {"f": [A]})
    with pytest.raises(ScoringError, match=r"1 hypotheses have no reference \(g\)"):
        der.score({"f": [A]}, {"f": [A], "g": [B]})
    with pytest.raises(ScoringError, match=r"1 of 1 reference files have no regions of the UEM \(f\)"):
        der.score({"f": [A]}, {"f": [A]}, {})


def test_counts_that_have_no_rate_or_no_sense() -> None:
    with pytest.raises(ValueError, match="1 files without reference speech"):
        _ = der.score({"f": []}, {"f": [A]}).rate
    with pytest.raises(ValueError, match="missed is -1"):
        DiarizationCounts(missed=-1)
    with pytest.raises(ValueError, match=r"collar is -0\.1"):
        der.score_file([A], [A], collar=-0.1)
    with pytest.raises(ValueError, match=r"runs from 2.0 to 1.0"):
        Turn("A", 2.0, 1.0)


def turns(names: str) -> st.SearchStrategy[list[Turn]]:
    one = st.builds(
        lambda name, start, length: Turn(name, start / 10, (start + length) / 10),
        st.sampled_from(names),
        st.integers(0, 80),
        st.integers(1, 40),
    )
    return st.lists(one, max_size=8)


renamed = {"A": "q", "B": "p", "C": "r"}


@given(turns("ABC"), turns("xyz"), st.sampled_from([0.0, 0.25]), st.booleans())
@settings(max_examples=150)
def test_names_and_order_do_not_matter(ref: list[Turn], hyp: list[Turn], collar: float, ignore: bool) -> None:
    found = der.score_file(ref, hyp, None, collar, ignore)
    again = [Turn(renamed[turn.speaker], turn.start, turn.end) for turn in reversed(ref)]
    turned = der.score_file(again, hyp[::-1], None, collar, ignore)
    # Mappings that tie can differ once a collar or an overlap is taken out: all else stays.
    assert (turned.scored, turned.missed, turned.false_alarm) == (
        found.scored,
        found.missed,
        found.false_alarm,
    )
    if not collar and not ignore:
        assert turned == found


@given(turns("ABC"), turns("xyz"))
def test_turning_reference_and_hypothesis_round_swaps_misses_and_false_alarms(
    ref: list[Turn], hyp: list[Turn]
) -> None:
    found, turned = der.score_file(ref, hyp), der.score_file(hyp, ref)
    assert (found.missed, found.false_alarm) == (turned.false_alarm, turned.missed)
    assert found.confused == turned.confused
    assert found.scored - found.missed == pytest.approx(turned.scored - turned.missed, abs=1e-9)


@given(turns("ABC"))
def test_the_reference_itself_is_perfect(ref: list[Turn]) -> None:
    found = der.score_file(ref, [Turn(renamed[turn.speaker], turn.start, turn.end) for turn in ref])
    assert found.errors == 0


def test_three_thousand_files_take_seconds() -> None:
    chance = random.Random(0)
    ref = {f"f{n}": spoken(chance, "AB", 8) for n in range(3000)}
    hyp = {name: spoken(chance, "xy", 20) for name in ref}
    start = time.monotonic()
    pooled = der.score(ref, hyp)
    assert time.monotonic() - start < 20
    parts = (der.score({name: ref[name]}, {name: hyp[name]}) for name in reversed(list(ref)[:50]))
    head = {name: ref[name] for name in list(ref)[:50]}
    assert sum(parts, DiarizationCounts()) == der.score(head, {name: hyp[name] for name in head})
    assert pooled.files == 3000 and pooled.as_dict()["files"] == 3000
