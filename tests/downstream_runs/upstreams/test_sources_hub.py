"""Upstreams from the model hub."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import hub_server
import pytest
from hub_server import Hub, Repository
from source_plans import FILES, plan_of, refused

from downstream_runs.core.run import run_dir
from downstream_runs.upstreams import sources
from upstream_arm.common.errors import UsageError

pytestmark = pytest.mark.usefixtures("quick")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    with hub_server.running() as server:
        server.use(monkeypatch, tmp_path / "home")
        yield server


class TestHub:
    def test_a_branch_moves_and_the_runs_stay(self, hub: Hub, tmp_path: Path) -> None:
        repository = hub.repositories["tiny/model"] = Repository()
        old = repository.commit({**FILES, "model.safetensors": b"old"})
        out = tmp_path / "runs"
        plan = plan_of("hf:tiny/model", out)
        assert (plan.upstream, plan.source, plan.revision) == ("tiny/model", "hf:tiny/model", old)
        assert not hub.asked("model.safetensors")  # planning fetches the settings alone
        sources.fetch(plan)
        folder = run_dir(plan)
        folder.mkdir(parents=True)
        (folder / "plan.json").write_text(json.dumps({"source": plan.source, "revision": old}))
        new = repository.commit({**FILES, "model.safetensors": b"new"})
        hub.log.clear()
        assert plan_of("hf:tiny/model", out) == plan and hub.log == []
        # Also where another program has moved the cache on.
        from upstream_arm.encoders import hub as client

        assert client.resolve("tiny/model", None, renew=True) == new
        assert plan_of("hf:tiny/model", out) == plan
        assert plan_of("hf:tiny/model", tmp_path / "others").revision == new
        assert plan_of(f"hf:tiny/model@{new}", out).revision == new
        repository.refs["v1"] = old
        assert plan_of("hf:tiny/model@v1", out).revision == old

    def test_fetch_brings_what_the_branch_is_now(
        self, hub: Hub, tmp_path: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        from downstream_runs.cli.main import main

        repository = hub.repositories["tiny/model"] = Repository()
        for weights_file in (b"old", b"new"):
            commit = repository.commit({**FILES, "model.safetensors": weights_file})
            assert main(["fetch", "hf:tiny/model"]) == 0
            folder = Path(capsys.readouterr().out.strip())
            assert folder.name == commit and (folder / "model.safetensors").read_bytes() == weights_file
            assert plan_of("hf:tiny/model", tmp_path / "runs").revision == commit

    def test_only_what_is_needed_is_fetched(self, hub: Hub, tmp_path: Path) -> None:
        index = {"weight_map": {"a": "model-1.safetensors", "b": "model-2.safetensors"}}
        parts = {
            "model.safetensors.index.json": json.dumps(index).encode(),
            **{f"model-{part}.safetensors": part.encode() for part in "123"},
        }
        unused = {"adapter.safetensors": b"", "tf_model.h5": b"", "vocab.json": b"{}", "mine.py": b""}
        hub.repositories["tiny/parts"] = Repository()
        hub.repositories["tiny/parts"].commit({**FILES, **parts, **unused, "pytorch_model.bin": b""})
        sources.fetch(plan_of("hf:tiny/parts", tmp_path / "runs"))
        got = {line.split("/")[-1] for line in hub.log if line.startswith("GET /tiny")}
        assert got == {
            *("config.json", "preprocessor_config.json", "model.safetensors.index.json"),
            *("model-1.safetensors", "model-2.safetensors"),
        }

    def test_a_cut_download_goes_on(self, hub: Hub, tmp_path: Path) -> None:
        hub.repositories["tiny/large"] = Repository()
        hub.repositories["tiny/large"].commit({**FILES, "pytorch_model.bin": bytes(12_000_000)})
        plan = plan_of("hf:tiny/large", tmp_path / "runs")
        hub.cuts = 1
        sources.fetch(plan)
        first, second = hub.asked("pytorch_model.bin")
        assert "bytes" not in first and second.endswith("bytes=10485760-")

    def test_offline(self, hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        from huggingface_hub import constants

        hub.repositories["tiny/model"] = Repository()
        # That it has no preprocessor is known without a network too.
        files = {"config.json": b"{}", "pytorch_model.bin": b"weights"}
        hub.repositories["tiny/model"].commit(files)
        plan = plan_of("hf:tiny/model", tmp_path / "runs")
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.log.clear()
        with pytest.raises(
            UsageError, match=r"run_superb\.sh fetch hf:tiny/model@[0-9a-f]{40}` where there is a net"
        ):
            sources.fetch(plan)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
        sources.fetch(plan)
        monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
        hub.log.clear()
        sources.fetch(plan_of("hf:tiny/model", tmp_path / "runs"))
        assert hub.log == []
        said = refused("hf:tiny/other")
        assert "hf:tiny/other is not on this machine" in said and "fetch hf:tiny/other`" in said

    def test_code_is_fetched_only_where_it_is_allowed(self, hub: Hub, tmp_path: Path) -> None:
        config = {
            "config.json": b'{"auto_map": {"AutoModel": "mine.Mine"}}',
            "preprocessor_config.json": b"{}",
        }
        hub.repositories["tiny/own"] = Repository()
        hub.repositories["tiny/own"].commit(
            {**config, "mine.py": b"#", "parts.py": b"##", "model.safetensors": b""}
        )
        assert "brings code of its own (mine.Mine)" in refused("hf:tiny/own")
        assert not hub.asked(".py")
        plan = plan_of("hf:tiny/own", tmp_path / "runs", "--trust-remote-code")
        assert plan.trust_remote_code
        sources.fetch(plan)
        assert len(hub.asked("mine.py")) == len(hub.asked("parts.py")) == 1

    def test_what_the_hub_refuses(self, hub: Hub) -> None:
        hub.repositories["tiny/gated"] = Repository(gated=True)
        hub.repositories["tiny/model"] = Repository()
        hub.repositories["tiny/model"].commit({"README.md": b""})
        for text, said in (
            ("hf:tiny/gated", "agreed to its terms"),
            ("hf:tiny/none", "has no model tiny/none that you may read"),
            ("hf:tiny/model@v9", "has no revision v9"),
            ("hf:tiny/model", "it is no model of transformers"),
        ):
            assert said in refused(text), text
