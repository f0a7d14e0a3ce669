"""What the settings of a run may be: the range of every number, and names where s3prl wants names.

s3prl and torch check little of this: a negative batch size or a rate that is no number ends in a traceback,
after the corpus and the upstream are loaded, or trains something that nobody meant.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown

NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
WORD = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Range:
    """The numbers that a setting may be: from `low` to `high`, without `low` or `high` where `open_` says so.

    whole: only whole ones. also: a further value that s3prl gives a meaning of its own. many: the setting is
    a list of such numbers. pair: it is two of them, the second above the first.
    """

    low: float
    high: float
    whole: bool = True
    open_: str = ""
    also: Sequence[int | None] = ()
    many: bool = False
    pair: bool = False

    def holds(self, value: object) -> bool:
        """Whether a setting may have this value."""
        if self.many or self.pair:
            one = Range(self.low, self.high, self.whole, self.open_, self.also)
            return (
                isinstance(value, list)
                and all(map(one.holds, value))
                and (not self.pair or (len(value) == 2 and value[0] < value[1]))
            )
        if any(value is other or (value == other and type(value) is type(other)) for other in self.also):
            return True
        if isinstance(value, bool) or not isinstance(value, int if self.whole else (int, float)):
            return False
        # NaN is in no range, and a whole number of any length can be compared.
        above = value > self.low if "low" in self.open_ else value >= self.low
        return above and (value < self.high if "high" in self.open_ else value <= self.high)

    def __str__(self) -> str:
        kind = "whole number" if self.whole else "number"
        kind = f"two rising {kind}s" if self.pair else f"a list of {kind}s" if self.many else f"a {kind}"
        low = f"above {self.low:g}" if "low" in self.open_ else f"of at least {self.low:g}"
        high = f"below {self.high:g}" if "high" in self.open_ else f"at most {self.high:,.10g}"
        others = "".join(f", or {other}" for other in self.also)
        return f"{kind} {low} and {high}{others}"


ANY = Range(-1e9, 1e9, whole=False)

# What s3prl gives to eval() or getattr(): only plain names may get that far.
NAMED = ("name", "select", "module", "agg_module", "utter_module", "ObjectiveLoss", "pooling", "activation")


@functools.cache
def ranges() -> Mapping[str, Range]:
    """Last part of a setting's key -> its range, from ranges.yaml."""
    import yaml  # takes a while to import

    rows = yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text(encoding="utf-8"))
    return {key: Range(**row) for row in rows for key in row.pop("keys")}


def check(config: Mapping[str, Any]) -> None:
    """UsageError for the first setting of a whole configuration that no run can have."""
    for key, value in _settings(config):
        last = key.rpartition(".")[2]
        values = value if isinstance(value, list) else [value]
        wanted: object = None
        if last in ranges():
            wanted = None if ranges()[last].holds(value) else ranges()[last]
        elif not all(one is None or isinstance(one, (bool, str)) or ANY.holds(one) for one in values):
            wanted = "a word, a number or a truth value, or a list of such"
        else:
            words = [one for one in values if isinstance(one, str)]
            if last in NAMED and not all(map(NAME.fullmatch, words)):
                wanted = "a plain name of letters, digits and underscores"
            elif not all(WORD.fullmatch(word) and len(word) <= 200 for word in words):
                wanted = "a word of letters, digits, dots, dashes and underscores"
        if wanted is not None:
            raise UsageError(f"{key} is {shown(value)}, expected {wanted}")
    for block in ("optimizer", "scheduler"):  # no schedule is a schedule of no settings
        if block in config and "name" not in config[block] and (config[block] or block == "optimizer"):
            raise UsageError(f"the settings {block}.* have no {block}.name: add it with -o {block}.name=NAME")


def _settings(config: Mapping[Any, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every setting as (dotted key, value); UsageError for a key that is no name."""
    for name, value in config.items():
        if not isinstance(name, str) or not WORD.fullmatch(name):
            raise UsageError(f"{shown(f'{prefix}{name}')} is no name of a setting, which is a word")
        if isinstance(value, Mapping):
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value
