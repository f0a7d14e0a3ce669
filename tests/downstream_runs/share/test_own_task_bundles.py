"""Bundles of tasks on a table of one's own: checked without the table, and never taken for SUPERB's."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import tampering

from downstream_runs.share import bundle, checked, repository, site
from downstream_runs.tasks import own
from upstream_arm.common.errors import UsageError

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles"
OWN = {"kind": "classification", "table": "/path/to/moods.csv", "table_sha256": "0" * 64}


@pytest.fixture()
def moods(tmp_path: Path) -> Path:
    """The recorded first fold of ER as a run of a table's classification would have left it."""
    found = next(one for one in repository.listed(BUNDLES) if one.parts[-2] == "er")
    folder = Path(shutil.copytree(found / "fold1", tmp_path / "copy"))
    config = own.bare("classification").recipes["small"].copy_config()
    steps = config["runner"]["total_steps"]

    def change(content: dict[str, Any]) -> None:
        content["corpus"] |= {"name": "moods", "root": OWN["table"]}
        content |= {"task": "moods", "recipe": "small", "steps": steps, "deviations": []}
        content |= {"labels": ["own-corpus", "shortened"], "config": {**config, "own_task": OWN}}
        for metric in content["metrics"]:
            metric |= {"official": False, "selection": metric["selection"].replace(" of 100", f" of {steps}")}

    tampering.edit(folder / "result.json", change)
    manifest = bundle.Manifest(1, "Jane", "small-0", "0" * 64, {}, ("dev-best.ckpt",))
    bundle.write(folder, manifest)
    tampering.reseal(folder)
    return folder


def test_a_table_s_task_is_checked_without_the_table(moods: Path) -> None:
    assert [check.text for check in checked.checks(moods) if check.good is not True] == []


@pytest.mark.parametrize(
    "change",
    [
        lambda content: content["labels"].remove("own-corpus"),
        lambda content: content["metrics"][0].update(official=True),
        lambda content: content["metrics"][0]["counts"].update(correct=1),
        lambda content: content["config"].pop("own_task"),
        lambda content: content["config"]["own_task"].update(kind="verification"),
        lambda content: content["config"]["own_task"].update(kind="../x"),
        lambda content: content.update(task="er"),
    ],
)
def test_it_is_never_taken_for_another(moods: Path, change: Any) -> None:
    tampering.edit(moods / "result.json", change)
    tampering.reseal(moods)
    with pytest.raises(UsageError, match="is refused"):
        checked.require(moods)


def test_it_has_a_table_of_its_own_on_the_site(moods: Path, tmp_path: Path) -> None:
    result, manifest = checked.require(moods)
    place = tmp_path / "shared"
    repository.put(place, moods, Path(bundle.place(result, manifest)))
    built = site.build(str(place), tmp_path / "site")
    text = built.page.read_text()
    assert (built.entries, built.refused) == (0, ())
    assert "moods" in text and "Tasks of one&#39;s own" in text and str(tmp_path) not in text
