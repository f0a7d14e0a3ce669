"""VoxCeleb1 for speaker verification."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Corpus, PreparedData, Split, Standing
from downstream_runs.corpora import markers, voxceleb1, voxceleb1_lists, voxceleb1_trims
from downstream_runs.corpora.voxceleb1 import Recording
from downstream_runs.corpora.voxceleb1_lists import Trial

LEAST_SAMPLES = 5_200
"""What a test utterance must have left after the trim: the x-vector needs 15 frames and, for a standard
deviation, one more. With frames of 25 ms every 20 ms that is 400 + 15 * 320 samples."""


def look(data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False) -> Standing:
    """Hold VoxCeleb1 under `data` against the archives and its trials."""
    return _listed(data, cache and cache.resolve() / "voxceleb1", partial).standing


@dataclass(frozen=True)
class _Listed:
    """A corpus with its trials; none where they would have to be downloaded."""

    root: Path
    training: Sequence[Recording]
    trials: Sequence[Trial]
    testing: Sequence[Recording]
    standing: Standing


def _listed(data: Path, cache: Path | None, partial: bool) -> _Listed:
    root = voxceleb1.find_root(data).resolve()
    report = voxceleb1.check(root, tuple(voxceleb1.PARTS), decode=0, partial=partial)
    archives = voxceleb1.require_good(report, partial)
    part = bool(archives.partial)
    training, testing = (voxceleb1.recordings(group) for group in voxceleb1.archives(root).values())
    source = voxceleb1_lists.find_trials(root, cache, part)
    if source is None:
        return _Listed(root, training, (), (), archives)
    trials = voxceleb1_lists.read_trials(source)
    if part:
        trials = voxceleb1_lists.trials_of(trials, {file.name for file in testing})
    voxceleb1_lists.require_both_labels(trials, source)
    testing = voxceleb1.require_listed(testing, voxceleb1_lists.utterances(trials), source)
    if not part:
        return _Listed(root, training, trials, testing, archives)
    count = markers.Count("train", len(training), voxceleb1.PARTS["dev"])
    standing = voxceleb1_lists.verification(root, count, trials, partial)
    return _Listed(root, training, trials, testing, standing)


def prepare(data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False) -> PreparedData:
    """Find VoxCeleb1 under `data`, trim it once, draw dev trials, and show it to s3prl in s3prl's layout."""
    cache = cache.resolve() / "voxceleb1"
    found = _listed(data, cache, partial)
    root, training, trials, testing = found.root, found.training, found.trials, found.testing
    groups = voxceleb1.archives(root)
    lengths = voxceleb1_trims.trimmed_lengths([*training, *testing], cache)
    voxceleb1_trims.too_short(lengths, [file.name for file in testing], LEAST_SAMPLES)
    least = config["downstream_expert"]["datarc"]["vad_config"]["min_sec"]
    kept = [file.name for file in training if lengths[file.name] > least]
    voxceleb1_trims.require_two_speakers(root, kept, len(training), least)
    dev = voxceleb1_lists.draw_dev_trials(kept)
    lists = {
        "train_meta_data": voxceleb1_trims.write_s3prl_table(
            {file.name: lengths[file.name] for file in training}, cache
        ),
        "dev_meta_data": voxceleb1_lists.write_trials(dev, "dev-trials", cache),
        "test_meta_data": voxceleb1_lists.write_trials(trials, "test-trials", cache),
    }
    counts = {"train": len(kept), "test": len(testing)}
    if dev:
        counts["dev"] = len(voxceleb1_lists.utterances(dev))
    return PreparedData(
        root=root,
        settings={
            "datarc.file_path": str(voxceleb1.view(groups, cache)),
            **{f"datarc.{key}": str(path) for key, path in lists.items()},
        },
        utterances=counts,
        audio=tuple(file.path for file in (*training, *testing)),
        sha256=voxceleb1.content_hash([*training, *testing], lists["dev_meta_data"], lists["test_meta_data"]),
        **found.standing.and_also(_not_used(len(training), len(kept), least)).facts,
    )


def _not_used(listed: int, kept: int, least: int) -> Sequence[str]:
    if kept == listed:
        return ()
    return (
        f"{listed - kept:,} of {listed:,} training utterances are not used: s3prl keeps those of more than "
        f"{least / 16_000:g} s after its cut of silence",
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
    splits={"train": Split.of_mean(148_642, 8.2), "test": Split.of_mean(4_708, 8.2)},
    look=look,
    prepare=prepare,
    make_demo=_make_demo,
)
