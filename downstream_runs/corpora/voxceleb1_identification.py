"""VoxCeleb1 for speaker identification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import voxceleb1, voxceleb1_lists
from downstream_runs.corpora.voxceleb1 import Recording


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold VoxCeleb1 under `data` against the archives and its list."""
    return _listed(data, cache and cache.resolve() / "voxceleb1", partial, decode=0).standing


@dataclass(frozen=True)
class _Listed:
    """A corpus with what its list names of it; no splits where the list would have to be downloaded."""

    root: Path
    splits: Mapping[str, Sequence[str]]
    files: Sequence[Recording]
    standing: Standing


def _listed(data: Path, cache: Path | None, partial: bool, decode: int) -> _Listed:
    root = voxceleb1.find_root(data).resolve()
    report = voxceleb1.check(root, tuple(voxceleb1.PARTS), decode=decode, partial=partial)
    archives = voxceleb1.require_good(report, partial)
    source = voxceleb1_lists.find_split_list(root, cache)
    if source is None:
        return _Listed(root, {}, (), archives)
    splits = voxceleb1_lists.read_split_list(source)
    recordings = voxceleb1.recordings(voxceleb1.speakers(root))
    if archives.partial:
        splits = voxceleb1_lists.present_of(splits, {file.name for file in recordings})
        voxceleb1_lists.require_utterances(splits, source)
    files = voxceleb1.require_listed(
        recordings, [name for names in splits.values() for name in names], source
    )
    voxceleb1_lists.require_labels(splits, source)
    standing = voxceleb1_lists.identification(root, splits, partial)
    return _Listed(root, splits, files, standing.and_also(voxceleb1_lists.other_list(root, source)))


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find VoxCeleb1 under `data`, hold it against its list, and show it to s3prl in s3prl's layout."""
    cache = cache.resolve() / "voxceleb1"
    found = _listed(data, cache, partial, decode=4)
    root, splits, files = found.root, found.splits, found.files
    folders = voxceleb1.speakers(root)
    listed = voxceleb1_lists.write_split_list(splits, cache)
    counts = {split: len(names) for split, names in splits.items()}
    return PreparedData(
        root=root,
        settings={
            "datarc.file_path": str(voxceleb1.view({"all": folders}, cache)),
            "datarc.meta_data": str(listed),
        },
        utterances=counts,
        audio=tuple(file.path for file in files),
        sha256=voxceleb1.content_hash(files, listed),
        **found.standing.facts,
    )


def _make_demo(folder: Path) -> Path:
    """The synthetic corpus in VoxCeleb1's layout, made in `folder`."""
    from downstream_runs.corpora.demo import voxceleb1

    return voxceleb1.make(folder)


CORPUS = Corpus(
    name="VoxCeleb1",
    licence="CC BY 4.0 (metadata); the audio is YouTube's, for research",
    size="30 GB + 1 GB",
    url="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    splits={
        "train": Split.of_mean(138_361, 8.2),
        "dev": Split.of_mean(6_904, 8.2),
        "test": Split.of_mean(8_251, 8.2),
    },
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
