"""The paper's Table 4 as a figure: masking ratios."""

from __future__ import annotations

from reports import published
from reports.figures import style
from reports.figures.style import Picture
from reports.tables.ablations import COLUMNS

#: Where the ratio that grows from 0.4 to 0.8 stands: behind the fixed ones.
SCHEDULE = 1.0


def draw() -> Picture:
    """Four panels, one line for each amount of training speech."""
    rows = published.ablation(4)
    models = list(dict.fromkeys(row["model"] for row in rows))
    with style.canvas(style.COLUMN, 3.1) as figure:
        for number, column in enumerate(COLUMNS):
            axes = figure.add_axes((0.11 + 0.48 * (number % 2), 0.56 if number < 2 else 0.1, 0.38, 0.3))
            for index, model in enumerate(models):
                mine = [row for row in rows if row["model"] == model]
                fixed = [row for row in mine if row["mask_ratio"].replace(".", "").isdigit()]
                style_of = {"color": style.COLOURS[index], "marker": style.MARKERS[index], "markersize": 4}
                axes.plot(
                    [float(row["mask_ratio"]) for row in fixed],
                    [float(row[column.key]) for row in fixed],
                    label=model if number == 0 else None,
                    **style_of,  # type: ignore[arg-type]
                )
                for row in mine:
                    if row not in fixed:
                        axes.plot([SCHEDULE], [float(row[column.key])], markerfacecolor="white", **style_of)  # type: ignore[arg-type]
            axes.set_xticks([0.4, 0.6, 0.8, SCHEDULE], ["0.4", "0.6", "0.8", "grows"])
            axes.set_xlim(0.33, 1.07)
            axes.margins(y=0.15)
            axes.set_title(column.header, loc="left", fontsize=7.5)
            style.plain_grid(axes)
        figure.legend(loc="upper center", ncols=2)
        return style.finish(
            figure,
            "mask_ratio",
            "Masking ratios (published, arXiv 2305.11685 Table 4). Hollow: the ratio grows linearly from "
            "0.4 to 0.8 "
            "during training.",
        )
