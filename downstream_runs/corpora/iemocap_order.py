"""The order of the utterances in s3prl's IEMOCAP metadata, which decides what its random split makes dev.

s3prl's metadata (`downstream/emotion/meta_data`, in its git tree only) have the dialogues in the order in
which its authors' file system listed them, and the utterances of a dialogue by name. With that order the
metadata can be derived from IEMOCAP's own labels to the byte, which the git blob ids of s3prl's files show.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType


def _names(session: int, dialogues: str) -> tuple[str, ...]:
    return tuple(f"Ses0{session}{name}" for name in dialogues.split())


DIALOGUES: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        1: _names(
            1,
            "F_script02_2 F_impro07 F_script03_2 M_impro02 F_impro06 F_script01_3 M_script02_1 "
            "M_impro04 M_script01_1 F_impro01 F_script01_1 F_impro05 M_script01_2 M_script02_2 "
            "F_script02_1 M_script03_2 M_impro05 M_impro01 F_impro03 M_impro03 M_script01_3 "
            "F_script03_1 M_impro07 F_impro02 M_impro06 M_script03_1 F_impro04 F_script01_2",
        ),
        2: _names(
            2,
            "F_impro03 F_script03_2 M_script03_2 M_impro04 M_impro05 F_script02_1 F_script02_2 "
            "M_script02_2 M_impro08 M_impro07 F_script03_1 M_script01_3 F_impro06 F_impro01 F_impro04 "
            "F_script01_2 M_impro02 M_impro03 F_script01_3 F_impro05 F_script01_1 M_impro06 "
            "M_script02_1 F_impro08 F_impro02 M_script01_1 M_impro01 M_script01_2 M_script03_1 "
            "F_impro07",
        ),
        3: _names(
            3,
            "F_script02_1 M_impro04 M_script03_2 M_impro05b M_impro02 F_impro05 M_script02_2 "
            "M_impro08b F_impro07 M_script01_1 M_script02_1 M_impro05a M_impro07 M_script03_1 "
            "F_script03_1 M_impro01 F_script01_1 F_impro04 F_script02_2 F_script01_3 M_script01_3 "
            "M_impro06 F_impro01 F_impro03 M_script01_2 M_impro08a M_impro03 F_script03_2 "
            "F_script01_2 F_impro08 F_impro06 F_impro02",
        ),
        4: _names(
            4,
            "F_script03_1 F_impro01 M_script02_1 M_script02_2 F_script01_3 M_impro05 F_script02_1 "
            "F_impro07 F_impro02 F_impro03 M_impro02 F_script01_1 M_script01_1 F_script03_2 M_impro06 "
            "F_script02_2 M_impro01 M_impro04 F_impro05 F_script01_2 F_impro08 F_impro06 M_impro03 "
            "M_script01_3 M_script01_2 M_script03_1 M_script03_2 M_impro07 F_impro04 M_impro08",
        ),
        5: _names(
            5,
            "M_script01_3 F_impro04 M_script02_2 F_script01_3 F_script01_2 F_impro06 M_impro06 "
            "M_impro01 F_script03_1 F_impro07 F_script03_2 M_script01_1b F_impro05 M_script01_1 "
            "F_impro08 M_script03_1 M_impro05 F_impro01 F_impro02 M_impro03 F_script01_1 M_impro04 "
            "M_script02_1 F_impro03 F_script02_2 F_script02_1 M_script03_2 M_impro08 M_impro02 "
            "M_impro07 M_script01_2",
        ),
    }
)
"""Read off s3prl's metadata at commit ec8064b5 (version 0.4.18): 28, 30, 32, 30 and 31 dialogues."""

TRAIN_BLOBS: Mapping[int, str] = MappingProxyType(
    {
        1: "1d05601f573dfc3a712a6f80f250ba9c494e3a8d",
        2: "f97d23207ec1e8f363b0f3153a6cfe4cfc38a131",
        3: "45a50125cfbd7e914c0e8b4d0c7413a09387200e",
        4: "676bd87e58779807c81fadab54b4d126d1eb587e",
        5: "1433558fe10418c6836e76092e0208dcbc1b4eb5",
    }
)
"""Git blob ids of `Session<k>/train_meta_data.json` in that commit."""

TEST_BLOBS: Mapping[int, str] = MappingProxyType(
    {
        1: "7087ef4ce323d761305bbace2535a3d97c26971f",
        2: "fd82a216934089e48c76e12c1d80f72ee4c9845b",
        3: "2d021d64cb614cb1b3bd1987536907ea36a55117",
        4: "d6a917dc46fafe06720b2f4c403e83cf38f9e778",
        5: "8127b8cef20cf3708aabf44db955fe44bfd5f7da",
    }
)
"""Git blob ids of `Session<k>/test_meta_data.json` in that commit."""
