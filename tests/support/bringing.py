"""The command `data` in a test: how it is run, and what it leaves."""

from __future__ import annotations

from pathlib import Path

from downstream_runs.cli import data as data_command
from downstream_runs.cli import main as cli
from downstream_runs.corpora.fetching import bring, plan

KS = ("speech_commands_v0.01", "speech_commands_test_set_v0.01")
FLUENT = "fluent_speech_commands_dataset"
IEMOCAP = "IEMOCAP_full_release"


def run(data: Path, *words: str, code: int = 0) -> None:
    found = cli.main(["data", *words, "--data", str(data), "--out", str(data.parent / "out")])
    assert found == code


def left(data: Path) -> list[str]:
    """What is in the hidden folder beside its own records."""
    kept = {data_command.AGREED, bring.SUMS, "lock"}
    return sorted(path.name for path in (data / plan.WORK).iterdir() if path.name not in kept)
