"""Speech to distil on: folders of flac or wav files, LibriSpeech's layout or any other."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

from upstream_arm import folders
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import atomic_write_text, read_json

SAMPLE_RATE = 16_000
#: The first frame of the paper's students needs so many samples.
SHORTEST = 400
SUFFIXES = (".flac", ".wav")
#: A made corpus carries one of these files, and everything made from it the label.
MARKS = {"DEMO.txt": "demo", "SAMPLE.txt": "sample"}

#: The paper's training sets, and the split that its validation uses.
HOURS = {
    100: ("train-clean-100",),
    960: ("train-clean-100", "train-clean-360", "train-other-500"),
}
VALIDATION = ("dev-clean",)


@dataclasses.dataclass(frozen=True)
class Utterance:
    """One recording.

    Attributes:
        path: its file.
        samples: its length at 16 kHz.
    """

    path: Path
    samples: int


def find_root(data: Path) -> Path:
    """The folder with the splits: DATA/LibriSpeech where it exists, else DATA itself.

    Raises:
        UpstreamError: if DATA is no folder.
    """
    if not data.is_dir():
        raise UpstreamError(
            f"{data} is no folder, expected speech to distil on; get LibriSpeech from openslr.org/12, or "
            "make the demo corpus with './run_superb.sh armhubert asr --demo' and give runs/demo-data"
        )
    return data / "LibriSpeech" if (data / "LibriSpeech").is_dir() else data


def labels(root: Path) -> tuple[str, ...]:
    """What has to be said of everything that is learnt from this corpus."""
    return tuple(label for mark, label in MARKS.items() if (root / mark).is_file())


def utterances(root: Path, splits: Sequence[str], cache: Path) -> list[Utterance]:
    """Every recording of some splits, with its length, in the order of the names.

    Lengths are kept in the file `cache`, by name, size and time of change: the second call is quick.

    Args:
        root: the corpus.
        splits: folders in it; `.` is the corpus itself.
        cache: a json file, made anew if it is not one.

    Raises:
        UpstreamError: for a split without recordings, for a recording that cannot be used, and as
            `folders.walk`.
    """
    from tqdm import tqdm

    paths = [path for split in splits for path in _files(root, split)]
    known = read_json(cache) or {}
    fresh: dict[str, list[int]] = {}
    found = []
    for path in tqdm(paths, desc="reading lengths", unit="file", leave=False):
        status = path.stat()
        entry = known.get(str(path))
        if entry is None or entry[:2] != [status.st_size, status.st_mtime_ns]:
            entry = [status.st_size, status.st_mtime_ns, _samples(path)]
        fresh[str(path)] = entry
        found.append(Utterance(path, entry[2]))
    if known != {**known, **fresh}:
        atomic_write_text(cache, json.dumps({**known, **fresh}))
    return found


def buckets(found: Sequence[Utterance], size: int) -> list[list[Utterance]]:
    """Batches of neighbours in length, the longest first, as the authors' training forms them."""
    ordered = sorted(found, key=lambda utterance: (-utterance.samples, str(utterance.path)))
    return [ordered[start : start + size] for start in range(0, len(ordered), size)]


def _files(root: Path, split: str) -> list[Path]:
    folder = root / split
    files = sorted(folders.walk(folder, SUFFIXES)) if folder.is_dir() else []
    if not files:
        what = "has no flac or wav files" if folder.is_dir() else "does not exist"
        raise UpstreamError(
            f"{folder} {what}, expected the recordings of {split}; give the folder that holds it (--data), "
            "or other splits (--train, --dev)"
        )
    return files


def _samples(path: Path) -> int:
    import soundfile

    try:
        info = soundfile.info(str(path))
    except (soundfile.LibsndfileError, OSError) as error:
        raise UpstreamError(f"{path} cannot be read as audio ({error}); replace or remove it") from None
    if info.samplerate != SAMPLE_RATE or info.channels != 1:
        raise UpstreamError(
            f"{path} has {info.samplerate} Hz and {info.channels} channels, expected {SAMPLE_RATE} Hz and "
            "one; resample it, for example with soxr"
        )
    if info.frames < SHORTEST:
        raise UpstreamError(
            f"{path} has {info.frames} samples, expected at least {SHORTEST} (one frame); remove it"
        )
    return int(info.frames)
