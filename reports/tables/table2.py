"""The paper's Table 2: patterns of attention map reuse, with parameters and MACs computed again."""

from __future__ import annotations

from collections.abc import Sequence

from reports import published
from reports.rows import Row
from reports.tables import ablations, ours
from reports.tables.model import Block, Cell, Head, Table, number, printed, ranked, text

#: The paper's pattern -> the preset of that shape.
PRESETS = {
    "6by2": "table2_6by2",
    "3by4": "table2_3by4",
    "6by2-up": "table2_6by2_up",
    "3by4-up": "table2_3by4_up",
    "2by6": "table2_2by6",
    "None": "table2_none",
}
# Endings of an upstream's name behind the preset (another package's names, so only their spelling is known).
_VARIANTS = ("_local", "_url", "_custom", "_random")


def table(rows: Sequence[Row]) -> Table:
    """Table 2 with `rows` of ours that have one of its metrics."""
    rows = ablations.usable(rows)
    heads = (
        Head("Pattern"),
        Head("Maps computed in layers"),
        Head("Params (M)", "Published"),
        Head("MACs (G)", "Published"),
        Head("Params (M)", "Recomputed"),
        Head("MACs (G)", "Recomputed"),
        *ablations.HEADS,
    )
    patterns = Block(
        "Published: width 432, feed-forward 816, no masking",
        tuple(_published(row) for row in published.ablation(2)),
        ranked=True,
    )
    notes = [
        "Recomputed: parameters and MACs of the same shapes by this toolkit's profile command "
        "(python -m upstream_arm profile table2); MACs are the sum over SUPERB's 32 utterances. "
        "The other columns are as printed in arXiv 2305.11685, Table 2.",
        "For rows of ours, parameters are those of the upstream that was run, MACs those of the preset of "
        "its name, if it has as many parameters.",
        *ours.notes(rows, ablations.COLUMNS),
    ]
    blocks = (patterns, *ours.blocks(rows, _ours))
    return ranked(Table("table2", "Table 2: reuse patterns", heads, blocks, tuple(notes)))


def _published(row: dict[str, str]) -> tuple[Cell, ...]:
    profile = published.profiles()[PRESETS[row["pattern"]]]
    return (
        text(row["pattern"]),
        text(row["layers_whose_map_is_computed"]),
        printed(row["params_m"]),
        printed(row["macs_g"]),
        number(profile.params / 1e6, 2),
        number(profile.macs / 1e9, 1),
        *ablations.values(row),
    )


def profile_of(row: Row) -> published.Profile | None:
    """The profile of the preset behind the name of a row's upstream.

    None if the row has another number of parameters: a user's checkpoint, such as a student distilled here,
    may be of any shape, whatever name it is run under.
    """
    upstream = row.upstream
    for variant in _VARIANTS:
        upstream = upstream.removesuffix(variant)
    profile = published.profiles().get("armhubert" if upstream == "arm_hubert" else upstream)
    if profile is not None and row.params_m not in ("", f"{profile.params / 1e6:.2f}"):
        return None
    return profile


def _ours(row: Row) -> tuple[Cell, ...]:
    profile = profile_of(row)
    return (
        text(row.name),
        text(""),
        text(""),
        text(""),
        printed(row.params_m),
        number(None if profile is None else profile.macs / 1e9, 1),
        *ours.values(row, ablations.COLUMNS),
    )
