"""How every figure looks, and how it becomes bytes that are the same each time.

Colours are Okabe and Ito's, which colour-blind readers can tell apart; every colour has its own marker too.
Figures are as wide as a paper's column (3.4 inches), with letters of 6 points and more.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLUMN = 3.4
#: Letters of a line of text across a column.
WIDEST = 50
# Okabe and Ito 2008, without its yellow, which is too light for a line on white.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P", "X")
GREY = "#8a8f96"
#: How the points of a figure without lines look.
DOTS: Any = {"linestyle": "none", "markeredgecolor": "white", "markeredgewidth": 0.4}
_RC: Any = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 7.5,
    "axes.titlesize": 7.5,
    "axes.titlelocation": "left",
    "axes.labelsize": 7.5,
    "xtick.labelsize": 7,
    "ytick.labelsize": 7,
    "legend.fontsize": 7,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": "#e3e6ea",
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "legend.frameon": False,
    "lines.linewidth": 1.2,
    # The names of elements in an SVG are random without a salt.
    "svg.hashsalt": "superb",
    "svg.fonttype": "path",
}


@dataclass(frozen=True)
class Picture:
    """A finished figure: its file name without ending, its caption, and both files."""

    key: str
    caption: str
    svg: bytes
    png: bytes


@contextmanager
def canvas(height: float) -> Iterator[Figure]:
    """An empty figure as wide as a column and of this height in inches, with the style in force meanwhile."""
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with matplotlib.rc_context(_RC):
        figure = Figure(figsize=(COLUMN, height), layout="constrained")
        FigureCanvasAgg(figure)
        yield figure


def panels(
    key: str,
    caption: str,
    titles: Sequence[str],
    names: Sequence[str],
    draw: Callable[[Axes, int], None],
    height: float = 1.25,
) -> Picture:
    """A figure of panels, one for each title and two in a line, under a legend of what has these names.

    draw: fills the panel of a number; height: of a panel with its title and ticks, in inches.
    """
    lines = -(-len(titles) // 2)
    with canvas(lines * height + 0.17 * len(names) + 0.12) as figure:
        for place, title in enumerate(titles):
            axes = figure.add_subplot(lines, min(len(titles), 2), place + 1)
            axes.set_title(title)
            plain_grid(axes)
            draw(axes, place)
        lines_by_name = {str(one.get_label()): one for axes in figure.axes for one in axes.lines}
        shown = [name for name in names if name in lines_by_name]
        if shown:
            handles, texts = [lines_by_name[name] for name in shown], [short(name, WIDEST) for name in shown]
            figure.legend(handles, texts, loc="outside upper left", ncols=1)
        return finish(figure, key, caption)


def finish(figure: Figure, key: str, caption: str) -> Picture:
    """Both files of a figure, without dates; call it inside `canvas`."""
    settle(figure)
    files = []
    for kind, metadata in (("svg", {"Date": None, "Creator": None}), ("png", {"Software": None})):
        data = io.BytesIO()
        figure.savefig(data, format=kind, dpi=220, metadata=metadata)
        files.append(data.getvalue())
    return Picture(key, caption, files[0], files[1])


def settle(figure: Figure) -> None:
    """Give everything its final place, once for both files."""
    engine = figure.get_layout_engine()
    if engine is not None:
        engine.execute(figure)
        figure.set_layout_engine(None)  # "none" leaves one that has every file drawn twice


def marked(number: int) -> dict[str, Any]:
    """The colour and the marker of a line or of points."""
    return {"color": COLOURS[number % len(COLOURS)], "marker": MARKERS[number % len(MARKERS)]}


def short(name: str, length: int = 28) -> str:
    """A name that fits beside an axis: what is too long loses its middle, as labels and hours stand last."""
    if len(name) <= length:
        return name
    return f"{name[: length // 2]}…{name[len(name) - (length - 1) // 2 :]}"


def not_drawn(number: int) -> str:
    """A sentence of a caption about systems that a figure has no room for."""
    return f" {number} more rows are not drawn." if number > 0 else ""


def plain_grid(axes: Axes) -> None:
    """Light lines behind the data, few of them."""
    axes.grid(True)
    axes.tick_params(length=2)
