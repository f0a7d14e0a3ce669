"""The result schema: what is written is read back, and nothing else is."""

from __future__ import annotations

import dataclasses
import inspect
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from downstream_runs.core import results
from downstream_runs.core.results import Corpus, Metric, Result, config_hash
from upstream_arm.common.errors import ReportError

Make = Callable[..., Result]
MakeMetric = Callable[..., Metric]


def rewrite(path: Path, **changes: Any) -> None:
    """Change keys of a result file and renew its hash, as somebody with intent could."""
    content = {**json.loads(path.read_text()), **changes}
    content["content_sha256"] = results._content_hash(content)
    path.write_text(json.dumps(content))


def test_round_trip(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "runs" / "a" / "result.json"
    written = results.write(path, make(config={"a": (1, 2.0, None, True, {"b": "é\udc80"})}, wall_seconds=3))
    assert results.read(path) == written
    assert len(written.content_sha256) == 64
    assert json.loads(path.read_text())["schema_version"] == results.SCHEMA_VERSION
    assert list(path.parent.iterdir()) == [path]


def test_every_key_is_in_every_file_and_documented(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "result.json"
    results.write(path, make())
    assert "name" not in json.loads(path.read_text()), "of results without one"
    results.write(path, make(name="mine"))
    content = json.loads(path.read_text())
    for cls, keys in ((Result, content), (Metric, content["metrics"][0]), (Corpus, content["corpus"])):
        names = [field.name for field in dataclasses.fields(cls)]
        assert sorted(keys) == sorted(names)
        # getdoc takes the indentation away, as Python 3.13 does before.
        documented = re.findall(r"^((?:\w+, )*\w+): ", inspect.getdoc(cls) or "", re.MULTILINE)
        assert set(names) <= set(", ".join(documented).split(", ")), names


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "result.json"
    results.write(path, make())
    before = path.read_bytes()

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="disk full"):
        results.write(path, make(seed=2))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_a_config_that_changed_after_its_hash_is_not_written(tmp_path: Path, make: Make) -> None:
    config = {"a": 1}
    result = make(config=config)
    config["a"] = 2
    assert result.config == {"a": 1}
    result.config["a"] = 3  # type: ignore[index]
    with pytest.raises(ReportError, match="config_hash"):
        results.write(tmp_path / "result.json", result)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "edit",
    [
        lambda content: content["metrics"][0].update(value=1.0),
        lambda content: content.update(labels=[]),
        lambda content: content.update(seed=1),
        lambda content: content.update(content_sha256="0" * 64),
        lambda content: content.update(content_sha256=None),
    ],
)
def test_an_edit_by_hand_is_seen(tmp_path: Path, make: Make, edit: Callable[[dict[str, Any]], None]) -> None:
    path = tmp_path / "result.json"
    results.write(path, make())
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))
    with pytest.raises(ReportError, match="edited by hand") as caught:
        results.read(path)
    assert str(path) in str(caught.value) and "./run_superb.sh" in str(caught.value)


