"""Corpora of all counts by the command `data`, from archives into an empty folder, ready for `all`.

`python benchmarks/data_all.py --corpora DIR --place DIR` packs the corpora of a data folder as they are
published: what everybody may download is served from this machine, what must be asked for is put into
`archives/`, and s3prl's lists and the tables of LibriMix are put beside, as a person without a network does.
Then `data` brings them to PLACE/corpora and mixes Libri2Mix. What it cost is printed, with the number of
files of each corpus and the command that is next.

--corpora: LibriSpeech, Speech Commands, ... in their layouts, and for sd `LibriMix/`, a clone of
s3prl/LibriMix, with WHAM! noise in `wham_noise/` or, without it, noise that is made here. All archives are
tar.gz, which keep hard links, so that corpora of few different files stay small; some are called .zip, since
that is their name.
"""

from __future__ import annotations

import argparse
import csv
import importlib
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(CHECKOUT), str(CHECKOUT / "benchmarks")]
sys.path.append(str(CHECKOUT / "tests" / "support"))

import _trees  # noqa: E402

from downstream_runs import tasks  # noqa: E402
from downstream_runs.corpora import libriphone  # noqa: E402
from downstream_runs.corpora.fetching import plan, sources  # noqa: E402
from downstream_runs.corpora.librimix import SPLITS  # noqa: E402

published = importlib.import_module("published")

ARCHIVES = {
    "LibriSpeech/train-clean-100": ("LibriSpeech/train-clean-100", ("train-clean-100.tar.gz",)),
    "LibriSpeech/dev-clean": ("LibriSpeech/dev-clean", ("dev-clean.tar.gz",)),
    "LibriSpeech/test-clean": ("LibriSpeech/test-clean", ("test-clean.tar.gz",)),
    "speech_commands_v0.01": (".", ("speech_commands_v0.01.tar.gz",)),
    "speech_commands_test_set_v0.01": (".", ("speech_commands_test_set_v0.01.tar.gz",)),
    "quesst14Database": ("quesst14Database", ("quesst14Database.tgz",)),
    "VoxCeleb1/dev/wav": ("wav", tuple(f"vox1_dev_wav_parta{part}" for part in "abcd")),
    "VoxCeleb1/test/wav": ("wav", ("vox1_test_wav.zip",)),
    "fluent_speech_commands_dataset": (
        "fluent_speech_commands_dataset",
        ("fluent_speech_commands_dataset.tar.gz",),
    ),
    "SNIPS": ("SNIPS", ("SNIPS.zip",)),
    "IEMOCAP_full_release": ("IEMOCAP_full_release", ("IEMOCAP_full_release.tar.gz",)),
    "wham_noise": ("wham_noise", ("wham_noise.zip",)),
}
"""Of each folder, what it is called in its archive, and the files that the archive comes in."""
BY_HAND = (libriphone.FOLDER, "iden_split.txt", "veri_test.txt", "LibriMix")
"""What `data` fetches from repositories: taken from the corpora, or VoxCeleb1's folder in them."""
AGREE = "quesst14,wham"
UNPACKED_GB = 2.5
"""Of each archive, said to `data`, which refuses twice that and asks for the room of all."""
COMMAND = """
import sys
from pathlib import Path
from downstream_runs.cli import main
from downstream_runs.corpora.fetching import sources
sources.FILE = Path({file!r})
sys.exit(main.main(sys.argv[1:]))
"""


def wham(corpora: Path, place: Path) -> None:
    """Noise of 3 to 17 s by the names that LibriMix's tables give, as many hard links to a few files."""
    tree = _trees.Tree(place, 1.0)
    root = place / "wham_noise"
    tree.listed[root] = []
    names = dict.fromkeys(
        row["noise_path"]
        for names in SPLITS.values()
        for row in csv.DictReader((corpora / "LibriMix" / names.tables[1].path).open(newline=""))
    )
    for name in names:
        tree.audio(root, name, tree.seconds(3, 10, 17))
    (root / "metadata").mkdir()
    for part in ("tr", "cv", "tt"):
        listed = "".join(f"{Path(name).name}\n" for name in names if name.startswith(part))
        (root / "metadata" / f"noise_meta_{part}.csv").write_text(f"utterance_id\n{listed}")


