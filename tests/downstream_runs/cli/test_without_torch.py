"""The commands that run_superb.sh gives the small environment: they work where only its packages are."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).resolve().parents[3]

# As if nothing were installed but what reports/requirements.txt names and what those need.
WITHOUT = """
import sys
for name in ("torch", "torchaudio", "s3prl", "librosa", "huggingface_hub", "safetensors", "soxr", "h5py",
             "tensorboardX", "joblib", "transformers", "espeakng_loader"):
    sys.modules[name] = None
from downstream_runs.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def _run(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT, *arguments],
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(CHECKOUT), "HOME": str(folder)},
        capture_output=True,
        text=True,
        timeout=120,
    )


def test_reports_need_no_torch(tmp_path: Path) -> None:
    done = _run(tmp_path, "report")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reports/out/index.html").is_file()
    assert "HuBERT" in _run(tmp_path, "table").stdout


@pytest.mark.parametrize("metric", ["wer", "per"])
def test_scores_need_no_torch(tmp_path: Path, metric: str) -> None:
    for name, text in (("ref.trn", "u1 A B C\n"), ("hyp.trn", "u1 A X C\n")):
        (tmp_path / name).write_text(text)
    done = _run(tmp_path, "score", metric, "--ref", "ref.trn", "--hyp", "hyp.trn")
    assert done.returncode == 0, done.stderr
    assert "33.3" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (("check", "--data", "."), 2),
        (("data", "--data", ".", "--plan"), 0),
        (("data", "sd", "--data", ".", "--link", "."), 2),
        (("submit", "fbank"), 2),
        (("list",), 0),
        (("status",), 2),
        (("recipe", "asr", "superb"), 0),
    ],
)
def test_the_others_answer_as_ever(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    done = _run(tmp_path, *arguments)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr and "No module" not in done.stderr + done.stdout
