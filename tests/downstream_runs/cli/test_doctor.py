"""The doctor's lines and its exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.bridge import pair
from downstream_runs.cli import doctor
from downstream_runs.corpora import data_root as settings


def show(monkeypatch: pytest.MonkeyPatch, *findings: doctor.Finding) -> int:
    monkeypatch.setattr(doctor, "findings", lambda data, out: iter(findings))
    return doctor.main([])


def test_red_lines_name_the_next_command_and_decide_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good = doctor.Finding("torch", True, "torch 2")
    assert show(monkeypatch, good, doctor.Finding("GPU", False, "none", "--device cpu", for_demo=False)) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[0] == "ok   torch         torch 2"
    assert "red  GPU           none (the demo does not need it)\n" in out and "-> --device cpu" in out
    assert "The demo can run" in out
    assert show(monkeypatch, good, doctor.Finding("s3prl", False, "not installed", "install it")) == 1
    out = capsys.readouterr().out
    assert "red  s3prl         not installed\n" in out and "-> install it" in out
    assert "The demo cannot run yet" in out


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**found: str) -> None:
        monkeypatch.setattr(doctor, "_version", found.get)
        monkeypatch.setattr(doctor, "_import", lambda module: None)
        monkeypatch.setattr(doctor, "_bridge", lambda: None)

    return install


def test_torch_and_torchaudio(versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    versions(torch="2.15.0", torchaudio="2.11.0")
    monkeypatch.setattr(pair, "problem", lambda: None)
    assert doctor._torch() == doctor.Finding("torch", True, "torch 2.15.0 with torchaudio 2.11.0")
    monkeypatch.setattr(pair, "problem", lambda: "they do not fit (a: b): install `x`")
    finding = doctor._torch()
    assert (finding.good, finding.found, finding.then) == (False, "they do not fit (a: b)", "install `x`")
    versions(torch="2.11.0")
    assert doctor._torch().found == "torchaudio not installed"


def test_s3prl_of_another_release(versions: Callable[..., None]) -> None:
    versions(s3prl="0.4.18")
    assert doctor._s3prl().good
    versions(s3prl="0.4.15")
    assert doctor._s3prl().then == "pip install s3prl==0.4.18"
    versions()
    assert "not installed" in doctor._s3prl().found


def test_an_import_that_fails_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "broken_for_doctor.py").write_text("raise OSError('libfoo.so is missing\\nand more')")
    monkeypatch.syspath_prepend(tmp_path)
    assert doctor._import("broken_for_doctor") == "OSError: libfoo.so is missing"


def test_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERB_DATA", raising=False)
    monkeypatch.setattr(settings, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    finding = doctor._data(None)
    assert not finding.good and not finding.for_demo and "SUPERB_DATA" in finding.found
    finding = doctor._data(tmp_path)
    assert not finding.good and "no LibriSpeech in" in finding.found and "openslr.org/12" in finding.then
    (tmp_path / "LibriSpeech" / "dev-clean").mkdir(parents=True)
    finding = doctor._data(tmp_path)
    assert not finding.good and "train-clean-100 is missing" in finding.found


def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor._disk(tmp_path / "not" / "there").found.endswith(str(tmp_path))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert not doctor._disk(tmp_path).good
