"""The leaderboard's displayed rows beside the same scores computed here."""

from __future__ import annotations

from reports import published, scores
from reports.tables.model import Block, Head, Table, number, printed, text


def table() -> Table:
    """The 20 displayed rows in their order."""
    board, parameters = published.board(), published.board_parameters()
    lines = []
    for row in published.displayed():
        values = board.systems[row["model"]]
        count = parameters.get(row["model"])
        lines.append(
            (
                text(row["model"]),
                number(None if count is None else count / 1e6, 2),
                printed(row["score"]),
                number(scores.superb_s(values, published.reference_points()), 0),
                printed(row["rank"]),
                number(scores.superb_r(values, board), 2),
                number(scores.overall(values), 1),
            )
        )
    heads = (
        Head("Model"),
        Head("Params (M)"),
        Head("Score ↑", "As displayed"),
        Head("superb_s ↑", "Computed here"),
        Head("Rank ↑", "As displayed"),
        Head("superb_r ↑", "Computed here"),
        Head("Overall ↑", "Computed here"),
    )
    notes = (
        f"superb_r is computed against the board {board.name}; higher is better. Another board gives other "
        f"ranks.",
    )
    return Table("leaderboard", "The SUPERB leaderboard", heads, (Block("Published", tuple(lines)),), notes)
