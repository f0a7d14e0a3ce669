"""VoxCeleb1 as speaker verification reads it: one archive to train on, and trials of the other.

A line of the trials is `LABEL ENROL TEST` (1 one speaker, 0 two). s3prl cuts silence out of every training
file before its first step, to drop those that are too short, with twelve processes and no way to go on after
a kill; here that is done once a file, and kept.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations, product
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import PreparedData
from downstream_runs.corpora import audio, checks, texts, voxceleb1
from downstream_runs.corpora.audio import SAMPLE_RATE
from downstream_runs.corpora.checks import CheckedCorpus, Listing, Request
from downstream_runs.corpora.pinned import PinnedFile
from downstream_runs.corpora.voxceleb1 import META, Groups
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_path

TRIAL_LIST = ("voxceleb1_test_v2.txt", "veri_test.txt", "veri_test2.txt")
"""The trials, as s3prl and as the corpus's site call them; veri_test2 is the site's cleaned list."""

TRIALS_SHA256 = "303b2b657042a27bf465d4c8aa84e12765373cdc01046665241ccd5783bd5976"
"""Of SUPERB's 37,720 trials (s3prl's voxceleb1_test_v2.txt), a line each with one newline."""

PINNED = PinnedFile(
    "s3prl/downstream/sv_voxceleb1/voxceleb1_test_v2.txt", "906755864e1726e2ff8e9abef5871e86d16c5bcf"
)

DEV_SPEAKERS = frozenset(
    f"id{number}"
    for number in (
        *(10008, 10025, 10051, 10057, 10059, 10062, 10119, 10120, 10141, 10165),
        *(10195, 10197, 10239, 10397, 10418, 10475, 10551, 10609, 10629, 10673),
        *(10713, 10719, 10722, 10745, 10758, 10809, 10817, 10828, 10889, 10940),
        *(10952, 10955, 11039, 11045, 11123, 11157, 11175, 11177, 11203, 11212),
    )
)
"""Those of s3prl's dev trials (its list dev_speaker_ids), on whom s3prl trains all the same."""

DEV_UTTERANCES_A_SPEAKER = 20
DEV_TRIALS = 20_000
"""As many as s3prl's own dev trials, at most."""

EFFECTS: tuple[tuple[str, ...], ...] = (
    ("channels", "1"),
    ("rate", "16000"),
    ("gain", "-3.0"),
    ("silence", "1", "0.1", "0.1%", "-1", "0.1", "0.1%"),
)
"""s3prl's own cut of silence (0.4.18, downstream/sv_voxceleb1/dataset.py)."""

LENGTHS_SUFFIX = ".lengths.pt"
"""How a table of trimmed lengths is called; it may stand for s3prl's `train_meta_data` (see the bridge)."""

LEAST_SAMPLES = 5_200
"""What a test utterance must have left after the cut: the x-vector needs 15 frames and, for a standard
deviation, one more. With frames of 25 ms every 20 ms that is 400 + 15 * 320 samples."""


@dataclass(frozen=True)
class Trial:
    """Two utterances, by `idNNNNN/<video>/NNNNN.wav`, and whether one speaker says both (1) or not (0)."""

    label: int
    enrol: str
    test: str


def text_of(trials: Sequence[Trial]) -> str:
    """The list of trials as s3prl reads it, without blank lines, over which it would fall."""
    return "".join(f"{trial.label} {trial.enrol} {trial.test}\n" for trial in trials)


def is_official(trials: Sequence[Trial]) -> bool:
    """Whether they are SUPERB's, whatever line ends their file had."""
    return texts.digest([text_of(trials)]) == TRIALS_SHA256


def utterances(trials: Sequence[Trial]) -> list[str]:
    """The utterances of the trials, each once, in the order of their names."""
    return sorted({name for trial in trials for name in (trial.enrol, trial.test)})


def read_trials(path: Path, name: re.Pattern[str] = voxceleb1.NAME) -> list[Trial]:
    """The trials in the order of the file; UsageError names a bad line. name: of an utterance."""
    trials = []
    for place, fields in voxceleb1.list_fields(path):
        named = all(map(name.fullmatch, fields[1:]))
        if len(fields) != 3 or fields[0] not in ("0", "1") or not named:
            raise UsageError(
                f"{place} is {' '.join(fields)!r}, expected such as '1 id10270/x6uYqmx31kE/00001.wav "
                f"id10270/8jEAjG6SegY/00008.wav'; restore it from {META}"
            )
        trials.append(Trial(int(fields[0]), fields[1], fields[2]))
    return trials


def draw_dev_trials(names: Sequence[str], seed: int = 0) -> list[Trial]:
    """Trials of the dev speakers among `names`, see `draw_trials`."""
    by_speaker: dict[str, list[str]] = {}
    for name in sorted(names):
        if name[:7] in DEV_SPEAKERS:
            by_speaker.setdefault(name[:7], []).append(name)
    return draw_trials(by_speaker, seed)


