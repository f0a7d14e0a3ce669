"""The `-o` option: equal to s3prl's where that is sane, and without eval()."""

from __future__ import annotations

import copy
from argparse import Namespace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream_runs.bridge.overrides import Assignment, override, parse, parse_value
from upstream_arm.common.errors import UsageError

LITERALS = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
NAMES = st.from_regex(r"[a-z_][a-z0-9_-]{0,8}", fullmatch=True)


def test_the_example_of_s3prl() -> None:
    config: dict[str, Any] = {"optimizer": {"lr": 1.0, "name": "Adam"}, "runner": {}}
    args = Namespace(seed=1337)
    override(
        "config.optimizer.lr=1.0e-3,, config.optimizer.name = 'AdamW' "
        ",,config.runner.eval_dataloaders=['dev', 'test'],,args.seed=7,,config.new.deep.key=None",
        args,
        config,
    )
    assert args.seed == 7
    assert config == {
        "optimizer": {"lr": 1e-3, "name": "AdamW"},
        "runner": {"eval_dataloaders": ["dev", "test"]},
        "new": {"deep": {"key": None}},
    }


@pytest.mark.parametrize(
    "text",
    ["train-clean-100", "/data/LibriSpeech", "data/x", "adam", "", "a b", "08", "max", "math.inf", "-x"],
)
def test_text_stays_text(text: str) -> None:
    assert parse_value(text) == text


@pytest.mark.parametrize(
    "text", ["2*3", "1/3", "[2**4]", "10**100", "float('inf')", "__import__('os')", "x()"]
)
def test_a_calculation_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is a calculation"):
        parse_value(text)


def test_only_the_first_equals_sign_splits() -> None:
    assert parse("config.a=b=c==d") == (Assignment("config", ("a",), "b=c==d"),)
    assert parse("config.a='x=1'") == (Assignment("config", ("a",), "x=1"),)


@pytest.mark.parametrize(
    "text",
    ["", "config.a", "config=1", "config.=1", "config..a=1", "runner.a=1", "args.a.b=1", "=1", "args.a=1,,"],
)
def test_an_unreadable_part_is_named(text: str) -> None:
    with pytest.raises(UsageError, match=r"^-o: "):
        parse(text)


@pytest.mark.parametrize("option", ["config.lr.x=1", "config.scheduler.name='a'", "config.new.x=1"])
def test_a_failing_option_changes_nothing(option: str) -> None:
    config: dict[str, Any] = {"lr": 1e-3, "scheduler": None, "runner": {"total_steps": 1}}
    before, args = copy.deepcopy(config), Namespace(seed=1)
    with pytest.raises(UsageError, match="expected a section"):
        override(f"config.new=1,,config.runner.total_steps=2,,args.seed=2,,{option}", args, config)
    assert config == before
    assert args == Namespace(seed=1)


@settings(deadline=None)
@given(LITERALS)
def test_every_literal_survives(value: Any) -> None:
    assert parse_value(repr(value)) == value


@settings(deadline=None)
@given(st.text())
def test_any_text_is_read_or_refused_in_one_line(text: str) -> None:
    try:
        parse(text)
    except UsageError as error:
        assert str(error).startswith("-o: ")


@settings(deadline=None)
@given(st.lists(st.tuples(st.lists(NAMES, min_size=1, max_size=3), LITERALS), min_size=1, max_size=3))
def test_as_the_original(options: list[tuple[list[str], Any]]) -> None:
    from s3prl.utility.helper import override as original

    text = ",,".join(f"config.{'.'.join(keys)}={value!r}" for keys, value in options)
    # What the original cannot read: it splits at every '=' and inside quotes.
    if any("=" in repr(value) or ",," in repr(value) for _, value in options):
        return
    theirs: dict[str, Any] = {}
    ours: dict[str, Any] = {}
    try:
        original(text, Namespace(), theirs)
    except (AttributeError, TypeError):  # a value stands where a section is needed
        with pytest.raises(UsageError, match="expected a section"):
            override(text, Namespace(), ours)
        return
    override(text, Namespace(), ours)
    assert ours == theirs
