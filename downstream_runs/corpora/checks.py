"""The one way in which a corpus is found, listed, held against the official one, and prepared.

A corpus's module declares a `CheckedCorpus`: where its root lies, how many items the official one has, how
its folders and lists are read into a `Listing`, and what s3prl must be written. It is judged here.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar

from downstream_runs.core.corpus import Corpus, PreparedData, Problem, Split, Standing
from downstream_runs.core.results import PARTIAL, PARTIAL_TEXT
from downstream_runs.corpora import audio, folders, markers, verified
from downstream_runs.corpora.audio import AudioFile
from upstream_arm import listings
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.stages import stage

Content = TypeVar("Content")

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Request:
    """What is asked of a corpus: the folder that the user names, the root that was found in it, and the run's
    configuration. `cache`: None where nothing may be written. `partial`: whether files may be missing."""

    data: Path
    root: Path
    cache: Path | None
    config: Mapping[str, Any]
    partial: bool


@dataclass(frozen=True)
class Listing(Generic[Content]):
    """What a corpus's folders and lists hold; nothing was decoded.

    audio: the files of each part, in the order that the corpus decides. content: what the corpus's own module
    needs of it. counts: items of each part that the official corpus is counted by, where not the files.
    shortest: samples that a file of a part must have. roots: all folders that may carry the marks of a made
    corpus. labels, deviations: what sets it apart beside counts and marks. again: what to do for the official
    counts, where that is not to get the corpus again.
    """

    root: Path
    audio: Mapping[str, Sequence[AudioFile]]
    content: Content
    problems: Sequence[str] = ()
    counts: Mapping[str, int] = field(default_factory=dict)
    shortest: Mapping[str, int] = field(default_factory=dict)
    roots: tuple[Path, ...] = ()
    labels: Sequence[str] = ()
    deviations: Sequence[str] = ()
    again: str = ""

    def __post_init__(self) -> None:
        if not self.counts:
            counts = {part: len(files) for part, files in self.audio.items()}
            object.__setattr__(self, "counts", counts)

    @property
    def files(self) -> list[AudioFile]:
        """All audio."""
        return [file for files in self.audio.values() for file in files]

    @property
    def by_name(self) -> dict[str, AudioFile]:
        """All audio by its names."""
        return {file.name: file for file in self.files}

    def prepared(self, sha256: str, settings: Mapping[str, object], **others: Any) -> PreparedData:
        """What `written` gives: the hash, what s3prl must be told, and what differs from the listing."""
        return PreparedData(
            **{"root": self.root, "utterances": self.counts, **others},
            sha256=sha256,
            settings={
                key: value if isinstance(value, list) else str(value) for key, value in settings.items()
            },
        )


@dataclass(frozen=True)
class CheckedCorpus(Corpus):
    """A corpus whose files and lists are checked before s3prl reads them.

    title: what messages call it. get: how one gets it, as the beginning of a sentence. places: the folders in
    the user's that may be its root, which may also be that folder itself; a root has a file or folder of one
    of the patterns in `holds`, and `sign` says so in words. instead(data): a sentence on what lies there
    instead, or nothing.
    official: items of each part of the whole corpus; items: what they are, where not utterances.
    listed(request): the listing, UsageError for lists that cannot be read. written(listing, cache, config):
    what s3prl needs.
    decoded: how many files of each part `prepare` decodes; 0 where `written` opens all. opened: whether
    sizes are checked and files decoded here at all. long: whether `written` takes so long that `examine`
    leaves it out.
    """

    title: str
    get: str
    places: Sequence[str]
    holds: Sequence[str]
    sign: str
    official: Mapping[str, int]
    listed: Callable[[Request], Listing[Any]]
    written: Callable[[Listing[Any], Path, Mapping[str, Any]], PreparedData]
    items: Mapping[str, str] = field(default_factory=dict)
    instead: Callable[[Path], str] | None = None
    decoded: int = 0
    opened: bool = True
    long: bool = False

    def look(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Standing:
        """See `Corpus`."""
        listing = self.listing(data, cache, config, partial)
        with stage(f"checking {self.title}"):
            return self.standing(listing, partial, cache=cache)

    def prepare(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """See `Corpus`."""
        return self._prepared(self.written, data, cache, config, partial)

    def examine(
        self, data: Path, cache: Path, config: Mapping[str, Any], partial: bool = False
    ) -> PreparedData:
        """See `Corpus`."""
        written = _nothing_written if self.long else self.written
        return self._prepared(written, data, cache, config, partial)

    def _prepared(
        self,
        written: Callable[[Listing[Any], Path, Mapping[str, Any]], PreparedData],
        data: Path,
        cache: Path,
        config: Mapping[str, Any],
        partial: bool,
    ) -> PreparedData:
        listing = self.listing(data, cache, config, partial)
        with stage(f"checking {self.title}"):
            standing = self.standing(listing, partial, self.decoded, cache)
        with stage(f"preparing {self.title}"):
            prepared = written(listing, cache, config)
        facts = standing.and_also(prepared.deviations).facts
        paths = tuple(file.path for file in listing.files)
        return dataclasses.replace(prepared, audio=paths, **facts)

    def listing(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Listing[Any]:
        """What the corpus's folders and lists hold, not held against anything; the rest as for `look`."""
        with stage(f"listing {self.title}"):
            return self.listed(self.request(data, cache, config, partial))

    def request(
        self, data: Path, cache: Path | None, config: Mapping[str, Any], partial: bool = False
    ) -> Request:
        """Find the root in `data`; UsageError where there is none, and for a corpus that is half made."""
        listings.look_again()
        root = self.find(data).resolve()
        for label in markers.labels(root):
            if markers.read_manifest(root, label) is None:
                raise UsageError(
                    f"{root} is a half made {label} corpus: it has no readable {label.upper()}.json; "
                    f"{self._again(root)}"
                )
        return Request(data, root, cache, config, partial and not markers.labels(root))

    def find(self, data: Path) -> Path:
        """The corpus's root in `data`; UsageError that says what was looked for and how to get it."""
        data = folders.place(data)
        for root in (*(data / place for place in self.places), data):
            holds = any(True for pattern in self.holds for _ in root.glob(pattern))
            if holds or (root != data and markers.labels(root)):
                return root
        if self.instead is not None and (other := self.instead(data)):
            raise UsageError(other)
        looked = ", ".join(str(data / place) for place in self.places)
        found = "that folder does not exist" if not data.is_dir() else "none has it"
        raise UsageError(
            f"no {self.title} in {data}: looked for {self.sign} in {looked} and in {data}, and {found}; "
            f"{self.get} there, or have {PROGRAM} data do it, or try the whole path on "
            "synthetic speech with --demo"
        )

    def standing(
        self, listing: Listing[Any], partial: bool, decoded: int = 0, cache: Path | None = None
    ) -> Standing:
        """What the listed corpus is beside the official one; UsageError for one that cannot be used.

        `decoded` files of each part are read to their ends, but those that the manifest in `cache` trusts;
        what that knows otherwise is decoded anew. A made corpus must have the audio that it was made with,
        any other the official counts, unless `partial` allows less.
        """
        roots = listing.roots or (listing.root,)
        made = any(markers.labels(root) for root in roots)
        problems = [*_made_otherwise(roots, [file.path for file in listing.files]), *listing.problems]
        manifest, changed, damage = verified.renewed(listing.root, listing.files, cache)
        problems += damage
        if self.opened:
            again = {file.path for file in changed}
            for part, files in listing.audio.items():
                shortest = listing.shortest.get(part, audio.SHORTEST)
                problems += audio.problems(files, decoded, part, shortest, manifest.trusts, again)
        problems = list(dict.fromkeys(problems))  # damage that was found both ways
        advice = self._again(*roots)
        if made or not all(listing.counts.values()):
            require_none(problems, advice)
        found = Standing() if made else self._beside_official(listing, partial)
        require_none(problems, advice)
        for root in roots:
            found = found.and_also(markers.deviations(root), markers.labels(root))
        return found.and_also(listing.deviations, listing.labels)

    def _beside_official(self, listing: Listing[Any], partial: bool) -> Standing:
        counts = {
            part: (number, f"{number:,} of {self.official[part]:,} {self.items.get(part, 'utterances')}")
            for part, number in listing.counts.items()
            if part in self.official
        }
        if all(number == self.official[part] for part, (number, _) in counts.items()):
            return Standing()
        texts = {part: text for part, (_, text) in counts.items()}
        listed = ", ".join(f"{part} has {text}" for part, text in texts.items())
        if not partial:
            again = listing.again or f"{self.get} again"
            raise UsageError(
                f"{listing.root} is not the whole official corpus: {listed}; {again}, or add "
                f"{markers.OPTION} to use what is there, with results labelled {PARTIAL}"
            )
        return Standing((PARTIAL,), (PARTIAL_TEXT + listed,), texts)

    def _again(self, *roots: Path) -> str:
        labels = dict.fromkeys(label for root in roots for label in markers.labels(root))
        if labels:
            named = " and ".join(map(str, roots))
            return f"delete {named} and make the {' and '.join(labels)} corpus again"
        return f"{self.get} again, or try the path first with --demo"