def draw_trials(by_speaker: Mapping[str, Sequence[str]], seed: int = 0) -> list[Trial]:
    """Trials of these utterances, half of them of one speaker; the same for the same seed.

    Empty if there are no two speakers with two utterances each. At most `DEV_UTTERANCES_A_SPEAKER`
    utterances a speaker and `DEV_TRIALS` trials are drawn, none of them twice.
    """
    source = random.Random(seed)
    chosen = [
        sorted(source.sample(mine, min(len(mine), DEV_UTTERANCES_A_SPEAKER)))
        for mine in by_speaker.values()
        if len(mine) > 1
    ]
    if len(chosen) < 2:
        return []
    same = [pair for mine in chosen for pair in combinations(mine, 2)]
    different = [pair for mine, theirs in combinations(chosen, 2) for pair in product(mine, theirs)]
    number = min(len(same), len(different), DEV_TRIALS // 2)
    trials = [Trial(1, *pair) for pair in source.sample(same, number)]
    trials += [Trial(0, *pair) for pair in source.sample(different, number)]
    source.shuffle(trials)
    return trials


def trim(path: Path) -> int:
    """The samples of a file after s3prl's cut of silence."""
    from downstream_runs.audio.effects import apply_effects_file

    return int(apply_effects_file(path, EFFECTS)[0].shape[1])


def write_s3prl_table(lengths: Mapping[str, int], cache: Path) -> Path:
    """Write `lengths` as s3prl keeps them: `[[(speaker, video, file), ...], [samples, ...]]`."""
    import torch

    names = sorted(lengths)
    text = "".join(f"{lengths[name]} {name}\n" for name in names)
    path = cache / f"{texts.digest([text])[:16]}{LENGTHS_SUFFIX}"
    table = [[tuple(name.split("/")) for name in names], [lengths[name] for name in names]]
    with texts.writing(path):
        if not path.is_file():
            with atomic_path(path) as temporary:
                torch.save(table, temporary)
    return path


_Content = tuple[Groups, Sequence[Trial]]


def _listed(request: Request) -> Listing[_Content]:
    """Both archives, of `test` what the trials name; all of it where they would have to be downloaded."""
    root, (archives, partial) = request.root, voxceleb1.list_archives(CORPUS, request)
    training, testing = archives.audio.values()
    # The cleaned list has other EERs: it is refused unless the corpus is a part anyway.
    source = voxceleb1.find_list(
        request, partial, TRIAL_LIST, TRIAL_LIST[1], PINNED, lambda path: is_official(read_trials(path))
    )
    if source is None:
        return Listing(root, archives.audio, (archives.content, ()))
    trials = read_trials(source)
    if partial:
        names = {file.name for file in testing}
        trials = [trial for trial in trials if trial.enrol in names and trial.test in names]
    same = sum(trial.label for trial in trials)
    if not 0 < same < len(trials):
        raise UsageError(
            f"{source} has {same:,} trials of one speaker and {len(trials) - same:,} of two, both were "
            f"expected, or no error rate could be equal; restore it from {META}"
        )
    tried = utterances(trials)
    trained_on = [
        f"{source} has a trial of {name}, whose speaker is trained on; one of the archive test was expected"
        for name in tried
        if voxceleb1.part(name[:7]) != "test"
    ]
    checks.require_none(trained_on, f"restore the list from {META}")
    tested = voxceleb1.require_listed(archives, tried, source)
    counts = archives.counts
    if partial:
        counts = {"train": len(training)}
        if not is_official(trials):
            counts |= {"test": len(tested), "the list": len(trials)}
    return Listing(
        root,
        {"train": training, "test": tested},
        (archives.content, trials),
        counts=counts,
        again=f"restore the trials from {META}" if partial else "",
    )


def _written(listing: Listing[_Content], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    """Cut the silence once, draw dev trials, and show the corpus to s3prl in s3prl's layout."""
    cache, (groups, trials) = voxceleb1.cache_of(cache), listing.content
    training, testing = listing.audio["train"], listing.audio["test"]
    lengths, problems = audio.measure(listing.files, trim, cache / "trimmed-lengths.txt", "trim VoxCeleb1")
    checks.require_none(problems, f"{CORPUS.get} again")
    least = config["downstream_expert"]["datarc"]["vad_config"]["min_sec"]
    kept = [file.name for file in training if lengths[file.name] > least]
    _require_long_enough(listing, kept, lengths, least)
    dev = draw_dev_trials(kept)
    lists = {
        "train_meta_data": write_s3prl_table({file.name: lengths[file.name] for file in training}, cache),
        "dev_meta_data": texts.write_once(cache, "dev-trials", text_of(dev)),
        "test_meta_data": texts.write_once(cache, "test-trials", text_of(trials)),
    }
    counts = {"train": len(kept), "test": len(testing)}
    unused = (
        f"{len(training) - len(kept):,} of {len(training):,} training utterances are not used: s3prl keeps "
        f"those of more than {least / SAMPLE_RATE:g} s after its cut of silence"
    )
    return listing.prepared(
        voxceleb1.content_hash(listing.files, lists["dev_meta_data"], lists["test_meta_data"]),
        {
            "datarc.file_path": voxceleb1.view(groups, cache),
            **{f"datarc.{key}": path for key, path in lists.items()},
        },
        utterances=counts | ({"dev": len(utterances(dev))} if dev else {}),
        deviations=(unused,) if len(kept) < len(training) else (),
    )


def _require_long_enough(
    listing: Listing[_Content], kept: Sequence[str], lengths: Mapping[str, int], least: int
) -> None:
    """UsageError unless two speakers can be trained on, and all test utterances are long enough."""
    short = [
        f"{file.name} has {lengths[file.name]:,} samples left after s3prl's cut of silence, "
        f"{LEAST_SAMPLES:,} at least were expected: the head needs 15 frames and their spread"
        for file in listing.audio["test"]
        if lengths[file.name] < LEAST_SAMPLES
    ]
    checks.require_none(short, "restore the file from the corpus, or take it out of the trials")
    trained = {name[:7] for name in kept}
    if len(trained) < 2:
        raise UsageError(
            f"{len(kept):,} of {len(listing.audio['train']):,} training utterances in {listing.root} have "
            f"more than {least:,} samples ({least / SAMPLE_RATE:g} s) after s3prl's cut of silence, of "
            f"{len(trained)} speakers; two speakers at least were expected: use longer recordings, or the "
            "real VoxCeleb1"
        )


CORPUS = CheckedCorpus(**checks.facts("voxceleb1_verification"), listed=_listed, written=_written)
