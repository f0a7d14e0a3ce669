"""Where an upstream is from: how it is written, what it is pinned to, and one sentence for what is wrong."""

from __future__ import annotations

import dataclasses
import json
import pickle
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import sources as made
import torch
from source_plans import plan_of, refused

from downstream_runs import tasks
from downstream_runs.cli.plans import split
from downstream_runs.core.run import run_dir
from downstream_runs.features import provenance
from downstream_runs.upstreams import sources
from upstream_arm.common.errors import UsageError

pytestmark = pytest.mark.usefixtures("quick")


class TestWritten:
    @pytest.mark.parametrize(
        ("text", "kind", "name", "place", "revision", "options"),
        [
            ("fbank", "name", "fbank", "fbank", None, {}),
            ("hf:a/b", "hf", "a/b", "a/b", None, {}),
            ("hf:a/b-1.0@v1/x", "hf", "a/b-1.0", "a/b-1.0", "v1/x", {}),
            ("hf:gpt2", "hf", "gpt2", "gpt2", None, {}),
            ("/m/w", "folder", "w", "/m/w", None, {}),
            ("/m/fbank/", "folder", "folder_fbank", "/m/fbank", None, {}),
            ("py:/m/a.py:make", "py", "make", "/m/a.py:make", None, {}),
            ("py:/m/a.py:fbank", "py", "py_fbank", "/m/a.py:fbank", None, {}),
            (
                "py:/m/a.py:make:width=64:rate=1e-3:ok=true:kind=word:at=x:y:sizes=[1,2]",
                *("py", "make", "/m/a.py:make", None),
                {"width": 64, "rate": 1e-3, "ok": True, "kind": "word", "at": "x:y", "sizes": [1, 2]},
            ),
            ("py:/m/a.py:make:day=2020-01-01", "py", "make", "/m/a.py:make", None, {"day": "2020-01-01"}),
        ],
    )
    def test_each_kind(
        self, text: str, kind: str, name: str, place: str, revision: str | None, options: dict[str, Any]
    ) -> None:
        found = sources.parse(text)
        assert (found.kind, found.name, found.place, found.revision) == (kind, name, place, revision)
        assert found.options == options
        assert sources.parse(found.text) == found

    def test_relative_paths_become_whole(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        assert sources.parse("./w").text == str(tmp_path / "w")
        assert sources.parse("py:a.py:make:width=2").text == f"py:{tmp_path}/a.py:make:width=2"

    def test_several_in_one_command(self) -> None:
        text = "fbank,hf:a/b@c,./w,py:a.py:make:sizes=[1,2]:width=3,py:a.py:make:table={a: 1, b: 2}"
        assert split(text, "upstream") == (
            *("fbank", "hf:a/b@c", "./w", "py:a.py:make:sizes=[1,2]:width=3"),
            "py:a.py:make:table={a: 1, b: 2}",
        )

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("hf:", "expected hf:ORG/NAME"),
            *((f"hf:{text}", "expected hf:ORG/NAME") for text in ("a/b/c", "../b", "a..b/c", "a--b", "-a/b")),
            *(
                (f"hf:{text}", "expected hf:ORG/NAME")
                for text in ("a/b.git", "a/b@", "a/b@../../c", "a/" + 97 * "b")
            ),
            ("py:a.py", "expected py:FILE.py:NAME"),
            ("py:a.txt:make", "expected py:FILE.py:NAME"),
            ("py:a.py:make:64", "expected py:FILE.py:NAME"),
            ("./absent", "there is no folder"),
            ("facebook/hubert", "hf:ORG/NAME"),
            ("fbnak", "did you mean 'fbank'"),
        ],
    )
    def test_what_is_none_of_them(self, text: str, said: str) -> None:
        assert said in refused(text)

    def test_ckpt_of_a_folder_says_what_to_type(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        (tmp_path / "w").mkdir()
        assert "type ./w in the place of hf_hubert_custom" in refused("hf_hubert_custom", ckpt="w")
        assert "type hf:a/b and no --ckpt" in refused("hf_hubert_custom", ckpt="a/b")
        assert "written ./w" in refused("w")
        assert "leave it out" in refused("hf:a/b", ckpt="w.pt")


class TestFolder:
    def test_pinned_by_all_that_is_read(self, tmp_path: Path) -> None:
        folder = made.model(tmp_path / "w")
        plan = plan_of(str(folder), tmp_path / "runs")
        assert (plan.upstream, plan.source, plan.trust_remote_code) == ("w", str(folder), False)
        (folder / "README.md").write_text("not read")
        assert plan_of(str(folder), tmp_path / "runs") == plan
        assert sources.build(plan).get_downsample_rates("hidden_states") == 320
        seen = {run_dir(plan)}
        for name in ("config.json", "preprocessor_config.json", "model.safetensors"):
            path = folder / name
            path.write_bytes(path.read_bytes() + b" ")
            seen.add(run_dir(plan_of(str(folder), tmp_path / "runs")))
        assert len(seen) == 4
        with pytest.raises(UsageError, match=r"is not what this run was begun with.*a run of its own"):
            sources.build(plan)

    def test_weights_in_parts(self, tmp_path: Path) -> None:
        folder = made.model(tmp_path / "w")
        from transformers import AutoModel

        AutoModel.from_pretrained(folder).save_pretrained(tmp_path / "parts", max_shard_size="20KB")
        (tmp_path / "parts" / "preprocessor_config.json").write_text("{}")
        assert len(list((tmp_path / "parts").glob("model-*.safetensors"))) > 1
        plan = plan_of(str(tmp_path / "parts"), tmp_path / "runs")
        whole = plan_of(str(folder), tmp_path / "runs")
        assert sources.build(plan).files_sha256 != sources.build(whole).files_sha256
        next((tmp_path / "parts").glob("model-*.safetensors")).unlink()
        assert "which model.safetensors.index.json lists" in refused(str(tmp_path / "parts"))

    @pytest.mark.parametrize(
        ("files", "said"),
        [
            ({}, "has no config.json"),
            ({"config.json": b"[]"}, "is no JSON object"),
            ({"config.json": b"{}"}, "has no weights that are read here"),
            ({"config.json": b"{}", "model.safetensors.index.json": b"{}"}, "lists no files of weights"),
            (
                {
                    "config.json": b"{}",
                    "model.safetensors.index.json": b'{"weight_map": {"a": "../../secret.safetensors"}}',
                },
                "lists no files of weights",
            ),
            ({"config.json": b'{"auto_map": {"AutoModel": "mine.Mine"}}'}, "add --trust-remote-code"),
            (
                {
                    "config.json": b"{}",
                    "preprocessor_config.json": b'{"auto_map": {"A": ["mine.Mine", null]}}',
                },
                "brings code of its own (mine.Mine)",
            ),
        ],
    )
    def test_what_is_no_model(self, files: dict[str, bytes], said: str, tmp_path: Path) -> None:
        for name, content in files.items():
            (tmp_path / name).write_bytes(content)
        assert said in refused(str(tmp_path))

    def test_code_of_another_repository_is_never_run(self, tmp_path: Path) -> None:
        (tmp_path / "config.json").write_text('{"auto_map": {"AutoModel": "some/where--mine.Mine"}}')
        assert "another repository" in refused(str(tmp_path), trust=True)

    def test_a_pickle_that_would_run_something(self, tmp_path: Path) -> None:
        class Evil:
            def __reduce__(self) -> Any:
                return (Path.write_text, (tmp_path / "ran", "it"))

        folder = made.model(tmp_path / "w")
        (folder / "model.safetensors").unlink()
        torch.save({"weight": Evil()}, folder / "pytorch_model.bin")
        plan = plan_of(str(folder), tmp_path / "runs")
        with pytest.raises(UsageError, match="which is refused because that could execute anything"):
            sources.build(plan)
        assert not (tmp_path / "ran").exists()

    def test_weights_that_are_no_numbers(self, tmp_path: Path) -> None:
        from safetensors.torch import load_file, save_file

        folder = made.model(tmp_path / "w")
        tensors = load_file(folder / "model.safetensors")
        next(iter(tensors.values())).view(-1)[0] = torch.nan
        save_file(tensors, folder / "model.safetensors", {"format": "pt"})
        with pytest.raises(UsageError, match="NaN or infinite weights"):
            sources.build(plan_of(str(folder), tmp_path / "runs"))

    def test_without_its_preprocessor(self, tmp_path: Path) -> None:
        folder = made.model(tmp_path / "w")
        (folder / "preprocessor_config.json").unlink()
        with pytest.raises(UsageError, match=r"has no preprocessor_config\.json"):
            sources.build(plan_of(str(folder), tmp_path / "runs"))

    def test_code_that_was_allowed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
        folder = made.model(tmp_path / "w")
        config = json.loads((folder / "config.json").read_text())
        config["auto_map"] = {"AutoModel": "mine.Mine"}
        (folder / "config.json").write_text(json.dumps(config))
        (folder / "mine.py").write_text(
            "from transformers import HubertModel\nclass Mine(HubertModel):\n    own = True\n"
        )
        assert "add --trust-remote-code" in refused(str(folder))
        plan = plan_of(str(folder), tmp_path / "runs", "--trust-remote-code")
        assert plan.trust_remote_code
        module = sources.build(plan)
        assert module.model.own and provenance.identity(module, None)
        (folder / "mine.py").write_text((folder / "mine.py").read_text() + "# changed\n")
        assert plan_of(str(folder), tmp_path / "runs", "--trust-remote-code").revision != plan.revision

    def test_the_flag_alone_makes_no_other_run(self, tmp_path: Path) -> None:
        folder = made.model(tmp_path / "w")
        plain = plan_of(str(folder), tmp_path / "runs")
        allowed = plan_of(str(folder), tmp_path / "runs", "--trust-remote-code")
        assert dataclasses.replace(allowed, command=plain.command) == plain


class TestFile:
    def test_workers_build_from_the_plan_alone(self, tmp_path: Path) -> None:
        plan = plan_of(f"py:{made.code(tmp_path)}:make:width=5", tmp_path / "runs")
        module = sources.build(pickle.loads(pickle.dumps(dataclasses.replace(plan, task=tasks.get("ks")))))  # noqa: S301
        assert module.linear.out_features == 5

    @pytest.mark.parametrize("file", ["mine.py", "helper_of_mine.py"])
    def test_pinned_by_its_code_and_what_that_imports(self, file: str, tmp_path: Path) -> None:
        code = made.code(tmp_path)
        plan = plan_of(f"py:{code}:make", tmp_path / "runs")
        assert plan_of(f"py:{code}:make", tmp_path / "runs") == plan
        wav = [torch.ones(640)]
        before = sources.build(plan)(wav)["hidden_states"][0]
        path = tmp_path / file
        path.write_text(path.read_text().replace(".tanh()", "* 0").replace("scale=1.0", "scale=0.0"))
        after = plan_of(f"py:{code}:make", tmp_path / "runs")
        assert after.revision != plan.revision and run_dir(after) != run_dir(plan)
        with pytest.raises(UsageError, match="is not what this run was begun with"):
            sources.build(plan)
        # What this process had imported before is not used again.
        assert before.any() and not sources.build(after)(wav)["hidden_states"][0].any()

    def test_pinned_by_its_options(self, tmp_path: Path) -> None:
        code = made.code(tmp_path)
        texts = (f"py:{code}:make", f"py:{code}:make:width=8", f"py:{code}:make:width=9", f"py:{code}:Frames")
        assert len({plan_of(text, tmp_path / "runs").revision for text in texts}) == 4

    def test_neighbours_of_one_name(self, tmp_path: Path) -> None:
        one, other = made.code(tmp_path / "one"), made.code(tmp_path / "other")
        (tmp_path / "other" / "helper_of_mine.py").write_text("def change(frames):\n    return frames * 0\n")
        wav = [torch.ones(640)]
        first = sources.build(plan_of(f"py:{one}:make", tmp_path / "runs"))
        second = sources.build(plan_of(f"py:{other}:make", tmp_path / "runs"))
        assert first(wav)["hidden_states"][0].any() and not second(wav)["hidden_states"][0].any()

    def test_weights_from_a_file(self, tmp_path: Path) -> None:
        code = made.code(tmp_path)
        state = {"linear.weight": torch.ones(8, 320), "linear.bias": torch.ones(8)}
        torch.save(state, tmp_path / "w.pt")
        plan = plan_of(f"py:{code}:Frames", tmp_path / "runs", "--ckpt", str(tmp_path / "w.pt"))
        assert sources.build(plan).linear.bias.eq(1).all()
        assert run_dir(plan) != run_dir(plan_of(f"py:{code}:Frames", tmp_path / "runs"))

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("absent.py:make", "cannot be read"),
            ("mine.py:mak", "no function or class 'mak', did you mean 'make'"),
            ("torn.py:make", "is no Python"),
            ("raising.py:make", "cannot be used: ValueError: not today"),
            ("mine.py:Frames:widht=3", "takes no widht, did you mean 'width'"),
            ("mine.py:broken", "could not be built: ValueError: no such weights"),
            ("mine.py:number", "is a int, expected a function or a class"),
        ],
    )
    def test_what_cannot_be_used(self, text: str, said: str, tmp_path: Path) -> None:
        made.code(tmp_path)
        (tmp_path / "torn.py").write_text("def make(:")
        (tmp_path / "raising.py").write_text("raise ValueError('not today')\ndef make(): ...")
        with pytest.raises(UsageError) as caught:
            sources.build(plan_of(f"py:{tmp_path}/{text}", tmp_path / "runs"))
        assert said in str(caught.value) and "\n" not in str(caught.value)

    def test_ckpt_only_where_it_is_taken(self, tmp_path: Path) -> None:
        (tmp_path / "w.pt").write_bytes(b"")
        (tmp_path / "a.py").write_text("def make(width=3): ...\ndef needs(ckpt): ...")
        plan = plan_of(f"py:{tmp_path}/a.py:make", tmp_path / "runs", "--ckpt", str(tmp_path / "w.pt"))
        with pytest.raises(UsageError, match="takes no --ckpt; it takes width"):
            sources.build(plan)
        with pytest.raises(UsageError, match="needs ckpt: give it as --ckpt FILE"):
            sources.build(plan_of(f"py:{tmp_path}/a.py:needs", tmp_path / "runs"))

    def test_weights_that_are_no_numbers(self, tmp_path: Path) -> None:
        torch.save(
            {"linear.weight": torch.full((8, 320), torch.inf), "linear.bias": torch.ones(8)}, tmp_path / "w"
        )
        plan = plan_of(f"py:{made.code(tmp_path)}:Frames", tmp_path / "runs", "--ckpt", str(tmp_path / "w"))
        with pytest.raises(UsageError, match=r"no finite numbers \(linear.weight\)"):
            sources.build(plan)


