"""What of an upstream's output its published SUPERB row was made from; another choice gives another number.

s3prl's runner takes `hidden_states`, all layers summed with trained weights, unless it is told otherwise
(`-s` for the key, `-l` for one layer). So do most published rows; those of PUBLISHED took something else.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from upstream_arm import names

STATES = "hidden_states"
"""s3prl's default."""


@dataclass(frozen=True)
class Published:
    """What a published row was made from.

    states, layer: s3prl's `-s` and `-l`. source: who says so. equal: other choices that give the same.
    """

    states: str
    layer: int | None
    source: str
    equal: tuple[tuple[str, int | None], ...] = ()

    def is_from(self, states: str, layer: int | None) -> bool:
        """Whether the row was made from this choice."""
        return (states, layer) in ((self.states, self.layer), *self.equal)


_DISTILHUBERT = Published("paper", None, "s3prl, upstream/distiller/README.md", ((STATES, 2),))
_FITHUBERT = Published("last_hidden_state", None, "FitHuBERT's README, github.com/glory20h/FitHuBERT")

PUBLISHED: Mapping[str, Published] = {
    "distilhubert": _DISTILHUBERT,
    "distilhubert_base": _DISTILHUBERT,
    "distiller": _DISTILHUBERT,
    # Without s3prl's prediction heads, and with no key of its own for the second layer.
    "ntu-spml/distilhubert": Published(STATES, 2, _DISTILHUBERT.source, (("last_hidden_state", None),)),
    "fithubert": _FITHUBERT,
}
"""Upstream, without `_local` and the like -> its row."""


def of(upstream: str) -> Published | None:
    """What the published row of an upstream was made from, if it is not s3prl's default."""
    return PUBLISHED.get(names.canonical(upstream))


def default(upstream: str) -> tuple[str, int | None]:
    """States and layer where the user names none.

    For students of this project what was published; for s3prl's own names what s3prl takes, so that their
    numbers are those of s3prl's command.
    """
    published = of(upstream) if upstream in names.names() else None
    return (STATES, None) if published is None else (published.states, published.layer)


def in_words(states: str, layer: int | None) -> str:
    """States and layer as a user reads them."""
    return states if layer is None else f"layer {layer} of {states}"


def remark(upstream: str, states: str, layer: int | None) -> str | None:
    """How a choice stands to the published row of the upstream; None where both are s3prl's default."""
    published, chosen = of(upstream), in_words(states, layer)
    if published is None:
        default = (states, layer) == (STATES, None)
        return (
            None if default else f"features are {chosen}; published rows sum all hidden_states with weights"
        )
    if published.is_from(states, layer):
        return f"features are {chosen}, as for its published row ({published.source})"
    row = in_words(published.states, published.layer)
    return f"features are {chosen}; its published row was made from {row} ({published.source})"
