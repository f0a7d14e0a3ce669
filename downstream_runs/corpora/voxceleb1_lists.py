"""The lists of VoxCeleb1's two tasks: who is trained and tested on what.

Speaker identification has one file, a line `SPLIT idNNNNN/<video>/NNNNN.wav` (1 train, 2 dev, 3 test).
Speaker verification has trials, a line `LABEL ENROL TEST` (1 one speaker, 0 two).
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from downstream_runs.corpora.markers import Count, Standing, labels, standing
from downstream_runs.corpora.outputs import writing
from downstream_runs.corpora.pinned import PinnedFile, bytes_id, obtain
from upstream_arm.common.errors import UsageError
from upstream_arm.common.files import atomic_write_text

SPLIT_LIST = ("iden_split.txt", "veri_test_class.txt")
"""Speaker identification's list, as the corpus's site and as s3prl call it."""

TRIAL_LIST = ("voxceleb1_test_v2.txt", "veri_test.txt", "veri_test2.txt")
"""The trials, as s3prl and as the corpus's site call them; veri_test2 is the site's cleaned list."""

TRIALS_SHA256 = "303b2b657042a27bf465d4c8aa84e12765373cdc01046665241ccd5783bd5976"
"""Of SUPERB's 37,720 trials (s3prl's voxceleb1_test_v2.txt), a line each with one newline."""

IDENTIFICATION_UTTERANCES: Mapping[str, int] = {"train": 138_361, "dev": 6_904, "test": 8_251}
"""Speaker identification's splits as the corpus's site counts them."""

TRIALS, TRIAL_UTTERANCES = 37_720, 4_708
"""SUPERB's trials of speaker verification, and the utterances that they are of."""

