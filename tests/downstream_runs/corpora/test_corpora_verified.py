"""What the start of a run takes from the manifest of a corpus that was decoded as a whole."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable
from pathlib import Path

import pytest
import soundfile

from downstream_runs import tasks
from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, librispeech, verified
from downstream_runs.corpora.verified import Verified
from upstream_arm.common.errors import UsageError

CONFIG = tasks.get("asr").recipes["superb"].config
CORPUS = dataclasses.replace(librispeech.CORPUS, decoded=2)
"""The first and the last file of each part are decoded where no manifest is."""


@dataclasses.dataclass(frozen=True)
class Laid:
    """LibriSpeech with ten files of training, and a cache."""

    data: Path
    cache: Path
    files: list[Path]

    def prepare(self, cache: Path | None = None) -> PreparedData:
        return CORPUS.prepare(self.data, cache or self.cache, CONFIG, partial=True)

    def verify(self) -> Verified:
        listing = CORPUS.listing(self.data, self.cache, CONFIG, partial=True)
        return verified.verify(listing.root, [file.path for file in listing.files], self.cache)

    @property
    def table(self) -> Path:
        return next((self.cache / "verified").iterdir())

    @property
    def is_trusted(self) -> bool:
        found = self.prepare()
        return bool(verified.decoded_on(found.root, found.audio, self.cache))


@pytest.fixture
def laid(tmp_path: Path, make_split: Callable[..., list[Path]]) -> Laid:
    root = tmp_path / "data" / "LibriSpeech"
    parts = ("train-clean-100", "dev-clean", "test-clean")
    files = [make_split(root, part, (20_000,) * 10, 11 + number) for number, part in enumerate(parts)]
    return Laid(root.parent, tmp_path / "cache", files[0])


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that are decoded from here on."""
    asked: list[str] = []
    form = audio.form

    def recorded(path: Path, *, decoded: bool = False) -> audio.Form:
        asked.extend([path.name] * decoded)
        return form(path, decoded=decoded)

    monkeypatch.setattr(audio, "form", recorded)
    return asked


def cut_short(path: Path) -> None:
    """As a copy that was killed: the header stays, and promises more than there is."""
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def test_what_was_decoded_is_not_decoded_again(laid: Laid, decoded: list[str]) -> None:
    before = laid.prepare()
    assert len(decoded) == 6
    assert laid.verify().sha256 and len(decoded) == 6 + 30
    decoded.clear()
    assert laid.prepare() == before and laid.is_trusted and not decoded
    os.utime(laid.files[4], ns=(1, 1))
    for _ in range(2):
        assert laid.prepare() == before and laid.is_trusted
    assert decoded == [laid.files[4].name]


def test_damage_since_then_is_named_at_the_start(laid: Laid) -> None:
    laid.verify()
    path = laid.files[4]
    content, status = path.read_bytes(), path.stat()
    cut_short(path)
    for _ in range(2):
        for start in (laid.prepare, lambda: CORPUS.look(laid.data, laid.cache, CONFIG, partial=True)):
            with pytest.raises(UsageError, match=rf"^{path} .*restore.*") as caught:
                start()
            assert "more problem" not in str(caught.value)
    laid.prepare(laid.cache / "of another")  # without a manifest it is not among those that are decoded
    path.write_bytes(content)
    os.utime(path, ns=(0, status.st_mtime_ns))
    assert laid.is_trusted


def test_damage_that_was_found_is_named_at_the_start(laid: Laid) -> None:
    cut_short(laid.files[4])
    cut_short(laid.files[5])
    laid.prepare()
    assert len(laid.verify().problems) == len(laid.verify().problems) == 2
    with pytest.raises(UsageError, match=r"0004.flac .*\(and 1 more problem\)"):
        laid.prepare()


def test_what_has_changed_must_have_the_right_form(laid: Laid, capsys: pytest.CaptureFixture[str]) -> None:
    laid.verify()
    wave = soundfile.read(str(laid.files[4]))[0]
    soundfile.write(str(laid.files[4]), wave, 44_100)
    with pytest.raises(UsageError, match=r"0004.flac is sampled at 44,100 Hz, 16,000 Hz was expected"):
        laid.prepare()
    said = capsys.readouterr().err
    assert "decoding 1 of 30 files" in said and "0004.flac has changed since it was verified" in said


@pytest.mark.parametrize(
    "spoilt",
    [
        lambda text: text.partition("\n\n")[2],
        lambda text: text.replace("LibriSpeech\n", "LibriSpeech2\n", 1),
        lambda text: text.replace("verified-2", "verified-1", 1),
        lambda text: text.lstrip()[:20],
        lambda text: "",
    ],
    ids=["no head", "other root", "other version", "cut off", "empty"],
)
def test_another_manifest_is_ignored(
    spoilt: Callable[[str], str],
    laid: Laid,
    tmp_path: Path,
    decoded: list[str],
    capsys: pytest.CaptureFixture[str],
) -> None:
    laid.verify()
    laid.table.write_text(spoilt(laid.table.read_text()))
    decoded.clear()
    capsys.readouterr()
    cut_short(laid.files[4])
    for _ in range(2):
        laid.prepare()
    assert len(decoded) == 12
    said = capsys.readouterr().err
    assert said.count("is ignored: it is of another corpus") == 1 and str(laid.table) in said
    assert len(laid.verify().problems) == 1
    with pytest.raises(UsageError, match=r"0004.flac"):
        laid.prepare()


def test_a_line_that_was_cut_off_is_not_trusted(laid: Laid, decoded: list[str]) -> None:
    laid.verify()
    laid.table.write_text(laid.table.read_text()[:-5])
    decoded.clear()
    assert not laid.is_trusted and len(decoded) == 1  # the last file, which is one of the sample
    assert laid.verify().files == 30 and laid.is_trusted
