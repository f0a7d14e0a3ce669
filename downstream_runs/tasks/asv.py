"""Automatic speaker verification on VoxCeleb1: whether one speaker says two utterances."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from downstream_runs.core.run_folder import TRIALS
from downstream_runs.core.task import Corpus, MetricSpec, PreparedData, Score, TaskSpec
from downstream_runs.recipes import Recipes

if TYPE_CHECKING:
    from downstream_runs.core.results import Metric
    from downstream_runs.corpora import markers
    from downstream_runs.corpora.voxceleb1 import Recording
    from downstream_runs.corpora.voxceleb1_lists import Trial
    from downstream_runs.engine.bench import Bench

LEAST_SAMPLES = 5_200
"""What a test utterance must have left after the trim: the x-vector needs 15 frames and, for a standard
deviation, one more. With frames of 25 ms every 20 ms that is 400 + 15 * 320 samples."""


def look(
    data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
) -> markers.Standing:
    """Hold VoxCeleb1 under `data` against the archives and its trials."""
    return _listed(data, cache and cache.resolve() / "voxceleb1", partial).standing


@dataclass(frozen=True)
class _Listed:
    """A corpus with its trials; none where they would have to be downloaded."""

    root: Path
    training: Sequence[Recording]
    trials: Sequence[Trial]
    testing: Sequence[Recording]
    standing: markers.Standing


def _listed(data: Path, cache: Path | None, partial: bool) -> _Listed:
    from downstream_runs.corpora import markers, voxceleb1, voxceleb1_lists

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
    from downstream_runs.corpora import voxceleb1, voxceleb1_lists, voxceleb1_trims

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


def score(folder: Path, split: str, scalars: Mapping[str, float]) -> tuple[Score, ...]:
    """EER of `split` from the trials' labels and scores that s3prl wrote to `folder`."""
    from downstream_runs.protocols.asv import equal_error_rate, read_scored

    return (equal_error_rate(read_scored(folder, split)),)


def demo(folder: Path) -> Path:
    """The synthetic corpus in VoxCeleb1's layout, made in `folder`."""
    from downstream_runs.corpora.demo import voxceleb1

    return voxceleb1.make(folder)


def test(bench: Bench) -> tuple[Metric, ...]:
    """The lowest EER of the kept checkpoints on the test trials, and the one that the dev trials choose."""
    from downstream_runs.protocols import asv

    return asv.test(bench)


TASK = TaskSpec(
    name="asv",
    title="Automatic speaker verification",
    s3prl_name="sv_voxceleb1",
    aliases=("sv", "sv-voxceleb1", "speaker-verification"),
    corpus=Corpus(
        name="VoxCeleb1",
        licence="CC BY 4.0 (metadata); the audio is YouTube's, for research",
        size="30 GB + 1 GB",
        url="https://www.robots.ox.ac.uk/~vgg/data/voxceleb/vox1.html",
    ),
    train_split="train",
    dev_splits=("dev",),
    test_splits=("test",),
    metrics=(
        MetricSpec("eer", "equal error rate", "percent", "lower", "sv-voxceleb1/{split}-EER", factor=100.0),
    ),
    selection=None,
    artefacts=("test_predict.txt", "report.txt", TRIALS),
    recipes=Recipes("asv"),
    prepare=prepare,
    look=look,
    data_keys=("downstream_expert.datarc.vad_config.min_sec", "downstream_expert.datarc.max_timestep"),
    score=score,
    demo=demo,
    split_batches=True,
    random_items=True,
    kept_checkpoints=10,
    test=test,
)
