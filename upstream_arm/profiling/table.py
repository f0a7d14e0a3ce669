"""Profiles as text: one model in full, several side by side, and the paper's Table 2."""

from __future__ import annotations

from collections.abc import Sequence

from upstream_arm.presets import PRESETS
from upstream_arm.profiling.profile import RULE, Profile, of_config
from upstream_arm.profiling.utterances import BUCKETS, SECONDS, UTTERANCES

# The paper's Table 2 (arXiv 2305.11685), rows in its order: pattern, preset, parameters in M and MACs in G
# as printed there.
TABLE2 = (
    ("6by2", "table2_6by2", "20.90", "423"),
    ("3by4", "table2_3by4", "21.65", "437"),
    ("6by2-up", "table2_6by2_up", "22.39", "440"),
    ("3by4-up", "table2_3by4_up", "22.39", "445"),
    ("2by6", "table2_2by6", "22.39", "450"),
    ("None", "table2_none", "24.64", "490"),
)


def one(profile: Profile) -> str:
    """Everything about one model."""
    parts = [*profile.params_by_part, *(p for p in profile.macs_by_part if p not in profile.params_by_part)]
    rows = [
        [
            part.replace("_", " "),
            _number(profile.params_by_part.get(part)),
            _giga(profile.macs_by_part.get(part)),
        ]
        for part in parts
    ]
    rows.append(["total", _number(profile.params), _giga(profile.macs)])
    buckets = [[bucket, _giga(profile.buckets[bucket])] for bucket in BUCKETS]
    lines = [
        profile.name,
        "",
        *_columns(["part", "parameters", "MACs (G)"], rows),
        "",
        *_columns(["bucket of 8", "MACs (G)"], [*buckets, ["sum", _giga(profile.macs)]]),
        "",
        f"{profile.macs_per_second / 1e9:.3f} G MACs per second of audio, over {SECONDS:.2f} s in "
        f"{len(UTTERANCES)} utterances",
    ]
    if profile.frames_rule:
        lines.append(f"frames: {profile.frames_rule}")
    if profile.switches:
        chosen = ", ".join(f"{key} {value}" for key, value in profile.switches.items())
        lines.append(f"switches (none changes these counts): {chosen}")
    lines += [f"note: {note}" for note in profile.notes]
    lines.append(f"rule: {profile.rule}")
    return "\n".join(lines)


def several(profiles: Sequence[Profile]) -> str:
    """Several models side by side, a row each."""
    heads = ["model", "parameters", *(f"{b} (G)" for b in BUCKETS), "MACs (G)", "G MACs per second"]
    rows = [
        [
            profile.name,
            _number(profile.params),
            *(_giga(profile.buckets[bucket]) for bucket in BUCKETS),
            _giga(profile.macs),
            f"{profile.macs_per_second / 1e9:.3f}",
        ]
        for profile in profiles
    ]
    notes = dict.fromkeys(note for profile in profiles for note in profile.notes)
    rules = dict.fromkeys(f"rule ({profile.method}): {profile.rule}" for profile in profiles)
    return "\n".join([*_columns(heads, rows), "", *(f"note: {note}" for note in notes), *rules])


def table2() -> str:
    """Table 2's parameters and MACs, computed from the shapes, beside the published values."""
    rows = []
    for pattern, preset, params, macs in TABLE2:
        profile = of_config(preset, PRESETS[preset])
        rows.append([pattern, f"{profile.params / 1e6:.2f}", params, f"{profile.macs / 1e9:.1f}", macs])
    heads = ["pattern", "params (M)", "published", "MACs (G)", "published"]
    return "\n".join(
        [
            *_columns(heads, rows),
            "",
            "published: as printed in Table 2 of arXiv 2305.11685; the columns before are computed here.",
            f"rule: {RULE}",
        ]
    )


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _giga(value: int | None) -> str:
    return "-" if value is None else f"{value / 1e9:.3f}"


def _columns(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows under heads: names to the left, numbers to the right."""
    table = [heads, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(heads))]
    return [
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        )
        for row in table
    ]
