"""The recipe files: the settings that they have always had, and files of one's own."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from downstream_runs import recipes, tasks
from downstream_runs.cli.main import main
from downstream_runs.core import results
from downstream_runs.core.run import RunPlan, config_hash, resolve_config
from upstream_arm.common.errors import UsageError

# Of each recipe the hash that its run folders are named after and one of its settings in their order, both as
# they were before recipes were files.
HASHES = {
    "pr superb": "823fcda028beac7e 8ef72be17ab1d657",
    "pr paper": "f9e3b7a8659d01fd f384717b23d0f914",
    "pr demo": "e794440228ccb60b 4b78e9eb5bbd82c2",
    "asr superb": "71378baed870fb40 9121ef280a1bc999",
    "asr paper": "d293f5379c88a202 15ba5421bf5c159f",
    "asr demo": "3d94e8f3c087e111 cbcb238c2a7bbc2b",
    "ks superb": "c84a21f89c82bef5 1d41c467fd613af6",
    "ks paper": "3aaa5d573a713c06 18bb4a7440895da6",
    "ks demo": "2951938e80f2fe5f 354904bda7a20476",
    "qbe superb": "51ddc2b339e54158 5a364f58367be89d",
    "qbe paper": "e5be867f9f314548 5a364f58367be89d",
    "qbe demo": "ccb14c697a93e6c4 5a364f58367be89d",
    "sid superb": "bec2f745424163cf ebf1e54ebf850197",
    "sid paper": "31cc450293e72fe0 a0c858277d61d334",
    "sid demo": "29ff7842e1a9ab3c 8cf8d298f7cb3547",
    "asv superb": "740b262411696d4a 7ba90b511d8241e0",
    "asv paper": "27f8e28d0b9c3fa0 3e2ffefa63fef110",
    "asv demo": "41a99c54ecd1cff0 4455ddbbbf22c07d",
    "sd superb": "301f6a4e040d1af2 b38fbd449220e8e4",
    "sd paper": "3df299131e70ffe9 b38fbd449220e8e4",
    "sd demo": "e951ee5d193de18d be951b079ee40799",
    "ic superb": "c1cfbf36e037bf15 49403a39bfb17bf2",
    "ic paper": "6cb13f724e1b0c77 17eef44bfde97da8",
    "ic demo": "f9fe349a09af8dfe 6547559fb945e1f1",
    "sf superb": "bae4292ba94ea2b2 0840e0b9f60baf31",
    "sf paper": "977528ddf5fbf6ad e22b6502d96645ac",
    "sf demo": "8addf2fd8576e35b b9ee62ac2fb4ad92",
    "er superb": "750e309598de8c5d 0c4f105b4a81e0c8",
    "er paper": "2f4979209afa407e 3b170bc52a9601a8",
    "er demo": "3439be3481611a72 fe6a48d8df44ef13",
}


def test_every_recipe_has_the_settings_that_it_always_had() -> None:
    now = {}
    for task in map(tasks.get, tasks.names()):
        for name, recipe in task.recipes.items():
            plan = RunPlan(task=task, recipe=name, upstream="fbank", data=Path("d"), out=Path("o"))
            ordered = hashlib.sha256(json.dumps(recipe.copy_config()).encode()).hexdigest()
            now[f"{task.name} {name}"] = f"{config_hash(plan, resolve_config(plan))[:16]} {ordered[:16]}"
    assert now == HASHES


def printed(task: str, recipe: str) -> str:
    return recipes.path_of(task, recipe).read_text(encoding="utf-8")


def own(folder: Path, text: str, task: str = "asr", name: str = "mine.yaml") -> Any:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return recipes.chosen(tasks.get(task), str(path))[1]


def test_a_printed_recipe_is_read_again_as_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for task in map(tasks.get, tasks.names()):
        for name, recipe in task.recipes.items():
            assert main(["recipe", task.name, name]) == 0
            again = own(tmp_path, capsys.readouterr().out, task.name)
            assert (again.config, again.labels, again.note) == (recipe.config, recipe.labels, recipe.note)


def test_a_recipe_of_ones_own_is_labelled_and_told(tmp_path: Path) -> None:
    recipe = own(tmp_path, printed("asr", "superb").replace("lr: 1.0e-4", "lr: 1e-3"))
    assert (recipe.name, recipe.labels) == ("mine", ("own-recipe",))
    assert recipe.config["optimizer"]["lr"] == 1e-3
    assert "own-recipe" in results.LABELS
    sha256 = hashlib.sha256((tmp_path / "mine.yaml").read_bytes()).hexdigest()
    told = f"the recipe is of a file, mine.yaml (SHA-256 {sha256}), and other than superb in optimizer.lr"
    assert recipe.deviations == (told,)
    assert own(tmp_path, printed("asr", "superb")).labels == ()
    # Taking a label out of a file takes it from no run.
    assert own(tmp_path, printed("asr", "demo").replace("labels: [shortened]", "")).labels == ("shortened",)


def test_a_whole_number_for_a_float_is_the_same_recipe(tmp_path: Path) -> None:
    recipe = own(tmp_path, printed("asv", "superb").replace("1000.0", "1000"), "asv")
    assert type(recipe.config["runner"]["gradient_clipping"]) is float and recipe.labels == ()


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("optimizer:", "optimiser:"), "'optimiser', did you mean 'optimizer'?"),
        (("  log_step:", "  log_stp:"), "'runner.log_stp', did you mean 'runner.log_step'?"),
        (("  log_step: 100\n", ""), "it lacks runner.log_step"),
        (("lr: 1.0e-4", "lr: fast"), "optimizer.lr is 'fast', expected a number of at least 0"),
        (("lr: 1.0e-4", "lr: [1, 2]"), "optimizer.lr is [1, 2]"),
        (("batch_size: 32", "batch_size: yes"), "downstream_expert.datarc.batch_size is True"),
        (
            ("batch_size: 32", "batch_size: 2020-01-01"),
            "datarc.batch_size is datetime.date(2020, 1, 1), expected",
        ),
        (
            ("batch_size: 32", "batch_size: !!python/object:os.system 1"),
            "tags have no place in a recipe, line",
        ),
        (("batch_size: 32", "batch_size: !!int ''"), "tags have no place"),
        (("batch_size: 32", "batch_size: {a: 1}"), "no setting 'downstream_expert.datarc.batch_size.a'"),
        (("batch_size: 32", "1: 32"), "datarc.1' is no name of a setting"),
        (("runner:", "runner: &a"), "anchors, aliases and tags"),
        (("runner:", "runner:\n  log_step: 1"), "'log_step' is there twice"),
        (("labels: []", "labels: demo"), "labels is 'demo', expected a list of words"),
        (("note:", "note: [1] #"), "note is [1], expected some words"),
        (("optimizer:", "optimizer: 3\nscheduler:"), "optimizer is 3, expected a block of settings"),
        (("runner:", "\t"), "line"),
    ],
)
def test_a_bad_recipe_file_is_one_sentence(tmp_path: Path, change: tuple[str, str], told: str) -> None:
    text = printed("asr", "superb")
    assert change[0] in text
    with pytest.raises(UsageError) as raised:
        own(tmp_path, text.replace(*change, 1))
    sentence = str(raised.value)
    assert told in sentence and str(tmp_path / "mine.yaml") in sentence and "\n" not in sentence
    assert "superb prints one" in sentence


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", "it holds None"),
        ("[1, 2]", "it holds [1, 2]"),
        ("[" * 40_000, "nested too deeply"),
        ("a: a: 1", "line 1"),
        ("x: 1\n" * 30_000, "at most 100,000 were expected"),
        ("runner: " + "9" * 5000, "digits"),
        ("a: &a [x, x]\nb: &b [*a, *a]\nc: [*b, *b]", "anchors, aliases and tags"),
        ("\0", "special characters are not allowed"),
    ],
)
def test_what_is_no_recipe_at_all_is_refused_at_once(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UsageError) as raised:
        own(tmp_path, text)
    assert told in str(raised.value)
    assert len(str(raised.value)) < 1000 and "\n" not in str(raised.value)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(data=st.data())
def test_a_damaged_file_is_a_recipe_or_a_usage_error(
    data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    task = data.draw(st.sampled_from(["asr", "asv", "qbe", "sd"]))
    lines = printed(task, "demo").splitlines()
    for _ in range(data.draw(st.integers(1, 3))):
        row = data.draw(st.integers(0, len(lines) - 1))
        junk = st.sampled_from(
            ["  ", "- ", ": ", "{", "]", "'", "&a ", "*a", "!!int ", "? ", "<<: ", "# ", ".nan", "|"]
        )
        cut = data.draw(st.integers(0, len(lines[row])))
        lines[row] = lines[row][:cut] + data.draw(st.one_of(junk, st.text(max_size=3))) + lines[row][cut:]
    folder = tmp_path_factory.mktemp("fuzz")
    try:
        path = folder / "mine.yaml"
        path.write_text("\n".join(lines), encoding="utf-8", errors="surrogatepass")
        task_with_it, recipe = recipes.chosen(tasks.get(task), str(path))
        resolve_config(
            RunPlan(task=task_with_it, recipe=recipe.name, upstream="fbank", data=folder, out=folder)
        )
    except UsageError as error:
        assert "\n" not in str(error)


def test_a_file_with_an_official_name_is_that_recipe_or_refused(tmp_path: Path) -> None:
    text = printed("asr", "superb")
    assert own(tmp_path, text, name="superb.yaml") is tasks.get("asr").recipes["superb"]
    with pytest.raises(UsageError, match=r"as the recipe superb, .* differs in optimizer.lr: rename it"):
        own(tmp_path, text.replace("lr: 1.0e-4", "lr: 0.5"), name="superb.yaml")
    with pytest.raises(UsageError, match="rename it"):
        own(tmp_path, text, name="my recipe.yaml")


def test_a_recipe_of_another_task_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.yaml").write_text(printed("asr", "demo"))
    assert main(["fbank", "ks", "--demo", "--recipe", str(tmp_path / "mine.yaml")]) == 2
    assert "mine.yaml is no recipe of ks: " in capsys.readouterr().err


def test_a_task_lists_its_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recipe", "keyword-spotting"]) == 0
    first, *rest = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    assert [first, *rest[:3]] == ["superb", "paper", "demo", "learning"]


@pytest.mark.slow
def test_a_run_by_a_file_says_so_and_can_be_repeated(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = printed("ks", "demo").replace("total_steps: 160", "total_steps: 4")
    text = text.replace("eval_step: 40", "eval_step: 4").replace("save_step: 40", "save_step: 4")
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    arguments = ["fbank", "ks", "--demo", "--recipe", str(path), "--device", "cpu"]
    assert main([*arguments, "--out", str(tmp_path / "runs")]) == 0
    capsys.readouterr()
    (found,) = (tmp_path / "runs").glob("fbank/ks/mine-*/result.json")
    result = results.read(found)
    assert result.recipe == "mine" and {"own-recipe", "demo", "shortened"} <= set(result.labels)
    assert "of a file, mine.yaml" in result.deviations[0]
    path.unlink()  # the result holds all of it
    assert main(["repeat", str(found), "--out", str(tmp_path / "again")]) == 0
    assert "the same result" in capsys.readouterr().out
