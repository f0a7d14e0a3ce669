"""What the settings of a run may be: the range of every number, and names where s3prl wants names.

s3prl and torch check little of this: a negative batch size or a rate that is no number ends in a traceback,
after the corpus and the upstream are loaded, or trains something that nobody meant.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from downstream_runs.core.settings import MOST
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown

WIDEST = 2**20
"""The largest width of a layer: a hundred times that of any published head."""
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
    also: tuple[int | None, ...] = ()
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


COUNT = Range(1, MOST)
MAYBE = Range(0, MOST)
WIDTH = Range(1, WIDEST)
POSITIVE = Range(0, 1e9, whole=False, open_="low")
NOT_NEGATIVE = Range(0, 1e9, whole=False)
SHARE = Range(0, 1, whole=False)
ANY = Range(-1e9, 1e9, whole=False)

RANGES: Mapping[str, Range] = MappingProxyType(
    {
        **dict.fromkeys(("total_steps", "gradient_accumulate_steps", "log_step", "eval_step"), COUNT),
        **dict.fromkeys(("save_step", "batch_size", "train_batch_size", "eval_batch_size"), COUNT),
        **dict.fromkeys(("train_batchsize", "eval_batchsize", "chunk_size", "subsampling", "rate"), COUNT),
        **dict.fromkeys(("num_speakers", "max_timestep", "time_warp_window"), COUNT),
        **dict.fromkeys(("label_delay", "min_sec", "num_warmup_steps"), MAYBE),
        "max_n_time_masks": MAYBE,
        # s3prl takes a maximum over the masks: `apply_time_mask` and `apply_freq_mask` switch them off.
        **dict.fromkeys(("num_freq_mask", "num_time_mask"), COUNT),
        **dict.fromkeys(("time_mask_width_range", "freq_mask_width_range"), Range(0, MOST, pair=True)),
        **dict.fromkeys(("project_dim", "projector_dim", "input_dim", "agg_dim", "hidden_size"), WIDTH),
        **dict.fromkeys(("dim", "hiddens"), Range(1, WIDEST, many=True)),
        "sample_rate": Range(1, MOST, many=True),
        "rnn_layers": Range(1, 1000),
        "num_workers": Range(0, 4096),
        "total_rate": Range(1, MOST, also=(-1,)),
        "frame_shift": Range(1, MOST, also=(None,)),
        # At either end there would be no training set, or no dev set.
        "valid_ratio": Range(0, 1, whole=False, open_="low, high"),
        "dropout": Range(0, 1, whole=False, many=True),
        **dict.fromkeys(("dropout_p", "adaptive_number_ratio", "adaptive_size_ratio"), SHARE),
        **dict.fromkeys(("gradient_clipping", "s"), POSITIVE),
        **dict.fromkeys(("lr", "m"), NOT_NEGATIVE),  # a rate of 0 keeps the head as it was drawn
        # Of torch's optimizers and s3prl's schedulers, which no recipe names but -o may.
        "betas": Range(0, 1, whole=False, open_="high", many=True),
        **dict.fromkeys(("eps", "weight_decay", "momentum", "lr_decay", "lr_end"), NOT_NEGATIVE),
        **dict.fromkeys(("alpha", "rho", "initial_accumulator_value", "lambd", "t0"), NOT_NEGATIVE),
        **dict.fromkeys(("power", "num_cycles"), POSITIVE),
        "last_epoch": Range(-1, MOST),
    }
)
"""Last part of a setting's key -> its range."""

# What s3prl gives to eval() or getattr(): only plain names may get that far.
NAMED = ("name", "select", "module", "agg_module", "utter_module", "ObjectiveLoss", "pooling", "activation")


def check(config: Mapping[str, Any]) -> None:
    """UsageError for the first setting of a whole configuration that no run can have."""
    for key, value in _settings(config):
        last = key.rpartition(".")[2]
        values = value if isinstance(value, list) else [value]
        wanted: object = None
        if last in RANGES:
            wanted = None if RANGES[last].holds(value) else RANGES[last]
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
