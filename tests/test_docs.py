"""README and docs: links lead somewhere, and every command in them is one that the programs take."""

from __future__ import annotations

import argparse
import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import reports.__main__ as reports_main
from downstream_runs import tasks
from downstream_runs.cli import main as superb
from upstream_arm import cli as upstream_cli

ROOT = Path(__file__).resolve().parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
PROGRAMS = {
    "./run_superb.sh": superb.main,
    "python -m downstream_runs": superb.main,
    "python -m reports": reports_main.main,
    "python -m upstream_arm": upstream_cli.main,
}
OTHERS = (
    "pip install",
    "source .superb-env",
    "git clone",
    "head ",
    "s3prl run_downstream.py -m train -u arm_hubert",
)
"""Commands that are not looked at closer."""

README_WORDS = 900


class Parsed(BaseException):
    """Instead of running a command."""


@pytest.fixture(autouse=True)
def parse_only(monkeypatch: pytest.MonkeyPatch) -> None:
    parse = argparse.ArgumentParser.parse_args

    def parse_and_stop(self: Any, *arguments: Any, **options: Any) -> Any:
        raise Parsed(parse(self, *arguments, **options))

    monkeypatch.setattr(argparse.ArgumentParser, "parse_args", parse_and_stop)


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(encoding="utf-8"), re.M | re.S)


def commands() -> Iterator[tuple[str, str]]:
    for page in PAGES:
        for block in blocks(page, "sh"):
            for line in block.replace("\\\n", " ").splitlines():
                if line.strip() and not line.startswith("#"):
                    yield page.name, line


@pytest.mark.parametrize(("page", "line"), list(commands()))
def test_a_command_is_taken(page: str, line: str) -> None:
    words = shlex.split(line, comments=True)
    text = shlex.join(words).replace("'", "")
    if text.startswith(OTHERS):
        return
    if words[0] == "bash" or (words[0] == "python" and words[1] != "-m"):
        assert (ROOT / words[1]).is_file()
        return
    if words[:2] == ["./run_superb.sh", "test"] or words[:3] == ["python", "-m", "build"]:
        return
    program = next(name for name in PROGRAMS if text.startswith(name))
    arguments = words[len(program.split()) :]
    if ">" in arguments:
        arguments = arguments[: arguments.index(">")]
    if "--help" in arguments:
        arguments.remove("--help")
        with pytest.raises(SystemExit):
            PROGRAMS[program]([*arguments, "--help"])
        return
    if arguments[0] == "distill" and "--demo" in arguments:  # which would make the speech first
        arguments[arguments.index("--demo")] = "--data=demo"
    with pytest.raises(Parsed) as parsed:
        PROGRAMS[program](arguments)
    options = vars(parsed.value.args[0])
    asked, own = options.get("task"), options.get("table") or options.get("task_file")
    if isinstance(asked, str) and asked != "all" and not own:
        assert set(asked.split(",")) <= set(tasks.names())


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    found = re.findall(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"", text)
    for link in (one or other for one, other in found):
        if re.match(r"https?://", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        assert target.exists(), link
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.M)
            anchors = [re.sub(r"[^\w\- ]", "", one).lower().replace(" ", "-") for one in headings]
            assert anchor in anchors, link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_python_in_it_compiles(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, page.name, "exec")


def test_every_page_is_listed() -> None:
    listed = (ROOT / "docs" / "README.md").read_text(encoding="utf-8")
    for page in PAGES[1:]:
        assert page.name == "README.md" or f"]({page.name})" in listed, page.name


def test_the_first_page_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= README_WORDS
