"""A recipe from its file, in the YAML that needs no care: no tags, no anchors, no aliases, no key twice."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from downstream_runs.core import ranges
from downstream_runs.core.task import Recipe
from downstream_runs.recipes import BLOCKS
from upstream_arm.common import reading
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import near, shown

LARGEST = 100_000
"""Bytes of a file; the project's own have less than 2,000."""

WORDS = ("note", "source")

Node = yaml.nodes.Node


class _PlainLoader(yaml.SafeLoader):
    """What PyYAML holds for safe, less what nobody needs in a recipe: a small file could grow huge by it."""

    def compose_node(self, parent: Node | None, index: int) -> Node | None:
        event = self.peek_event()
        if getattr(event, "anchor", None) or getattr(event, "tag", None):
            raise yaml.constructor.ConstructorError(
                None, None, "anchors, aliases and tags have no place in a recipe", event.start_mark
            )
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        for key, _ in node.value:
            if not isinstance(key.value, str) or keys.count(key.value) > 1:
                wrong = f"the key {shown(key.value)} is there twice, or is no word"
                raise yaml.constructor.ConstructorError(None, None, wrong, key.start_mark)
        return super().construct_mapping(node, deep)


# YAML 1.1 takes 1e-4 for a word, everybody else for a number.
_PlainLoader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?[0-9]+[eE][-+]?[0-9]+$"), list("-+0123456789")
)


def read(path: Path) -> Recipe:
    """The recipe of a file, named by its stem; UsageError for a file that holds none."""
    try:
        text = reading.read_text(path, LARGEST)
        return _recipe(path, _PlainLoader(text).get_single_data())
    except OSError as error:
        reason = f"it cannot be read ({error.strerror})"
    except UsageError as error:
        reason = str(error)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        reason = f"{error.problem or error.context}" + (f", line {mark.line + 1}" if mark else "")
    except RecursionError:
        reason = "its blocks are nested too deeply"
    except (yaml.YAMLError, ValueError, TypeError, LookupError, AttributeError) as error:
        reason = " ".join(str(error).split())[:200]
    raise UsageError(f"{path} is no recipe file: {reason}; {PROGRAM} recipe TASK superb prints one")


def _recipe(path: Path, document: object) -> Recipe:
    if not isinstance(document, dict):
        raise UsageError(f"it holds {shown(document)}, expected blocks of settings")
    known = (*WORDS, "labels", *BLOCKS)
    for key in document:
        if key not in known:
            raise UsageError(
                f"it has a block {shown(key)}{near(str(key)[:200], known)}; its blocks are {', '.join(known)}"
            )
    for key in WORDS:
        word = document.get(key, path.name)
        if not isinstance(word, str) or not word.strip():
            raise UsageError(f"{key} is {shown(word)}, expected some words")
    labels = document.get("labels", [])
    if not isinstance(labels, list) or not all(isinstance(label, str) and label for label in labels):
        raise UsageError(f"labels is {shown(labels)}, expected a list of words")
    config = {key: value for key, value in document.items() if key in BLOCKS}
    for block in (*BLOCKS[:2], *config):
        if not isinstance(config.get(block), dict):
            raise UsageError(f"{block} is {shown(config.get(block))}, expected a block of settings")
    ranges.check(config)
    note, source = (" ".join(str(document.get(key, path.name)).split()) for key in WORDS)
    return Recipe(path.stem, config, note, source, tuple(labels))