def pack(folder: Path, top: str, names: Sequence[str], shelf: Path) -> None:
    """The archive of a folder, in as many parts as it has names."""
    if all((shelf / name).is_file() for name in names):
        return
    whole = published.tar_gz(shelf / "whole", folder.resolve(), top)
    size = -(-whole.stat().st_size // len(names))
    with whole.open("rb") as source:
        for name in names:
            (shelf / name).write_bytes(source.read(size))
    whole.unlink()


def packed(corpora: Path, place: Path, asked: Sequence[str]) -> Path:
    """The folder with the archives of all corpora of these tasks."""
    shelf = place / "archives"
    shelf.mkdir(parents=True, exist_ok=True)
    own = corpora if (corpora / "wham_noise").is_dir() else place
    if "sd" in asked and not (own / "wham_noise").is_dir():
        wham(corpora, place)
    for source in (one for one in sources.load() if set(asked) & set(one.tasks)):
        for archive in source.archives:
            top, names = ARCHIVES[archive.place.to]
            pack((own if source.makes else corpora) / archive.place.to, top, names, shelf)
    return shelf


def put_by_hand(corpora: Path, shelf: Path, data: Path) -> None:
    """What a person brings: archives that must be asked for, lists, LibriMix's tables."""
    (data / plan.SHELF).mkdir(parents=True)
    for source in sources.load():
        for name in (file.name for one in source.archives if not one.is_served for file in one.files):
            if (shelf / name).is_file():
                (data / plan.SHELF / name).symlink_to(shelf / name)
    for name in BY_HAND:
        found = next((at / name for at in (corpora, corpora / "VoxCeleb1") if (at / name).exists()), None)
        if found:
            (shutil.copytree if found.is_dir() else shutil.copy)(found, data / name)


def counts(data: Path) -> Iterator[str]:
    """A line for each folder with its files."""
    for folder in sorted(path for path in data.iterdir() if path.is_dir() and path.name != plan.SHELF):
        yield f"{sum(len(files) for _, _, files in os.walk(folder)):>9,} {folder}"


def main() -> int:
    """Pack, serve, bring, and say what there is; the exit code of `data`."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add = parser.add_argument
    add("--corpora", type=Path, required=True, metavar="DIR", help="what is packed")
    add("--place", type=Path, required=True, metavar="DIR", help="for archives, and the new folder corpora/")
    add("--tasks", default="", help="with commas (default: all)")
    options = parser.parse_args()
    corpora, place = options.corpora.resolve(), options.place.resolve()
    asked = [name for name in options.tasks.split(",") if name]
    data = place / "corpora"
    shelf = packed(corpora, place, asked or tasks.names())
    put_by_hand(corpora, shelf, data)
    os.environ["no_proxy"] = "*"
    with published.published(shelf) as server:
        file = published.sources_of(
            shelf, server.url, place / "sources.json", unpacked_gb=UNPACKED_GB, all_hashed=False
        )
        words = ["data", *asked, "--data", str(data), "--out", str(place / "out"), "--agree", AGREE]
        print("$", *words, flush=True)
        began = time.monotonic()
        command = [sys.executable, "-c", COMMAND.format(file=str(file)), *words]
        code = subprocess.run(command, cwd=CHECKOUT).returncode
        wall, used = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    print("\n".join(counts(data)))
    print(
        f"exit {code}, {used.ru_utime + used.ru_stime:.0f} CPU seconds, {wall:.0f} s by the clock, "
        f"peak {used.ru_maxrss / 1024:.0f} MiB"
    )
    return code


if __name__ == "__main__":
    sys.exit(main())
