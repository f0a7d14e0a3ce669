"""What macOS has not: the code does without it. The names are taken away here, on Linux."""

from __future__ import annotations

import os
import re
import socket
from pathlib import Path

import pytest

from upstream_arm.common import processes

CHECKOUT = Path(__file__).resolve().parents[2]
# Calls and places of Linux, and the one file that may have each, with another way beside it.
OF_LINUX = {
    r"sched_getaffinity": {"upstream_arm/common/processes.py"},
    r"/proc/|/sys/|/dev/shm": {"downstream_runs/upstreams/efficiency.py"},
    r"memfd_create|O_TMPFILE|\bsendfile\b|epoll|eventfd|inotify|pidfd": set(),
}


@pytest.mark.parametrize("pattern", OF_LINUX)
def test_no_other_code_is_of_linux_alone(pattern: str) -> None:
    packages = ("downstream_runs", "reports", "upstream_arm")
    files = [file for package in packages for file in (CHECKOUT / package).rglob("*.py")]
    assert len(files) > 100
    found = {str(file.relative_to(CHECKOUT)) for file in files if re.search(pattern, file.read_text())}
    assert found <= OF_LINUX[pattern]


def test_cores_where_no_affinity_is_known(monkeypatch: pytest.MonkeyPatch) -> None:
    assert processes.cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert processes.cores() == os.cpu_count()


def test_the_loopback_is_found_by_its_name() -> None:
    # What `engine.distributed` looks for among them.
    assert {name for _, name in socket.if_nameindex()} & {"lo", "lo0"}
