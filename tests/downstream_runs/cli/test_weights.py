"""Which weights a name stands for: never others than the ones that were asked for, without saying so."""

from __future__ import annotations

from pathlib import Path

import pytest

from downstream_runs import listing, weights
from downstream_runs.errors import UsageError
from upstream_arm import download, names


@pytest.fixture(autouse=True)
def _nothing_fetched(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "cached", lambda name: None)
    monkeypatch.setattr(
        listing, "s3prl_names", lambda: ("customized_upstream", "fbank", "hubert_base", "hubert_local")
    )


def test_a_released_name_without_its_checkpoint_says_how_to_fetch_it() -> None:
    with pytest.raises(UsageError) as caught:
        weights.choose("arm_hubert", None, demo=False)
    for part in ("ARMHuBERT-960h.ckpt", "./run_superb.sh fetch armhubert", "--ckpt FILE"):
        assert part in str(caught.value)


def test_only_the_demo_goes_on_without_the_checkpoint_and_says_so() -> None:
    chosen = weights.choose("arm_hubert", None, demo=True)
    assert (chosen.name, chosen.ckpt) == ("armhubert_random", None)
    assert chosen.note is not None and "not on this machine" in chosen.note and "untrained" in chosen.note
    assert chosen.name in names.names()


@pytest.mark.parametrize("demo", [False, True])
def test_a_fetched_checkpoint_is_used(monkeypatch: pytest.MonkeyPatch, demo: bool) -> None:
    monkeypatch.setattr(download, "cached", lambda name: Path("/cache") / names.RELEASED[name])
    chosen = weights.choose("maskhubert", None, demo)
    assert chosen == weights.Upstream("maskhubert", "/cache/MaskHuBERT-960h.ckpt")


@pytest.mark.parametrize("name", ["armhubert", "armhubert_local", "hubert_local", "customized_upstream"])
def test_the_checkpoint_of_the_user_is_used(name: str) -> None:
    assert weights.choose(name, "a.ckpt", demo=False) == weights.Upstream(name, "a.ckpt")


@pytest.mark.parametrize("name", ["armhubert_local", "armhubert_custom", "hubert_local"])
def test_a_local_name_needs_a_checkpoint_even_in_a_demo(name: str) -> None:
    with pytest.raises(UsageError, match="--ckpt FILE"):
        weights.choose(name, None, demo=True)


@pytest.mark.parametrize(
    ("name", "instead"), [("hubert_base", "hubert_local"), ("armhubert_random", "armhubert_local")]
)
def test_a_checkpoint_that_would_be_ignored_is_refused(name: str, instead: str) -> None:
    with pytest.raises(UsageError, match=f"would ignore --ckpt: leave it out, or use {instead} --ckpt FILE"):
        weights.choose(name, "a.ckpt", demo=False)


def test_random_weights_are_announced() -> None:
    assert "untrained" in (weights.choose("armhubert_random", None, demo=False).note or "")
    assert weights.choose("fbank", None, demo=False) == weights.Upstream("fbank", None)


def test_an_unknown_name_suggests_a_near_one() -> None:
    with pytest.raises(UsageError, match=r"no upstream 'armhubrt' .*list.*did you mean 'armhubert'"):
        weights.choose("armhubrt", None, demo=True)
