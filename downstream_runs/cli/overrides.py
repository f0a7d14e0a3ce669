"""The values of `-o KEY=VALUE`: JSON, else Python's or YAML's way of writing the same, else a plain word.

Nothing is evaluated. Only the standard library is imported up here.
"""

from __future__ import annotations

import contextlib
import json
import warnings
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from downstream_runs.bridge.overrides import parse_value
from upstream_arm.common.errors import UsageError
from upstream_arm.common.words import shown


def read(texts: Sequence[str], recipe: Mapping[str, Any]) -> dict[str, Any]:
    """Dotted key -> value of every KEY=VALUE; UsageError for a text that is none.

    recipe: the recipe's own settings by dotted key. One of them that is a word, such as ASR's `decoder_type`
    `"None"`, takes `None` and `true` as words too.
    """
    values = {}
    for text in texts:
        key, separator, written = (part.strip() for part in text.partition("="))
        if not separator or not key:
            raise UsageError(f"-o {shown(text)[1:-1]} is not KEY=VALUE, e.g. -o optimizer.lr=5e-4")
        value = parse(written)
        word = isinstance(recipe.get(key), str) and (value is None or isinstance(value, bool))
        values[key] = written if word else value
    return values


def parse(text: str) -> Any:
    """A value as JSON has it: `True`, `None`, `('a',)` and `[a, b]` become what they would be in JSON."""
    readers: list[Callable[[str], Any]] = [json.loads, parse_value]
    unreadable: tuple[type[Exception], ...] = (ValueError, TypeError, RecursionError)
    if text.startswith(("[", "{")):  # of unquoted words; other words of YAML, such as `no`, stay words
        import yaml

        readers.append(yaml.safe_load)
        unreadable = (*unreadable, yaml.YAMLError)
    for reader in readers:
        with contextlib.suppress(*unreadable), warnings.catch_warnings():  # of an odd escape in a text
            warnings.simplefilter("ignore")
            value = reader(text)
            if value != text:
                # Through JSON: tuples become lists, and what JSON does not have, such as sets, stays text.
                return json.loads(json.dumps(value))
    return text
