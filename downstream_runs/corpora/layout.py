"""The layout of LibriSpeech: `<root>/<split>/<speaker>/<chapter>/<speaker>-<chapter>-NNNN.flac`.

Beside the audio of a chapter lies `<speaker>-<chapter>.trans.txt`, one line `ID TRANSCRIPT` an utterance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from downstream_runs.corpora import folders
from upstream_arm.common.errors import UsageError

SAMPLE_RATE = 16_000
"""Samples a second of every LibriSpeech file."""

OFFICIAL_UTTERANCES: Mapping[str, int] = MappingProxyType(
    {
        "train-clean-100": 28_539,
        "train-clean-360": 104_014,
        "train-other-500": 148_688,
        "dev-clean": 2_703,
        "dev-other": 2_864,
        "test-clean": 2_620,
        "test-other": 2_939,
    }
)
"""Utterances in each split, counted in the archives of openslr.org/12."""

SPLITS: tuple[str, ...] = tuple(OFFICIAL_UTTERANCES)


@dataclass(frozen=True)
class AudioFile:
    """One flac: its `path`, its path `relative` to the root, its size in bytes and its time of change."""

    path: Path
    relative: str
    size: int
    changed_ns: int

    @property
    def utterance(self) -> str:
        """The utterance id, such as `1688-142285-0003`."""
        return self.path.name.split(".")[0]


def find_root(data: Path) -> Path:
    """The LibriSpeech root in `data`: DATA/LibriSpeech, or DATA itself if it holds a split.

    Raises UsageError if neither holds one of `SPLITS`.
    """
    data = folders.place(data)
    for candidate in (data / "LibriSpeech", data):
        if any((candidate / split).is_dir() for split in SPLITS):
            return candidate
    found = "that folder does not exist" if not data.is_dir() else "neither holds a split"
    raise UsageError(
        f"no LibriSpeech in {data}: looked for a folder such as train-clean-100 in "
        f"{data / 'LibriSpeech'} and in {data}, and {found}; unpack train-clean-100, dev-clean and "
        f"test-clean of openslr.org/12 there, or try the whole path on synthetic speech with --demo"
    )


def chapters(root: Path, split: str) -> Iterator[tuple[Path, tuple[AudioFile, ...]]]:
    """Every chapter folder of a split, with its flac files, both in the order of their names.

    Raises UsageError as `folders.files` does, and for a second file of an utterance, such as ID.1.flac.
    """
    for speaker in _folders(root / split):
        for chapter in folders.subfolders(speaker):
            found = []
            for path in folders.files(chapter, ".flac"):
                # A dangling link must be reported with its name later, not end the listing here.
                status = path.stat() if path.exists() else path.lstat()
                if path.name.count(".") > 1:
                    raise UsageError(
                        f"{path} has a name that no file of LibriSpeech has, such as 84-121123-0000.flac was "
                        "expected; s3prl would take it for another copy of that utterance: remove it"
                    )
                relative = f"{split}/{speaker.name}/{chapter.name}/{path.name}"
                found.append(AudioFile(path, relative, status.st_size, status.st_mtime_ns))
            yield chapter, tuple(found)


def audio_files(root: Path, split: str) -> list[AudioFile]:
    """All flac files of a split, in the order of their paths; empty if the split is missing."""
    return [file for _, files in chapters(root, split) for file in files]


def _folders(parent: Path) -> list[Path]:
    return folders.subfolders(parent) if parent.is_dir() else []
