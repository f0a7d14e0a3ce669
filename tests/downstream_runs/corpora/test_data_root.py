"""Where the data lies: --data, SUPERB_DATA, superb.toml."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from downstream_runs.corpora import data_root as settings
from upstream_arm.common.errors import UsageError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, apart from a checkout without a superb.toml, with three data folders in it."""
    monkeypatch.setattr(settings, "CHECKOUT", tmp_path / "checkout")
    for name in ("option", "variable", "file", "checkout", "here"):
        (tmp_path / name).mkdir()
    return tmp_path / "here"


def write(folder: Path, text: str) -> None:
    (folder / "superb.toml").write_text(text, encoding="utf-8")


def test_the_option_wins_over_the_variable_and_the_file(folder: Path) -> None:
    write(folder, 'data = "../file"\n')
    environment = {"SUPERB_DATA": str(folder / "../variable")}
    found = settings.data_root(folder / "../option", environment, folder)
    assert found == settings.DataRoot((folder / "../option").resolve(), "--data")
    found = settings.data_root(None, environment, folder)
    assert found is not None and found.path.name == "variable"
    found = settings.data_root(None, {}, folder)
    assert found == settings.DataRoot((folder / "../file").resolve(), str(folder / "superb.toml"))


def test_the_file_of_the_checkout_comes_last_and_is_relative_to_the_checkout(folder: Path) -> None:
    (folder.parent / "checkout" / "corpora").mkdir()
    write(folder.parent / "checkout", 'data = "corpora"\n')
    found = settings.data_root(None, {"SUPERB_DATA": ""}, folder)
    assert found is not None and found.path == folder.parent / "checkout" / "corpora"


def test_nothing_is_named(folder: Path) -> None:
    assert settings.data_root(None, {}, folder) is None
    message = str(settings.no_data("asr", "LibriSpeech (openslr.org/12)", folder))
    for part in ("asr", "openslr.org/12", "SUPERB_DATA", "superb.toml", str(folder), "--data DIR", "--demo"):
        assert part in message


def test_a_folder_that_is_none(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"nowhere, named by --data, does not exist: .*--demo"):
        settings.data_root(Path("nowhere"), {}, folder)
    (folder / "a.txt").touch()
    with pytest.raises(UsageError, match=r"a\.txt, named by the variable SUPERB_DATA, is not a folder"):
        settings.data_root(None, {"SUPERB_DATA": "a.txt"}, folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data = 3\n", "does not name a data folder"),
        ("", "does not name a data folder"),
        ('data = "x"\ndate = "y"\n', "unknown key 'date'"),
        ("data =\n", "is no TOML file"),
        ("data = '\udce4'", "is no TOML file"),
    ],
)
def test_a_superb_toml_that_cannot_be_used(folder: Path, text: str, message: str) -> None:
    (folder / "superb.toml").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(UsageError, match=message) as caught:
        settings.data_root(None, {}, folder)
    assert "superb.toml" in str(caught.value) and 'data = "DIR"' in str(caught.value)


def test_python_3_10_without_tomli(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tomllib", None)
    monkeypatch.setitem(sys.modules, "tomli", None)
    write(folder, 'data = "../file"\n')
    with pytest.raises(UsageError, match="pip install tomli, or use --data DIR"):
        settings.data_root(None, {}, folder)
