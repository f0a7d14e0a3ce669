"""What the names of test items become when their files are read: hashes, equal for equal names."""

from __future__ import annotations

import pytest

from reports.item_files import TRIAL_COLUMNS, _table

NAMES = ["s01 d-1", "s01 d-2", "", "a", "ab", "twelve bytes", "exactly sixteen.", "ü", "s01 d-10", "s01 d-1 "]
ROWS = [f"{name},g{place % 2},1,0.{place}" for place, name in enumerate(NAMES)]
HEAD = "item,group,label,score"


def hashes(text: str, columns: tuple[str, ...] = TRIAL_COLUMNS[1:]) -> list[int]:
    return list(_table(text.encode(), columns)["item"])


def test_equal_names_have_equal_hashes_however_the_file_is_written() -> None:
    first = hashes("\n".join([HEAD, *ROWS]) + "\n")
    assert len(set(first)) == len(NAMES)
    assert hashes("\n".join([HEAD, *ROWS])) == first  # no line end behind the last row
    assert hashes("\r\n".join([HEAD, *ROWS]) + "\r\n") == first
    assert hashes("\n".join([HEAD, *ROWS]).replace(",g1", ',"g1"')) == first
    last = [f"{row.split(',', 1)[1]},{row.split(',', 1)[0]}" for row in ROWS]
    for end in ("", "\n", "\r\n"):
        assert hashes((end or "\n").join(["group,label,score,item", *last]) + end) == first


def test_a_hash_is_of_the_name_alone() -> None:
    alone = [hashes(f"{HEAD}\n{row}\n")[0] for row in ROWS]
    assert alone == hashes("\n".join([HEAD, *ROWS]) + "\n")


def test_a_name_with_a_comma_is_one_cell() -> None:
    assert hashes(f'{HEAD}\n"a,b",g,1,0.5\n"a",g,1,0.5\n')[1] == hashes(f"{HEAD}\na,g,1,0.5\n")[0]


def test_digits_of_long_names_do_not_cancel_each_other_out() -> None:
    rows = [f"s00000000000{one:06d} {other:05d},g,1,0.5" for one in range(100) for other in range(300)]
    assert len(set(hashes("\n".join([HEAD, *rows])))) == len(rows)


@pytest.mark.parametrize(
    "rows", [["a,g,1,0.5,0.5", "b,g,1"], ["a,g,1,0.5", "b,g,1,0.5,7"], ["a,g,1,0.5", "", "b,g,1,0.5"]]
)
def test_rows_of_different_numbers_of_cells_are_refused(rows: list[str]) -> None:
    with pytest.raises(ValueError):
        hashes("\n".join([HEAD, *rows]) + "\n")
