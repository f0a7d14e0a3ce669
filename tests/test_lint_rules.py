"""No file makes an exception from ruff's rules against dangerous calls, and what ruff has no rule for."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[1]
DOWNLOADS = {
    "upstream_arm/common/transfer.py",
    "upstream_arm/download.py",  # by huggingface_hub, which checks both; other addresses by transfer
    "upstream_arm/encoders/hub.py",  # by huggingface_hub, which checks both
}


def sources() -> Iterator[Path]:
    for package in ("upstream_arm", "downstream_runs", "reports", "benchmarks"):
        yield from (CHECKOUT / package).rglob("*.py")


def test_the_packages_make_no_exception_from_the_rules() -> None:
    found = [
        f"{path}:{number}"
        for path in sources()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if re.search(r"noqa(?!:)|noqa:.*\bS\d", line)
    ]
    assert found == []


def calls() -> Iterator[tuple[str, str]]:
    """Every call of the packages: file below the checkout, and what is called."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call):
                yield str(path.relative_to(CHECKOUT)), ast.unparse(node.func)


def test_no_archive_is_unpacked() -> None:
    # A member's name could lead out of the folder; what reads archives reads their members in memory.
    names = ("extract", "extractall", "unpack_archive")
    found = [f"{path}: {name}" for path, name in calls() if name.rpartition(".")[2] in names]
    assert found == []


def test_downloads_are_in_the_places_that_check_address_and_hash() -> None:
    names = ("urlopen", "urlretrieve", "hf_hub_download", "snapshot_download", "build_opener")
    found = {path for path, name in calls() if name.rpartition(".")[2] in names}
    assert found == DOWNLOADS
    for path in found:
        assert "http://" not in (CHECKOUT / path).read_text(encoding="utf-8")


def test_torch_load_reads_weights_only() -> None:
    found = []
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and ast.unparse(node.func) == "torch.load":
                safe = [key for key in node.keywords if key.arg == "weights_only"]
                if [ast.unparse(key.value) for key in safe] != ["True"]:
                    found.append(f"{path}:{node.lineno}")
    assert found == []
