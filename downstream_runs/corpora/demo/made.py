"""What the makers of synthetic corpora do alike: they have lines said, and write them beside their lists."""

from __future__ import annotations

import functools
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from numpy.typing import NDArray

from downstream_runs.corpora.audio import SAMPLE_RATE, write_audio
from downstream_runs.corpora.demo.speech import Line, Voice, synthesise
from downstream_runs.corpora.markers import DEMO, begin, finish, is_whole
from downstream_runs.corpora.texts import writing
from upstream_arm.common.files import atomic_write_text

VERSION = 1
"""To be raised with every change of what is said or by whom: older corpora are then made anew."""

SEED = 0
"""Of all that is drawn."""

NOTICE = """This corpus is synthetic: a speech synthesiser (espeak-ng) said {said}.

It has the layout of {layout} and nothing of its speech. It is made to try the whole path from training to a
result file. Numbers measured on it say nothing about an upstream and carry the label "demo". DEMO.json lists
its files; where it is absent only half of the corpus was made, and making it again completes it.
"""


@functools.cache
def data() -> dict[str, Any]:
    """What spoken.yaml has of each corpus: what is said in it, and by whom."""
    found: dict[str, Any] = yaml.safe_load((Path(__file__).parent / "spoken.yaml").read_text("utf-8"))
    return found


def voices(corpus: str) -> Any:
    """The voices of a corpus in spoken.yaml, as `Voice` objects in its mappings and lists."""
    return _voiced(data()[corpus]["voices"])


def _voiced(node: Any) -> Any:
    if isinstance(node, list):
        return [_voiced(one) for one in node]
    return Voice(**node) if "accent" in node else {key: _voiced(one) for key, one in node.items()}


def filled(pattern: str, source: random.Random) -> str:
    """A sentence of the toy language: the pattern with a word of `source`'s choice in each slot."""
    slots = data()["sentences"]["slots"]
    return " ".join(source.choice(slots[word[1:-1]]) if "{" in word else word for word in pattern.split())


def sentences(number: int, patterns: Sequence[str], seed: int = SEED) -> list[str]:
    """`number` different sentences, the patterns taking turns; the same for the same seed."""
    source = random.Random(seed)
    found: dict[str, None] = {}
    while len(found) < number:
        found[filled(patterns[len(found) % len(patterns)], source)] = None
    return list(found)


@dataclass(frozen=True)
class Content:
    """What a corpus is written of.

    waves: samples `[sample]` at `rate` of each file below the root. texts: the other files; or `write` writes
    them, given the root and the number of samples of each wave, and returns their names. facts: for the
    manifest, beside those that tell whether a corpus is this one.
    """

    waves: Mapping[str, NDArray[np.floating[Any]]]
    facts: Mapping[str, Any]
    texts: Mapping[str, str] = field(default_factory=dict)
    write: Callable[[Path, Mapping[str, int]], Sequence[str]] | None = None
    rate: int = SAMPLE_RATE


def spoken(lines: Mapping[str, Line], texts: Mapping[str, str]) -> Content:
    """The files of `lines`, in which these lines are said, and `texts`."""
    waves = dict(zip(lines, synthesise(list(lines.values())), strict=True))
    return Content(waves, {"utterances": len(waves), "seconds": seconds(waves.values())}, texts)


def seconds(waves: Iterable[NDArray[np.floating[Any]]]) -> float:
    """Of all waves at 16 kHz together."""
    return round(sum(len(wave) for wave in waves) / SAMPLE_RATE, 3)


def corpus(
    name: str, said: str, notice: str = NOTICE, **facts: Any
) -> Callable[[Callable[[], Content]], Callable[[Path], Path]]:
    """Turn a function for the content into one that makes the corpus `name` in a folder; returns its root.

    A corpus that is whole, and of `facts`, is left as it is; one that is half made, changed, or of others is
    made again. `said` completes the `notice` in its folder. UsageError if espeak-ng is not installed, if
    the folder holds something else, and if it cannot be written to.
    """
    facts = {"version": VERSION, **facts}

    def maker(content: Callable[[], Content]) -> Callable[[Path], Path]:
        @functools.wraps(content)
        def make(folder: Path) -> Path:
            target = (folder / name).expanduser().absolute()
            if is_whole(target, DEMO, facts):
                return target
            # Spoken before anything is written: without the synthesiser no empty corpus is left behind.
            made = content()
            with writing(target):
                begin(target, DEMO, notice.format(said=said, layout=name))
                lengths = {
                    file: write_audio(target / file, wave, made.rate) for file, wave in made.waves.items()
                }
                for file, text in made.texts.items():
                    atomic_write_text(target / file, text)
                others = made.texts if made.write is None else made.write(target, lengths)
                finish(target, DEMO, {**facts, **made.facts}, [*lengths, *others])
            return target

        return make

    return maker
