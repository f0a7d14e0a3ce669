"""The doctor's lines and its exit code."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from downstream_runs.bridge import pair
from downstream_runs.cli import doctor
from downstream_runs.cli import main as cli
from downstream_runs.cli.findings import Finding
from downstream_runs.corpora import data_root


def test_red_lines_name_the_next_command_and_the_demo_decides_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    good, bad = Finding("torch 2"), Finding("GPU: none", False, "--device cpu")
    for needed, code, says in (
        ([good], 0, f"The demo can run.\nnext: {cli.PROGRAM} armhubert asr --demo\n"),
        ([good, Finding("s3prl: not installed", False, "install it")], 1, "yet.\nnext: install it\n"),
    ):
        monkeypatch.setattr(doctor, "for_demo", lambda out, needed=needed: iter(needed))
        monkeypatch.setattr(doctor, "for_corpora", lambda data: iter([bad]))
        assert cli.main(["doctor"]) == code
        out = capsys.readouterr().out
        assert out.startswith("ok   torch 2\n") and out.endswith(says)
        assert "red  GPU: none\n     -> --device cpu\n" in out
    assert "red  s3prl: not installed\n     -> install it\n" in out


@pytest.fixture
def versions(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def install(**versions: str) -> None:
        monkeypatch.setattr(doctor, "installed", versions.get)
        monkeypatch.setattr(doctor, "why_not", lambda load: None)

    return install


def test_torch_and_torchaudio(versions: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    versions(torch="2.15.0", torchaudio="2.11.0")
    monkeypatch.setattr(pair, "problem", lambda: None)
    assert doctor.torch_pair() == Finding("torch 2.15.0 with torchaudio 2.11.0")
    monkeypatch.setattr(pair, "problem", lambda: "they do not fit (a: b): install `x`")
    assert doctor.torch_pair() == Finding("they do not fit (a: b)", False, "install `x`")
    versions(torch="2.11.0")
    assert doctor.torch_pair().what == "torchaudio: not installed"


def test_s3prl_of_another_release(versions: Callable[..., None]) -> None:
    versions(s3prl="0.4.18")
    assert doctor.s3prl().good
    versions(s3prl="0.4.15")
    assert doctor.s3prl().remedy == "pip install s3prl==0.4.18"
    versions()
    assert "not installed" in doctor.s3prl().what


def test_an_import_that_fails_is_one_line() -> None:
    def load() -> None:
        raise OSError("libfoo.so is missing\nand more")

    assert doctor.why_not(load) == "OSError: libfoo.so is missing"


def test_the_data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERB_DATA", raising=False)
    monkeypatch.setattr(data_root, "CHECKOUT", tmp_path)
    monkeypatch.chdir(tmp_path)
    finding = doctor.librispeech(None)
    assert not finding.good and "SUPERB_DATA" in finding.what and not finding.then
    finding = doctor.librispeech(tmp_path)
    assert not finding.good and "no LibriSpeech in" in finding.what and "openslr.org/12" in finding.remedy
    (tmp_path / "LibriSpeech" / "dev-clean").mkdir(parents=True)
    finding = doctor.librispeech(tmp_path)
    assert not finding.good and "train-clean-100 is missing" in finding.what
    assert finding.then == f"{cli.PROGRAM} data pr asr --data {tmp_path}"


def test_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert doctor.disk(tmp_path / "not" / "there").what.endswith(str(tmp_path))
    usage = shutil.disk_usage(tmp_path)._replace(free=10)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    assert not doctor.disk(tmp_path).good
