"""A corpus as links to where somebody keeps it, in whatever folders: nothing is written there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from downstream_runs.corpora import texts
from downstream_runs.corpora.fetching.sources import Source
from upstream_arm.common.errors import UsageError

DEPTH = 4
"""Folders below the one that is named in which a corpus may lie, such as voxceleb/v1/vox1_dev_wav/wav."""


def link(sources: Sequence[Source], kept: Path, data: Path) -> Iterator[str]:
    """Make the links in `data` to what is found below `kept`; a line on each place.

    UsageError where a link cannot be made. What is in `data` already stays.
    """
    for source in sources:
        for place in (*(archive.place for archive in source.archives), *source.links):
            here = data / place.to
            require_own(here, data)
            if here.exists():
                yield f"{place.to}: there"
                continue
            found = place.found(kept, DEPTH, but=data)
            if found is None:
                yield f"{place.to}: not found below {kept} (looked for {' or '.join(place.holds)})"
                continue
            with texts.writing(here):
                here.unlink(missing_ok=True)  # a link that leads nowhere
                here.parent.mkdir(parents=True, exist_ok=True)
                here.symlink_to(found.resolve(), target_is_directory=True)
            yield f"{place.to} -> {found.resolve()}"


def require_own(place: Path, data: Path) -> None:
    """UsageError where the folder of `place` is a link out of `data`: that is somebody's corpus."""
    folder = next(parent for parent in place.parents if parent.exists())
    if not folder.resolve().is_relative_to(data.resolve()) and data.exists():
        raise UsageError(
            f"{folder} is a link to {folder.resolve()}, and nothing is written into a corpus: remove the "
            "link, or name another folder with --data"
        )
