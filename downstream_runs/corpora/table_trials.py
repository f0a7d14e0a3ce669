"""A table of speakers and a list of trials, as s3prl's speaker verification reads them.

A line of the trials is `LABEL FILE FILE` (1 one speaker, 0 two), with tabs between where names have blanks;
files are named as in the table, or from the folder of the list. Train is learnt from, the trials are of test;
those of dev, by which the checkpoint is chosen, are drawn.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from downstream_runs.core.corpus import Problem
from downstream_runs.corpora import audio, checks, table_corpus, table_view, texts
from downstream_runs.corpora import voxceleb1_verification as verification
from downstream_runs.corpora.audio import AudioFile
from downstream_runs.corpora.tables import Row, Source, Table
from downstream_runs.corpora.voxceleb1_verification import LEAST_SAMPLES, Trial
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import sha256_file


def read(source: Source, table: Table) -> list[Trial]:
    """The trials by paths of the table's test rows; UsageError, which names the line, for a wrong one."""
    found = list(_read(source, table))
    checks.require_none([one for one in found if isinstance(one, Problem)], source.again)
    return [one for one in found if isinstance(one, Trial)]


def _read(source: Source, table: Table) -> Iterator[Trial | Problem]:
    """The trials, and what is wrong with others or all of them."""
    assert source.trials is not None
    if sha256_file(source.trials) != source.also_sha256:
        yield Problem(f"{source.trials} is not the list that it was", "start the run anew")
    rows = {os.path.abspath(table.path.parent / row.path): row for row in table.of("test")}
    labels = []
    for place, line in texts.lines(source.trials, "name a list of trials with --trials"):
        fields = line.split("\t") if "\t" in line else line.split()
        if not fields:
            continue
        if len(fields) != 3 or fields[0] not in ("0", "1"):
            yield Problem(f"{place} is {line!r}, expected 1 or 0 and two files")
            continue
        pair = [_row(source, rows, name) for name in fields[1:]]
        labels.append(int(fields[0]))
        enrol, test = pair
        for name in (name for name, row in zip(fields[1:], pair, strict=True) if row is None):
            yield Problem(f"{place} names {name}, which is no row of test in {source.path}")
        if enrol is None or test is None:
            continue
        if (enrol.speaker == test.speaker) is not (labels[-1] == 1):
            whose = f"{enrol.speaker} and {test.speaker}"
            yield Problem(f"{place} has the label {fields[0]}, and its speakers are {whose} in the table")
            continue
        yield Trial(labels[-1], enrol.path, test.path)
    if not 0 < sum(labels) < len(labels):
        yield Problem(
            f"{source.trials} has {sum(labels):,} trials of one speaker and {len(labels) - sum(labels):,} of "
            "two, both were expected, or no error rate could be equal"
        )


def _row(source: Source, rows: Mapping[str, Row], name: str) -> Row | None:
    """The row of test that a line of the trials names."""
    assert source.trials is not None
    places = (os.path.abspath(folder / name) for folder in (source.trials.parent, source.path.parent))
    return next((rows[place] for place in places if place in rows), None)


def judged(source: Source, table: Table) -> Iterator[str]:
    """See `Judged`: trials that cannot be used, and too few speakers; which rows are not used."""
    found = list(_read(source, table))
    yield from (one for one in found if isinstance(one, Problem))
    if len({row.speaker for row in table.of("train")}) < 2:
        yield Problem(f"{source.path} has one speaker to train on, two at least were expected")
    if not _drawn(table.of("dev")):
        yield Problem(
            f"{source.path} has no two speakers with two files each in dev, of which trials could be drawn "
            "to choose a checkpoint by"
        )
    named = {path for one in found if isinstance(one, Trial) for path in (one.enrol, one.test)}
    unused = len(table.of("test")) - len(named)
    if unused:
        yield f"{unused:,} of {len(table.of('test')):,} rows of test are in no trial"
    yield from table_corpus.leaks(source, table)


def _drawn(rows: Sequence[Row]) -> list[Trial]:
    by_speaker: dict[str, list[str]] = {}
    for row in sorted(rows, key=lambda row: row.path):
        by_speaker.setdefault(row.speaker, []).append(row.path)
    return verification.draw_trials(by_speaker)