PINNED_SPLIT_LIST = PinnedFile(
    "s3prl/downstream/voxceleb1/veri_test_class.txt", "bff103cfe2b4e0ec42b2ed658ead99cea5e6cf51"
)
PINNED_TRIALS = PinnedFile(
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

META = "https://www.robots.ox.ac.uk/~vgg/data/voxceleb/meta"

# Without the signs of patterns, since s3prl looks for the files by glob.
_NAME = re.compile(r"id\d{5}/[^/\s*?\[]+/[^/\s*?\[]+\.wav")
_SPLITS = {"1": "train", "2": "dev", "3": "test"}


@dataclass(frozen=True)
class Trial:
    """Two utterances, by `idNNNNN/<video>/NNNNN.wav`, and whether one speaker says both (1) or not (0)."""

    label: int
    enrol: str
    test: str

    def line(self) -> str:
        """The trial as s3prl reads it."""
        return f"{self.label} {self.enrol} {self.test}\n"


def find_split_list(root: Path, cache: Path | None) -> Path | None:
    """Speaker identification's list: of the corpus folder or the one above it, else s3prl's.

    Raises UsageError if neither can be had; None where it would have to be downloaded and `cache` is None.
    """
    for path in _present(root, SPLIT_LIST):
        return path
    return _fetch(root, SPLIT_LIST[0], PINNED_SPLIT_LIST, cache)


def find_trials(root: Path, cache: Path | None, partial: bool = False) -> Path | None:
    """SUPERB's trials: a list with their hash in the corpus folder or the one above it, else s3prl's.

    A demo or sample corpus brings trials of its own, and a `partial` one may. Raises UsageError if none can
    be had; the message says so where only the cleaned list is there, whose EERs are other numbers. None where
    they would have to be downloaded and `cache` is None.
    """
    present = _present(root, TRIAL_LIST)
    for path in present:
        if labels(root) or trials_hash(read_trials(path)) == TRIALS_SHA256:
            return path
    if partial and present:
        return present[0]
    others = [f"{path.name} has {len(read_trials(path)):,} other trials" for path in present]
    return _fetch(root, "veri_test.txt", PINNED_TRIALS, cache, ", ".join(others))


def read_split_list(path: Path) -> dict[str, list[str]]:
    """The utterances of train, dev and test, in the order of the list; UsageError names a bad line."""
    splits: dict[str, list[str]] = {"train": [], "dev": [], "test": []}
    seen: set[str] = set()
    for number, fields in _lines(path):
        if len(fields) != 2 or fields[0] not in _SPLITS or not _NAME.fullmatch(fields[1]):
            raise UsageError(
                f"{path} line {number} is {' '.join(fields)!r}, expected such as "
                f"'1 id10003/na8-QEFmj44/00003.wav' with 1, 2 or 3 in front; restore it from {META}"
            )
        if fields[1] in seen:
            raise UsageError(f"{path} line {number} gives {fields[1]} a second time; restore the list")
        seen.add(fields[1])
        splits[_SPLITS[fields[0]]].append(fields[1])
    require_utterances(splits, path)
    return splits


def require_utterances(splits: Mapping[str, Sequence[str]], source: Path) -> None:
    """UsageError for a split without an utterance."""
    for split, names in splits.items():
        if not names:
            raise UsageError(
                f"{source} has no utterance for {split} that is there, expected lines of 1 (train), 2 (dev) "
                f"and 3 (test); restore it from {META}/{SPLIT_LIST[0]}, or name the utterances that there are"
            )


def require_labels(splits: Mapping[str, Sequence[str]], source: Path) -> None:
    """UsageError for a speaker that s3prl has no class for: class = number - 10001, of 1,251 classes.

    Also for a speaker of dev or test who is not trained on, and whom no head could name.
    """
    trained = {name[:7] for name in splits["train"]}
    for split, names in splits.items():
        for name in names:
            if not 10001 <= int(name[2:7]) <= 11251:
                raise UsageError(
                    f"{source} lists {name}, whose speaker is none of id10001 to id11251; s3prl has classes "
                    "for those only: rename the speaker's folder and its lines in the list"
                )
            if name[:7] not in trained:
                raise UsageError(
                    f"{source} has {name} in {split}, and nothing of its speaker in train; "
                    f"restore it from {META}/{SPLIT_LIST[0]}"
                )


def write_split_list(splits: Mapping[str, Sequence[str]], cache: Path) -> Path:
    """Write the list as s3prl reads it, without blank lines, over which it would fall."""
    number = {name: digit for digit, name in _SPLITS.items()}
    text = "".join(f"{number[split]} {name}\n" for split, names in splits.items() for name in names)
    return write_once(cache, "identification", text)


def present_of(splits: Mapping[str, Sequence[str]], names: Collection[str]) -> dict[str, list[str]]:
    """What a part of the corpus has of a list: its own files, and in dev and test only trained speakers."""
    found = {split: [name for name in listed if name in names] for split, listed in splits.items()}
    trained = {name[:7] for name in found["train"]}
    return {split: [name for name in listed if name[:7] in trained] for split, listed in found.items()}


def identification(root: Path, splits: Mapping[str, Sequence[str]], partial: bool) -> Standing:
    """What the listed utterances are beside SUPERB's; UsageError as of `markers.standing`."""
    counts = [Count(split, len(splits[split]), number) for split, number in IDENTIFICATION_UTTERANCES.items()]
    return standing(root, counts, partial, f"restore the list of speaker identification from {META}")


def trials_of(trials: Sequence[Trial], names: Collection[str]) -> list[Trial]:
    """The trials that a part of the corpus has both utterances of."""
    return [trial for trial in trials if trial.enrol in names and trial.test in names]


def verification(root: Path, training: Count, trials: Sequence[Trial], partial: bool) -> Standing:
    """What training and trials are beside SUPERB's; UsageError as of `markers.standing`."""
    counts = [training]
    if trials_hash(trials) != TRIALS_SHA256:
        counts.append(Count("test", len(utterances(trials)), TRIAL_UTTERANCES))
        counts.append(Count("the list", len(trials), TRIALS, "trials"))
    return standing(root, counts, partial, f"restore the trials from {META}")


def other_list(root: Path, path: Path) -> tuple[str, ...]:
    """A sentence where a real corpus has a list that is not s3prl's; its line ends may be others."""
    if labels(root):
        return ()
    lines = path.read_bytes().replace(b"\r\n", b"\n").rstrip(b"\n")
    ids = [bytes_id(lines), bytes_id(lines + b"\n")]
    if PINNED_SPLIT_LIST.blob in ids:
        return ()
    return (
        f"the speaker identification list {path.name} is not SUPERB's: its git hash is {ids[1][:8]}, "
        f"{PINNED_SPLIT_LIST.blob[:8]} was expected",
    )


def write_once(cache: Path, stem: str, text: str) -> Path:
    """`text` in a file of `cache` that its hash names, so that no run changes the list of another."""
    path = cache / f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.txt"
    with writing(path):
        if not path.is_file():
            atomic_write_text(path, text)
    return path


def read_trials(path: Path) -> list[Trial]:
    """The trials in the order of the file; UsageError names a bad line."""
    trials = []
    for number, fields in _lines(path):
        if len(fields) != 3 or fields[0] not in ("0", "1") or not all(map(_NAME.fullmatch, fields[1:])):
            raise UsageError(
                f"{path} line {number} is {' '.join(fields)!r}, expected such as '1 id10270/x6uYqmx31kE/"
                f"00001.wav id10270/8jEAjG6SegY/00008.wav'; restore it from {META}"
            )
        trials.append(Trial(int(fields[0]), fields[1], fields[2]))
    return trials


def require_both_labels(trials: Sequence[Trial], source: Path) -> None:
    """UsageError without a trial of each label: no error rate could be equal then."""
    found = [trial.label for trial in trials]
    if len(set(found)) < 2:
        raise UsageError(
            f"{source} has {found.count(1):,} trials of one speaker and {found.count(0):,} of two, both were "
            f"expected; restore it from {META}"
        )


def write_trials(trials: Sequence[Trial], stem: str, cache: Path) -> Path:
    """Write trials as s3prl reads them, without blank lines, over which it would fall."""
    return write_once(cache, stem, "".join(trial.line() for trial in trials))


def trials_hash(trials: Sequence[Trial]) -> str:
    """SHA-256 over the trials, whatever line ends their file had."""
    return hashlib.sha256("".join(trial.line() for trial in trials).encode()).hexdigest()


def utterances(trials: Sequence[Trial]) -> list[str]:
    """The utterances of the trials, each once, in the order of their names."""
    return sorted({name for trial in trials for name in (trial.enrol, trial.test)})


def draw_dev_trials(names: Sequence[str], seed: int = 0) -> list[Trial]:
    """Trials of the dev speakers among `names`, half of them of one speaker; the same for the same seed.

    Empty if there are no two dev speakers with two utterances each. At most `DEV_UTTERANCES_A_SPEAKER`
    utterances a speaker and `DEV_TRIALS` trials are drawn, none of them twice.
    """
    source = random.Random(seed)
    by_speaker: dict[str, list[str]] = {}
    for name in sorted(names):
        if name[:7] in DEV_SPEAKERS:
            by_speaker.setdefault(name[:7], []).append(name)
    chosen = [
        sorted(source.sample(mine, min(len(mine), DEV_UTTERANCES_A_SPEAKER)))
        for mine in by_speaker.values()
        if len(mine) > 1
    ]
    if len(chosen) < 2:
        return []
    same = [(one, two) for mine in chosen for i, one in enumerate(mine) for two in mine[i + 1 :]]
    different = [
        (one, two)
        for i, mine in enumerate(chosen)
        for theirs in chosen[i + 1 :]
        for one in mine
        for two in theirs
    ]
    number = min(len(same), len(different), DEV_TRIALS // 2)
    trials = [Trial(1, *pair) for pair in source.sample(same, number)]
    trials += [Trial(0, *pair) for pair in source.sample(different, number)]
    source.shuffle(trials)
    return trials


def _present(root: Path, names: Sequence[str]) -> list[Path]:
    return [folder / name for folder in (root, root.parent) for name in names if (folder / name).is_file()]


def _fetch(root: Path, name: str, file: PinnedFile, cache: Path | None, found: str = "") -> Path | None:
    instead = f" ({found})" if found else ""
    missing = f"{root / name} is not there{instead}"
    if labels(root):
        raise UsageError(f"{missing}; delete {root} and make the {' and '.join(labels(root))} corpus again")
    if cache is None:
        return None
    try:
        return obtain(file, cache)
    except UsageError as error:
        raise UsageError(
            f"{missing}, and s3prl's copy could not be had ({error}); download {META}/{name} to {root}"
        ) from error


def _lines(path: Path) -> list[tuple[int, list[str]]]:
    """Number and fields of every line that is not blank; s3prl itself falls over a blank one."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path} ({error}); restore it from {META}") from None
    return [(number, line.split()) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