def _nothing_written(listing: Listing[Any], cache: Path, config: Mapping[str, Any]) -> PreparedData:
    return listing.prepared("", {})


def facts(name: str) -> dict[str, Any]:
    """What corpora.json says of a corpus, as arguments of `CheckedCorpus`.

    There, `like` names a corpus of which all else is taken, `source` says where numbers are from, and
    `utterances` of each split (SD, QbE: recordings) have `hours` of the split or mean `seconds` of each.
    """
    own = _all_facts()[name]
    said = {**_all_facts().get(own.get("like", ""), {}), **own}
    hours, seconds = said.pop("hours", {}), said.pop("seconds", 0.0)
    said["demo"] = f"{__package__}.demo.{said['demo']}"
    said["splits"] = {
        split: Split(number, hours[split]) if split in hours else Split.of_mean(number, seconds)
        for split, number in said.pop("utterances").items()
    }
    return {key: value for key, value in said.items() if key not in ("like", "source")}


@functools.cache
def _all_facts() -> Mapping[str, Mapping[str, Any]]:
    found: Mapping[str, Mapping[str, Any]] = json.loads((_FOLDER / "corpora.json").read_text("utf-8"))
    return found


def require_none(problems: Sequence[str], advice: str) -> None:
    """Raise UsageError with the first problem, the number of others, and what to do, if there are any.

    A `Problem` is mended by its own remedy; `advice` is for the whole corpus.
    """
    if problems:
        others = len(problems) - 1
        more = f" (and {others:,} more {'problem' if others == 1 else 'problems'})" if others else ""
        remedy = getattr(problems[0], "remedy", "")
        raise UsageError(f"{problems[0]}{more}; {remedy + ', or ' if remedy else ''}{advice}")


def _made_otherwise(roots: Sequence[Path], files: Sequence[Path]) -> list[Problem]:
    """Where a made corpus has other audio than it was made with."""
    problems = []
    for root in roots:
        for label in markers.labels(root):
            made_with = (markers.read_manifest(root, label) or {}).get("files")
            names = made_with if isinstance(made_with, dict) else {}
            listed = {name for name in names if name.endswith(folders.AUDIO)}
            used = {os.path.relpath(os.path.normpath(path), root) for path in files}
            missing = sorted(name for name in listed if not folders.is_file(root / name))
            added = sorted(name for name in used - listed if not name.startswith(".."))
            if missing or added:
                which = (
                    f"{missing[0]} is not there" if missing else f"{added[0]} is not in {label.upper()}.json"
                )
                there = len(listed) - len(missing) + len(added)
                problems.append(Problem(f"{root} has {there:,} of {len(listed):,} audio files: {which}"))
    return problems