def written(
    source: Source, table: Table, folder: Path, links: Mapping[str, Path], config: Mapping[str, Any]
) -> tuple[Mapping[str, Any], Mapping[str, int], tuple[str, ...]]:
    """The training files in VoxCeleb1's layout, lengths without silence, and both lists of trials."""
    if any(sign.isspace() for sign in str(folder)):
        raise UsageError(
            f"{folder} has a blank, and s3prl's lists of trials can have none: give another --out"
        )
    number = table_view.numbered(row.speaker for row in table.rows)
    files = {}
    for row in table.rows:
        part = "train/dev/wav" if row.split == "train" else row.split
        files[row.path] = folder / part / number[row.speaker] / links[row.path].stem / "00001.wav"
        table_view.link(files[row.path], table.path.parent / row.path)
    training, tested = table.of("train"), read(source, table)
    used = set(verification.utterances(tested))
    needed = [row for row in table.rows if row.split != "test" or row.path in used]
    lengths = _lengths(source, table, needed, folder)
    usable = [row for row in table.of("dev") if lengths[row.path] >= LEAST_SAMPLES]
    trials = {"dev": _drawn(usable), "test": tested}
    _require_long_enough(source, training, trials, lengths, config)
    named = {"/".join(files[row.path].parts[-3:]): lengths[row.path] for row in training}
    settings: dict[str, Any] = {
        "datarc.file_path": str(folder / "train"),
        "datarc.train_meta_data": str(verification.write_s3prl_table(named, folder)),
    }
    for split, listed in trials.items():
        placed = [Trial(one.label, str(files[one.enrol]), str(files[one.test])) for one in listed]
        text = verification.text_of(placed)
        settings[f"datarc.{split}_meta_data"] = str(texts.write_once(folder, f"{split}-trials", text))
    counts = {split: len(verification.utterances(listed)) for split, listed in trials.items()}
    least = config["downstream_expert"]["datarc"]["vad_config"]["min_sec"]
    kept = sum(lengths[row.path] > least for row in training)
    left_out = (
        f"{len(training) - kept:,} of {len(training):,} training utterances are not used: s3prl keeps those "
        f"of more than {least / audio.SAMPLE_RATE:g} s after its cut of silence"
    )
    return settings, {"train": kept, **counts}, ((left_out,) if kept < len(training) else ())


def _require_long_enough(
    source: Source,
    training: Sequence[Row],
    trials: Mapping[str, Sequence[Trial]],
    lengths: Mapping[str, int],
    config: Mapping[str, Any],
) -> None:
    """UsageError for a test file that is too short for the head, and for too few that are long enough."""
    least = config["downstream_expert"]["datarc"]["vad_config"]["min_sec"]
    kept = [row for row in training if lengths[row.path] > least]
    if len({row.speaker for row in kept}) < 2:
        raise UsageError(
            f"{source.path}: {len(kept):,} of {len(training):,} training files have more than {least:,} "
            "samples after s3prl's cut of silence, two speakers at least were expected: use longer ones, or "
            "a smaller -o downstream_expert.datarc.vad_config.min_sec"
        )
    short = [path for path in verification.utterances(trials["test"]) if lengths[path] < LEAST_SAMPLES]
    checks.require_none(
        [f"{path} has {lengths[path]:,} samples left after s3prl's cut of silence" for path in short],
        f"take it out of the trials: the head needs {LEAST_SAMPLES:,}",
    )
    if not trials["dev"]:
        raise UsageError(
            f"{source.path} has no two speakers in dev with two files each that are long enough after "
            "s3prl's cut of silence: add some"
        )


def _lengths(source: Source, table: Table, rows: Sequence[Row], folder: Path) -> dict[str, int]:
    """Samples of each file without silence, measured once."""
    files = [AudioFile.at(table.path.parent / row.path, name=row.path) for row in rows]
    store = folder.parent / f"trimmed-{texts.digest([str(table.path.parent)])[:16]}.txt"
    lengths, problems = audio.measure(files, verification.trim, store, f"trim {source.path.name}")
    checks.require_none(problems, source.again)
    return lengths