def test_reformatting_is_no_edit(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "result.json"
    written = results.write(path, make())
    content = json.loads(path.read_text())
    path.write_text(json.dumps(dict(reversed(content.items())), ensure_ascii=False))
    assert results.read(path) == written


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "is not JSON"),
        ("\xff", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
        ('{"seed": 1, "seed": 2}', "a key is there twice"),
        ("[]", "has no schema_version"),
        ("{}", "has no schema_version"),
        ('{"schema_version": 99}', "schema_version is 99, a result of schema version 1 was expected"),
        (
            '{"schema_version": 1}',
            "lacks the keys 'upstream', 'task', 'recipe', 'labels', 'deviations', ...;",
        ),
    ],
)
def test_files_that_are_no_results(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "result.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(ReportError) as caught:
        results.read(path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_absent_file(tmp_path: Path) -> None:
    with pytest.raises(ReportError, match="No such file"):
        results.read(tmp_path / "result.json")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"speed": 1}, "has the unknown keys 'speed'"),
        ({"seed": "1"}, "seed is '1', a whole number was expected"),
        ({"seed": True}, "seed is True, a whole number"),
        ({"seed": 1.0}, "seed is 1.0, a whole number"),
        ({"labels": "demo"}, "labels is 'demo', a list was expected"),
        ({"labels": ["demo", 1]}, r"labels\[1\] is 1, text was expected"),
        ({"labels": ["Not comparable"]}, "a lower-case word"),
        ({"labels": ["demo", "demo"]}, "twice"),
        ({"metrics": []}, "no headline"),
        ({"metrics": [{"name": "wer"}]}, r"metrics\[0\] lacks the keys 'value'"),
        ({"config": []}, r"config is \[\], an object"),
        ({"config_hash": "c" * 64}, "config_hash"),
        ({"steps": -1}, "steps is -1"),
        ({"wall_seconds": -0.5}, "wall_seconds"),
        ({"upstream": ""}, "upstream is empty"),
        ({"command": []}, "command is empty"),
        ({"upstream_checkpoint": "w.pt"}, "only one of upstream_checkpoint"),
        ({"artefacts": {"../x": "a" * 64}}, "within the result's folder"),
        ({"artefacts": {"/x": "a" * 64}}, "within the result's folder"),
        ({"artefacts": {"x": "a"}}, "64 hexadecimal"),
        ({"created": "yesterday"}, "ISO 8601"),
        ({"created": "2025-01-02T03:04:05"}, "offset from UTC"),
        ({"corpus": None}, "corpus is None, an object"),
    ],
)
def test_keys_and_types_are_checked(
    tmp_path: Path, make: Make, changes: dict[str, Any], message: str
) -> None:
    path = tmp_path / "result.json"
    results.write(path, make())
    rewrite(path, **changes)
    with pytest.raises(ReportError, match=message):
        results.read(path)


def test_counts_that_contradict_the_value(tmp_path: Path, make: Make) -> None:
    path = tmp_path / "result.json"
    results.write(path, make())
    metrics = json.loads(path.read_text())["metrics"]
    metrics[0]["value"] += 2e-9
    rewrite(path, metrics=metrics)
    with pytest.raises(
        ReportError, match=r"metrics\[0\]: wer is 77.7.* percent, but 7 errors in a length of 9"
    ):
        results.read(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"value": 77.7}, "7 errors in a length of 9 give"),
        ({"unit": "fraction"}, "7 errors in a length of 9 give"),
        ({"counts": {}}, "without its counts"),
        ({"counts": {"errors": 0, "length": 0}}, "no rate follows"),
        ({"counts": {"errors": 1.5, "length": 9}}, "counts.errors is 1.5, a whole number"),
        ({"value": float("nan")}, "a finite number"),
        ({"unit": "%"}, "'percent' or 'fraction' was expected"),
        ({"official": 1}, "true or false"),
        ({"direction": None}, "'lower' or 'higher'"),
        ({"selection": ""}, "selection is empty"),
    ],
)
def test_metrics_check_themselves(metric: MakeMetric, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ReportError, match=message):
        metric(**changes)


@given(st.integers(0, 10**7), st.integers(1, 10**7), st.sampled_from(["percent", "fraction"]))
def test_the_rate_of_any_counts_is_accepted(errors: int, length: int, unit: str) -> None:
    value = 100 * errors / length if unit == "percent" else errors / length
    counts = {"errors": errors, "length": length}
    Metric("wer", value, unit, "lower", counts, "test", "last step", True, "headline")  # type: ignore[arg-type]


def test_two_headlines_of_one_name(make: Make, metric: MakeMetric) -> None:
    with pytest.raises(ReportError, match="two headlines"):
        make(metrics=(metric(), metric(split="test-other")))
    both = make(metrics=(metric(role="information", split="test-other"), metric()))
    assert both.headline("wer") == metric()
    assert both.headline("per") is None


def test_config_hash_depends_on_values_and_not_on_order() -> None:
    assert config_hash({"a": 1, "b": [1, 2]}) == config_hash({"b": (1, 2), "a": 1})
    assert config_hash({"a": 1}) != config_hash({"a": 2})
    # sha256 of '{"a":{"b":1e-05}}', by the sha256sum program
    assert (
        config_hash({"a": {"b": 1e-5}}) == "ac24db01582128c9025bf0a7d69f03d75bdf8b0f404b0eaa30f24fcd56a4f0b9"
    )


@pytest.mark.parametrize("value", [Path("x"), float("inf"), {1: 2}, {1}, b"x"])
def test_config_holds_only_json(value: object) -> None:
    with pytest.raises(ReportError, match=r"config\.a"):
        config_hash({"a": value})
