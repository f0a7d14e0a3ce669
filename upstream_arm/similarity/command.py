"""How alike the attention maps of a model are across layers and heads, and which reuse they suggest."""

from __future__ import annotations

import argparse
import itertools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from upstream_arm.common.arguments import between
from upstream_arm.common.files import atomic_path, atomic_write_csv
from upstream_arm.common.words import columns

if TYPE_CHECKING:
    from upstream_arm.similarity.maps import Model
    from upstream_arm.similarity.measures import Likeness, Pattern

SECONDS = 8
"""Of an utterance that are taken at most: maps grow with the square of its frames."""

LAYERS, HEADS, PATTERNS, FIGURE = "layers.csv", "heads.csv", "patterns.csv", "similarity.png"
NOTE = "likeness of maps is no quality: what a student loses by a pattern, only its training tells"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add = parser.add_argument
    add(
        "model",
        metavar="TEACHER_OR_STUDENT",
        help="a student's file or the folder of a distillation; or a teacher as distill --teacher takes it: "
        "the folder or Hugging Face name of a speech encoder of transformers, random:hubert",
    )
    add("--audio", required=True, type=Path, metavar="DIR", help="folder of flac or wav files of speech")
    add(
        "--utterances",
        type=between(1, 10_000),
        default=16,
        metavar="N",
        help=f"how many, spread over DIR, of each {SECONDS} s at most (default: %(default)s)",
    )
    add("--to", type=Path, default=Path("similarity"), metavar="DIR", help="default: %(default)s")


def run(options: argparse.Namespace) -> int:
    """Measure, write tables and the heat map, and print what they say."""
    from upstream_arm.similarity import maps, measures

    model = maps.load(options.model)
    labels, wavs = maps.speech(options.audio, options.utterances, SECONDS)
    likeness = measures.measured(model.maps(wav) for wav in wavs)
    found = measures.suggested(likeness)
    own = measures.pattern(likeness, model.config.reuse_pattern) if model.config is not None else None
    if own is not None and model.config is not None and model.config.repeats:
        own = None  # its layers are runs of blocks
    write(options.to, likeness, found)
    said = [*model.labels, *labels]
    draw(options.to / FIGURE, likeness, title(model, likeness, said))
    print(text(model, likeness, found, own, said))
    print(f"\nwritten to {options.to}: {LAYERS}, {HEADS}, {PATTERNS}, {FIGURE}")
    return 0


def title(model: Model, likeness: Likeness, labels: list[str]) -> str:
    """What was measured on what."""
    layers, heads = likeness.cosine.shape[:2]
    marked = f" [{', '.join(labels)}]" if labels else ""
    return f"{model.name}{marked}: {layers} layers of {heads} heads, {likeness.utterances} utterances"


def write(folder: Path, likeness: Likeness, patterns: list[Pattern]) -> None:
    """The three tables; layers and heads are counted from 1."""
    layers, heads = likeness.cosine.shape[:2]
    both = likeness.cosine, likeness.divergence
    first: list[tuple[object, ...]] = [("layer", "other", "cosine", "jensen_shannon_bits")]
    means = [likeness.of_layers(values) for values in both]
    for layer, other in itertools.product(range(layers), repeat=2):
        first.append((layer + 1, other + 1, *(f"{float(one[layer, other]):.6f}" for one in means)))
    second: list[tuple[object, ...]] = [("layer", "head", "other_layer", "other_head", *first[0][2:])]
    for place in itertools.product(range(layers), range(heads), range(layers), range(heads)):
        second.append((*(number + 1 for number in place), *(f"{float(one[place]):.6f}" for one in both)))
    third: list[tuple[object, ...]] = [
        ("computing_layers", "pattern", "part_of_attention_macs", "cosine", "jensen_shannon_bits")
    ]
    third += [(sum(one.computes), str(one), f"{one.attention_macs:.4f}", *_numbers(one)) for one in patterns]
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows in ((LAYERS, first), (HEADS, second), (PATTERNS, third)):
        atomic_write_csv(folder / name, rows)


def _numbers(one: Pattern) -> tuple[str, str]:
    values = (one.cosine, one.divergence)
    return tuple("" if value is None else f"{value:.4f}" for value in values)  # type: ignore[return-value]


def text(
    model: Model, likeness: Likeness, patterns: list[Pattern], own: Pattern | None, labels: list[str]
) -> str:
    """The patterns, and that of the student itself."""
    rows = [["computing", "pattern", "attention MACs", "cosine", "JSD (bits)"]]
    rows += [
        [str(sum(one.computes)), str(one), f"{one.attention_macs:.0%}", *(n or "-" for n in _numbers(one))]
        for one in patterns
    ]
    lines = [title(model, likeness, labels), "", *columns(rows)]
    if own is not None and not all(own.computes):
        cosine, divergence = _numbers(own)
        lines.append(
            f"\nthe student's own pattern is {own}: of its reused maps and their sources the cosine is "
            f"{cosine}, the divergence {divergence} bits"
        )
    return "\n".join([*lines, "", "C computes its map, r reuses the last one before it", NOTE])


def draw(path: Path, likeness: Likeness, heading: str) -> None:
    """The heat map: both measures between layers, and below between all heads, layer by layer."""
    from matplotlib.figure import Figure

    layers, heads = likeness.cosine.shape[:2]
    drawing = Figure(figsize=(9, 8.4), layout="constrained", dpi=130)
    panels: Any = drawing.subplots(2, 2)
    for column, (name, values, colours) in enumerate(
        (
            ("cosine", likeness.cosine, "viridis"),
            ("Jensen-Shannon divergence (bits)", likeness.divergence, "viridis_r"),
        )
    ):
        size = layers * heads
        for axes, shown, what in (
            (panels[0, column], likeness.of_layers(values), "layers, head by head"),
            (panels[1, column], values.reshape(size, size), "all heads"),
        ):
            image = axes.imshow(shown.numpy(), vmin=0, vmax=1, cmap=colours)
            axes.set_title(f"{name}: {what}", fontsize=9)
            drawing.colorbar(image, ax=axes, shrink=0.85)
        every = max(layers // 12, 1)
        ticks = range(0, layers, every)
        panels[0, column].set_xticks(ticks, [n + 1 for n in ticks])
        panels[0, column].set_yticks(ticks, [n + 1 for n in ticks])
        middles = [n * heads + (heads - 1) / 2 for n in ticks]
        panels[1, column].set_xticks(middles, [n + 1 for n in ticks])
        panels[1, column].set_yticks(middles, [n + 1 for n in ticks])
        for axes in panels[:, column]:
            axes.set_xlabel("layer")
            axes.set_ylabel("layer")
        for edge in range(1, layers):
            panels[1, column].axhline(edge * heads - 0.5, color="white", linewidth=0.5)
            panels[1, column].axvline(edge * heads - 0.5, color="white", linewidth=0.5)
    drawing.suptitle(heading, fontsize=10)
    with atomic_path(path) as temporary:
        drawing.savefig(temporary, format="png")
