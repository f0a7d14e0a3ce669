"""The `profile` command: what it prints, and how it refuses."""

from __future__ import annotations

import importlib.machinery
import json
import sys
import types
from pathlib import Path

import pytest
import yaml

from upstream_arm.cli import main
from upstream_arm.presets import PRESETS
from upstream_arm.profiling.command import TABLE2


def profile(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(["profile", *arguments])
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def refusal(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    code, out, err = profile(capsys, *arguments)
    assert (code, out, err.count("\n")) == (2, "", 1)
    return err


def test_json_has_whole_numbers_that_add_up(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = profile(capsys, "arm_hubert", "--json")
    document = json.loads(out)
    assert code == 0
    assert (document["name"], document["params"]) == ("arm_hubert", 26_448_448)
    assert document["macs"] == 501_624_271_296
    assert sum(document["buckets"].values()) == document["macs"] == sum(document["macs_by_part"].values())
    assert sum(document["params_by_part"].values()) == document["params"]
    assert all(type(n) is int for n in (*document["buckets"].values(), document["macs_per_second"]))
    assert document["utterances"] == 32
    assert "not counted" in document["rule"]


def test_one_model_is_shown_by_part_and_bucket(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = profile(capsys, "armhubert_random")
    lines = [" ".join(line.split()) for line in out.splitlines()]
    assert "total 26,448,448 501.624" in lines
    assert "longer 254.935" in lines
    assert "frames: T = floor((L - 400) / 320) + 1 for L samples at 16 kHz" in lines
    assert "2.231 G MACs per second of audio, over 224.86 s in 32 utterances" in lines


def test_several_models_make_a_comparison_and_hubert_base_says_what_it_is(
    capsys: pytest.CaptureFixture[str],
) -> None:
    _, out, _ = profile(capsys, "maskhubert", "hubert_base")
    lines = out.splitlines()
    assert lines[1].split()[:2] == ["maskhubert", "26,635,840"] and "519.790" in lines[1]
    expected = "hubert_base 94,697,600 149.255 261.280 422.366 836.254 1669.156 7.423"
    assert " ".join(lines[2].split()) == expected
    assert "reference architecture" in out
    _, out, _ = profile(capsys, "maskhubert", "hubert_base", "--json")
    assert [entry["name"] for entry in json.loads(out)] == ["maskhubert", "hubert_base"]


def test_table2_stands_beside_the_published_values(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = profile(capsys, "table2")
    assert code == 0
    assert [line.split() for line in out.splitlines()[1:7]] == [
        ["6by2", "20.90", "20.90", "423.5", "423"],
        ["3by4", "21.65", "21.65", "436.7", "437"],
        ["6by2-up", "22.39", "22.39", "440.3", "440"],
        ["3by4-up", "22.39", "22.39", "445.1", "445"],
        ["2by6", "22.39", "22.39", "449.9", "450"],
        ["None", "24.64", "24.64", "489.6", "490"],
    ]
    assert "published: as printed in Table 2" in out
    _, out, _ = profile(capsys, "table2", "--json")
    assert [entry["name"] for entry in json.loads(out)] == [preset for _, preset, _, _ in TABLE2]


def test_the_published_columns_are_the_papers(shared_dir: Path) -> None:
    rows = (shared_dir / "paper" / "table2.csv").read_text().splitlines()[1:]
    published = [(row.split(",")[0], *row.rsplit(",", 6)[1:3]) for row in rows]
    assert [(pattern, params, macs) for pattern, _, params, macs in TABLE2] == published


def test_a_yaml_is_profiled_by_its_path_or_under_a_label(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump({"student": PRESETS["table2_6by2"].to_mapping()}))
    for arguments, name in [
        ([str(path)], str(path)),
        (["--config", str(path)], "mine"),
        (["label", "--config", str(path)], "label"),
    ]:
        _, out, _ = profile(capsys, *arguments, "--json")
        document = json.loads(out)
        assert (document["name"], document["params"]) == (name, 20_897_632)
        assert document["switches"] == {"reuse_softmax": "double", "batching": "exact"}


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    """A stand-in for s3prl's hub with one working and one broken upstream."""
    from torch import nn

    class Upstream(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv1d(1, 4, 10, 5)

        def forward(self, wavs: list) -> dict:
            return {"hidden_states": [self.conv(wavs[0][None, None])]}

    def working() -> nn.Module:
        print("the loader talks")
        return Upstream()

    def broken() -> nn.Module:
        raise OSError("no network\nand more")

    package, module = types.ModuleType("s3prl"), types.ModuleType("s3prl.hub")
    # The bridge, where it has not run before in this process, asks whether s3prl is there.
    package.__spec__ = importlib.machinery.ModuleSpec("s3prl", None)
    package.hub = module  # type: ignore[attr-defined]
    module.working, module.broken = working, broken  # type: ignore[attr-defined]
    module.options = lambda: ["working", "broken"]  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "s3prl", package)
    monkeypatch.setitem(sys.modules, "s3prl.hub", module)
    return module


def test_another_upstream_is_measured(hub: types.ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    from upstream_arm.profiling.utterances import LENGTHS

    code, out, err = profile(capsys, "working", "--json")
    document = json.loads(out)
    assert code == 0 and "the loader talks" in err
    assert (document["method"], document["params"]) == ("measured", 44)
    assert document["macs"] == sum(((n - 10) // 5 + 1) * 10 * 4 for n in LENGTHS)


def test_an_upstream_that_fails_is_refused_in_one_sentence(
    hub: types.ModuleType, capsys: pytest.CaptureFixture[str]
) -> None:
    assert "'broken' cannot be profiled (OSError: no network)" in refusal(capsys, "broken")
    assert "did you mean 'working'?" in refusal(capsys, "workin")
    assert "expected one of s3prl's or of armhubert" in refusal(capsys, "xyzzy")


def test_without_s3prl_near_presets_are_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "upstream_arm.s3prl_hub", None)
    message = refusal(capsys, "armhubert_s")
    assert "did you mean 'armhubert" in message and "install this project" in message


def test_other_bad_input_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "no model was named" in refusal(capsys)
    assert "name it alone" in refusal(capsys, "table2", "armhubert")
    assert "nothere.yaml does not exist" in refusal(capsys, str(tmp_path / "nothere.yaml"))
    assert "2 names" in refusal(capsys, "a", "b", "--config", "c.yaml")
