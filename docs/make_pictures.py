"""Draw the README's figure, the report's own, light and dark: `python docs/make_pictures.py`."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from reports.figures import pareto

HERE = Path(__file__).resolve().parent / "images"
#: Colours of the light figure -> those on a dark page. Letters have none of their own, and take the root's.
DARK = {
    "#000000": "#e6edf3",
    "#ffffff": "#0d1117",
    "#e3e6ea": "#30363d",
    "#444444": "#adbac7",
    "#0072b2": "#58a6ff",
}


def dark(svg: str) -> str:
    """The same figure for a dark page."""
    for light, other in DARK.items():
        svg = svg.replace(light, other)
    return svg.replace("<svg ", f'<svg fill="{DARK["#000000"]}" ', 1)


def main() -> None:
    """Write both files."""
    picture = pareto.parameters(())
    light = picture.svg.decode()
    HERE.mkdir(exist_ok=True)
    for name, svg in (("light", light), ("dark", dark(light))):
        path = HERE / f"{picture.key}-{name}.svg"
        path.write_text(svg, encoding="utf-8")
        print(path)


if __name__ == "__main__":
    main()
