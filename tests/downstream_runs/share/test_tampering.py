"""A bundle that was changed is refused, whatever was changed and however its hashes were renewed."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import tampering

from downstream_runs.share import checked, repository

BUNDLES = Path(__file__).resolve().parents[2] / "data" / "bundles"
FOUND = {" ".join(folder.parts[-3:-1]): folder for folder in repository.listed(BUNDLES)}
#: Changes of one bundle, of which there are eleven.
LEAST = 70


def refused(folder: Path) -> bool:
    return any(check.good is False for check in checked.checks(folder))


@pytest.fixture(params=FOUND)
def copy(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    yield Path(shutil.copytree(FOUND[request.param], tmp_path / "bundle"))


def test_recorded_bundles_of_all_tasks_agree_with_themselves(copy: Path) -> None:
    assert not [check.text for check in checked.checks(copy) if check.good is not True]


def test_renewing_the_hashes_of_an_unchanged_bundle_changes_nothing(copy: Path) -> None:
    """Without this, refusals below could be the fault of how hashes are renewed."""
    tampering.reseal(copy)
    assert not refused(copy)


def restored(copy: Path, original: Path) -> Path:
    shutil.rmtree(copy)
    return Path(shutil.copytree(original, copy))


def test_every_change_is_refused(copy: Path, request: pytest.FixtureRequest) -> None:
    original = FOUND[request.node.callspec.params["copy"]]
    tried, passed = 0, []

    def attempt(what: str) -> None:
        nonlocal tried
        tried += 1
        if not refused(copy):
            passed.append(what)
        restored(copy, original)

    for path in sorted(path for path in copy.rglob("*") if path.is_file()):
        name = path.relative_to(copy)
        content = path.read_bytes()
        path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
        attempt(f"a bit of {name}")
        if str(name) in tampering.named(original):
            path.write_bytes(content[:-2] + bytes([content[-2] ^ 1]) + content[-1:])
            tampering.seal_manifest(copy)
            attempt(f"a bit of {name}, with its hash in the manifest")
    for what, change in tampering.RESULTS.items():
        if what == "the recipe" and original.parent.name == "qbe":
            continue  # its recipes have the same settings
        try:
            tampering.edit(copy / tampering.RESULT, change)
        except (KeyError, ValueError):  # a task without it
            restored(copy, original)
            continue
        if (copy / tampering.RESULT).read_bytes() == (original / tampering.RESULT).read_bytes():
            continue
        tampering.reseal(copy)
        attempt(what)
    for path in tampering.texts_of(original):
        for what, change in tampering.TEXTS.items():
            tampering.write(copy / path.relative_to(original), change(path))
            tampering.reseal(copy)
            attempt(f"{what} in {path.relative_to(original)}")
    for what, damage in tampering.FOLDERS.items():
        if what.startswith(("a link", "a file missing")) and not list(tampering.texts_of(copy)):
            continue
        damage(copy)
        attempt(what)
    print(f"refused {tried - len(passed)} of {tried} changes")
    assert not passed
    assert tried >= LEAST


def test_a_trials_label_follows_from_its_speakers_names(tmp_path: Path) -> None:
    """Whatever numbers stand beside it: here they would be made from the changed labels."""
    copy = Path(shutil.copytree(FOUND["fbank asv"], tmp_path / "bundle"))
    for path in copy.glob("states-*/test_truth.txt"):
        name, label = path.read_text().splitlines()[0].split()
        path.write_text(path.read_text().replace(f"{name} {label}", f"{name} {1 - int(label)}", 1))
    tampering.reseal(copy)
    told = [check.text for check in checked.checks(copy) if check.good is False]
    assert any("is not what its speakers' names say" in text for text in told)


def test_one_fold_is_no_result_of_a_task_with_folds(tmp_path: Path) -> None:
    copy = Path(shutil.copytree(FOUND["fbank er"] / "fold1", tmp_path / "bundle"))
    shutil.copyfile(FOUND["fbank er"] / "bundle.json", copy / "bundle.json")
    tampering.edit(copy / "bundle.json", lambda content: content.update(left_out=["dev-best.ckpt"]))
    tampering.reseal(copy)
    told = [check.text for check in checked.checks(copy) if check.good is False]
    assert told == ["its folds are none, fold1, fold2, fold3, fold4, fold5 were expected"]
