"""Stored features of upstreams from elsewhere: found again, and never those of other code or revision."""

from __future__ import annotations

import dataclasses
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import hub_server
import pytest
import sources as made

pytest.importorskip("transformers", reason="transformers is not installed (the extra `hf`)")
import tiny_encoders as tiny

from downstream_runs import bridge
from downstream_runs.cli.plans import rows_of
from downstream_runs.cli.run import run_parser
from downstream_runs.engine import components
from downstream_runs.engine.components import Components
from downstream_runs.engine.feature_setup import upstream_identity
from downstream_runs.features import provenance
from upstream_arm.encoders.transformers_encoder import TransformersEncoder


@pytest.fixture(autouse=True)
def _bridged() -> Iterator[None]:
    bridge.apply()
    path = list(sys.path)
    yield
    sys.path[:] = path


def identity(text: str, out: Path, **changes: str) -> str:
    """Of the features that a run of this upstream would store; they can always be stored."""
    plan = rows_of(run_parser().parse([text, "ks", "--demo", "--out", str(out), "--device", "cpu"]))[0].plan
    upstream, device = components.build_upstream(plan)
    plan = dataclasses.replace(plan, **changes)
    found, doubt = upstream_identity(
        SimpleNamespace(plan=plan, components=Components(upstream, None, None, device))  # type: ignore[arg-type]
    )
    assert doubt is None
    return found


@pytest.mark.parametrize("file", ["mine.py", "helper_of_mine.py"])
def test_of_a_file(file: str, tmp_path: Path) -> None:
    text = f"py:{made.code(tmp_path)}:make"
    before = identity(text, tmp_path)
    assert identity(text, tmp_path) == before
    assert identity(f"{text}:width=9", tmp_path) != before
    # Also where nothing of it can be seen in the module, such as another file that the code reads.
    assert identity(text, tmp_path, revision="0" * 64) != before
    path = tmp_path / file
    path.write_text(path.read_text().replace(".tanh()", ".sin()").replace("* self.scale", "* 2"))
    assert identity(text, tmp_path) != before


def test_of_a_folder(tmp_path: Path) -> None:
    folder = made.model(tmp_path / "w")
    before = identity(str(folder), tmp_path)
    assert identity(str(folder), tmp_path) == before
    settings = folder / "preprocessor_config.json"
    settings.write_text(settings.read_text().replace('"do_normalize": true', '"do_normalize": false'))
    changed = identity(str(folder), tmp_path)
    made.model(folder, seed=1)
    assert len({before, changed, identity(str(folder), tmp_path)}) == 3


KINDS = ("hubert", "wav2vec2-bert", "whisper")


@pytest.mark.parametrize("one", [one for one in tiny.ALL if one.kind in KINDS], ids=str)
def test_features_of_transformers_can_be_stored(one: tiny.Tiny, tmp_path: Path) -> None:
    """What computes its features can be told, the same in another process."""
    one.write(tmp_path)
    found = {provenance.identity(TransformersEncoder(tmp_path), None) for _ in range(2)}
    assert len(found) == 1


def test_of_a_revision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files = {path.name: path.read_bytes() for path in made.model(tmp_path / "w").iterdir()}
    with hub_server.running() as hub:
        hub.use(monkeypatch, tmp_path / "home")
        repository = hub.repositories["tiny/hubert"] = hub_server.Repository()
        old = repository.commit(files)
        before = identity("hf:tiny/hubert", tmp_path)
        new = repository.commit({**files, "README.md": b"other words"})
        assert identity(f"hf:tiny/hubert@{old}", tmp_path) == before
        assert identity(f"hf:tiny/hubert@{new}", tmp_path) != before


def test_of_a_plugin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(made.plugin(tmp_path / "site")))
    before = identity("plugged", tmp_path)
    helper = tmp_path / "site" / "plugged_helper.py"
    helper.write_text(helper.read_text().replace("tanh", "sin"))
    assert identity("plugged", tmp_path) != before
    for name in ("plugged_package", "plugged_helper"):
        sys.modules.pop(name, None)