class TestPlugin:
    @pytest.fixture(autouse=True)
    def _installed(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
        monkeypatch.syspath_prepend(str(made.plugin(tmp_path / "site")))
        yield
        for name in ("plugged_package", "plugged_helper"):
            sys.modules.pop(name, None)

    def test_listed_built_and_pinned(self, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
        from downstream_runs.cli import list as listed

        assert "plugged            plugged_package:make" in listed.text()
        assert "plugged_package" not in sys.modules
        plan = plan_of("plugged", tmp_path / "runs")
        assert (plan.upstream, plan.source) == ("plugged", "plugged")
        assert sources.build(plan).linear.out_features == 8
        helper = tmp_path / "site" / "plugged_helper.py"
        helper.write_text(helper.read_text() + "changed = True\n")
        changed = plan_of("plugged", tmp_path / "runs").revision
        about = tmp_path / "site" / "plugged_package-1.0.dist-info" / "METADATA"
        about.write_text(about.read_text().replace("Version: 1.0", "Version: 1.1"))
        released = plan_of("plugged", tmp_path / "runs").revision
        assert len({plan.revision, changed, released}) == 3

    def test_that_cannot_be_imported(self, tmp_path: Path) -> None:
        (tmp_path / "site" / "plugged_package.py").write_text("import nothing_of_that_name")
        assert "cannot be imported: ModuleNotFoundError" in refused("plugged")
