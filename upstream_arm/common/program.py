"""What the command is called here."""

from pathlib import Path

NAMES = ("./run_superb.sh", "superb")
"""What results of this project may name as the command that made them."""

PROGRAM = NAMES[0] if (Path(__file__).resolve().parents[2] / "run_superb.sh").is_file() else NAMES[1]
"""The script of a checkout; without one, the console command that the wheel installs."""
