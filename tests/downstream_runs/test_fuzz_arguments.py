"""Hostile arguments to every option of every command: each is taken, or refused in one sentence."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as patience
from hypothesis import strategies as st

from downstream_runs import tasks
from downstream_runs.cli import main as cli
from downstream_runs.cli import plans, run
from downstream_runs.core import ranges
from downstream_runs.core.run import RunPlan, resolve_config
from downstream_runs.core.settings import leaves
from downstream_runs.corpora import data_root as settings
from upstream_arm import download
from upstream_arm.common.errors import UsageError

# What a shell, a script with an unset variable, or a slip of the hand hands over.
HOSTILE: Mapping[str, str] = {
    "empty": "",
    "blank": "  ",
    "minus one": "-1",
    "zero": "0",
    "nan": "nan",
    "inf": "inf",
    "overflow": "1e400",
    "a long wait": "1e300",
    "ten to the twenty": str(10**20),
    "5,000 digits": "9" * 5000,
    "5,000 letters": "x" * 5000,
    "not UTF-8": "runs-\udcff",
    "two lines": "a\nerror: b",
    "a terminal's code": "\x1b[2J",
    "nobody's home": "~nobody77/x",
    "below a file": "/dev/null/x",
    "a file": "/dev/null",
    "open brackets": "[" * 3000,
    "a python word": "None",
    "digits of another script": "١٢",
    "a comma too many": "1,,2",
    "a shell's command": "$(touch owned)",
    "up": "../../../../../../..",
}
RUN = ("plan", "fbank", "asr", "--demo")
# A command with what it needs; `{}` is a folder.
COMMANDS: Mapping[str, tuple[str, ...]] = {
    "plan": RUN,
    "list": ("list",),
    "check": ("check", "asr"),
    "data": ("data", "asr", "--plan"),
    "status": ("status",),
    "logs": ("logs", "fbank"),
    "cancel": ("cancel", "fbank"),
    "clean": ("clean", "fbank"),
    "verify": ("verify", "none.json"),
    "repeat": ("repeat", "none.json", "--out", "again"),
    "submit": ("submit", "fbank"),
    "estimate": ("estimate", "fbnk"),
    "score": ("score", "wer", "--ref", "none.ark", "--hyp", "none.ark"),
}
OPTIONS: Mapping[str, tuple[str, ...]] = {
    "list": (),
    "check": ("--data", "--out"),
    "data": ("--data", "--out", "--agree"),
    "status": ("--out", "--html", "--watch"),
    "logs": ("--out", "--lines"),
    "cancel": ("--out",),
    "clean": ("--out",),
    "verify": ("--data",),
    "repeat": ("--out", "--data", "--ckpt", "--model-config", "--device"),
    "submit": ("--out", "--recipe", "--run"),
    "estimate": ("--ckpt", "--model-config", "--device", "--recipe", "--features-precision"),
    "score": ("--ref", "--hyp"),
}


@pytest.fixture(autouse=True)
def _alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUPERB_DATA", raising=False)
    monkeypatch.setattr(settings, "CHECKOUT", tmp_path)
    monkeypatch.setattr(download, "cached", lambda name: None)
    (tmp_path / "runs").mkdir()
    monkeypatch.chdir(tmp_path)


def run_options() -> Iterator[str]:
    """Every option of a run that takes a value, as the parser itself has it."""
    for action in run.run_parser()._actions:
        if action.option_strings and not isinstance(action, argparse._HelpAction | argparse._StoreTrueAction):
            yield action.option_strings[-1]


def call(capsys: pytest.CaptureFixture[str], arguments: Sequence[str]) -> str | None:
    """None if the command was taken, else what is wrong with how it was refused."""
    try:
        code = cli.main(list(arguments))
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except BaseException as error:
        capsys.readouterr()
        return f"{type(error).__name__}: {str(error)[:100]}"
    said = [line for line in capsys.readouterr().err.splitlines() if not line.startswith("note: ")]
    if code == 0:
        return None
    if code != 2:
        return f"ended with {code}: {said[:2]}"
    if len(said) != 1 or not said[0].startswith("error: "):
        return f"said {len(said)} lines: {[line[:80] for line in said[:3]]}"
    if len(said[0]) > 1000 or not said[0].isprintable():
        return f"said {len(said[0])} characters, printable: {said[0].isprintable()}"
    return None


@pytest.mark.parametrize("option", run_options())
def test_every_option_of_a_run(option: str, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    bad = {}
    for name, value in HOSTILE.items():
        for arguments in ((*RUN, option, value), (*RUN, f"{option}={value}")):
            if option == "-o" and arguments[-1].startswith("-o="):
                arguments = (*RUN, f"-o{value}")
            bad |= {f"{name} {arguments[-1][:30]!r}": said for said in [call(capsys, arguments)] if said}
    assert not bad
    assert [path.name for path in tmp_path.iterdir()] == ["runs"]


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "plan"])
def test_every_option_of_the_other_commands(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from downstream_runs.cli import check, status

    monkeypatch.setattr(check, "corpus", lambda *_: ())
    monkeypatch.setattr(status, "BETWEEN_SECONDS", 0.0)
    bad = {}
    for option in OPTIONS[command]:
        for name, value in HOSTILE.items():
            said = call(capsys, (*COMMANDS[command], option, value))
            bad |= {f"{option} {name}": said} if said else {}
    for name, value in HOSTILE.items():
        said = call(capsys, (*COMMANDS[command], "--there-is-no-such", value))
        bad |= {f"an unknown option, {name}": said} if said else {}
        said = call(capsys, (command, value))
        bad |= {f"the argument {name}": said} if said else {}
    assert not bad


WRONG_NUMBERS = (
    -2,
    -(10**20),
    10**20,
    16**5000,
    float("nan"),
    float("inf"),
    "x",
    "",
    True,
    [[]],
    {"a": 1},
    -0.5,
)
# Zero means something for these: no training, no loading process, no warm-up, no delay, no mask, no dropout.
MAY_BE_ZERO = {"lr", "num_workers", "num_warmup_steps", "label_delay", "min_sec", "m", "dropout", "dropout_p"}
MAY_BE_ZERO |= {"max_n_time_masks"}
MAY_BE_ZERO |= {"adaptive_number_ratio", "adaptive_size_ratio"}


def numbers() -> Iterator[tuple[str, str, str, Any]]:
    """Task, recipe, key and value of every setting that is a number, or a list of such."""
    for task in map(tasks.get, tasks.names()):
        for recipe in task.recipes.values():
            for key, value in leaves(recipe.config):
                one = value[0] if isinstance(value, list) and value else value
                if (isinstance(one, int | float) and not isinstance(one, bool)) or key.endswith(
                    "frame_shift"
                ):
                    yield task.name, recipe.name, key, value


NUMBERS = list(numbers())


def plan(task: str, recipe: str, overrides: Mapping[str, Any]) -> RunPlan:
    return RunPlan(
        task=tasks.get(task),
        recipe=recipe,
        upstream="fbank",
        data=Path("d"),
        out=Path("o"),
        overrides=overrides,
    )


def refused(task: str, recipe: str, key: str, value: Any) -> bool:
    """Whether a value is refused, which it is in one sentence that names the setting."""
    try:
        resolve_config(plan(task, recipe, {key: value}))
    except UsageError as error:
        assert key in str(error) and "\n" not in str(error) and len(str(error)) < 500, error
        return True
    return False


def test_every_number_of_every_recipe_has_a_range() -> None:
    assert len({key for _, _, key, _ in NUMBERS}) > 50
    assert {key.rpartition(".")[2] for _, _, key, _ in NUMBERS} <= ranges.ranges().keys()


def test_no_setting_takes_a_number_that_no_run_can_have() -> None:
    taken = []
    for task, recipe, key, old in NUMBERS:
        last = key.rpartition(".")[2]
        wrong = [*WRONG_NUMBERS, *([] if last in MAY_BE_ZERO else [0])]
        for value in wrong:
            value = [value] if isinstance(old, list) else value
            if not refused(task, recipe, key, value):
                taken.append(f"{task} {recipe} {key}={str(value)[:30]}")
        if not isinstance(old, list) and not refused(task, recipe, key, [old]):
            taken.append(f"{task} {recipe} {key}=[{old}]")
    assert not taken


@pytest.mark.parametrize(
    ("task", "key", "value"),
    [
        ("asr", "runner.gradient_clipping", 0.5),
        ("asr", "optimizer.lr", 1),
        ("asr", "optimizer.lr", 0.0),
        ("asr", "optimizer.betas", [0.9, 0.98]),
        ("asr", "optimizer.weight_decay", 0),
        ("asr", "optimizer.eps", 1e-8),
        ("asr", "optimizer.amsgrad", True),
        ("asr", "downstream_expert.modelrc.RNNs.dropout", [0, 0]),
        ("asr", "downstream_expert.modelrc.RNNs.total_rate", 320),
        ("asr", "downstream_expert.datarc.decoder_args.decoder_type", "None"),
        ("asr", "specaug.time_mask_width_range", [0, 100]),
        ("asr", "specaug", {}),
        ("asr", "scheduler", {"name": "linear_schedule_with_warmup", "num_warmup_steps": 0}),
        ("sd", "downstream_expert.datarc.frame_shift", 160),
        ("asv", "runner.eval_dataloaders", ["test"]),
        ("asv", "downstream_expert.modelrc.LossConfig.AMSoftmaxLoss.m", 0.2),
        ("er", "downstream_expert.datarc.valid_ratio", 0.1),
        ("ks", "downstream_expert.datarc.num_workers", 0),
        ("pr", "downstream_expert.corpus.train", ["train-clean-100", "train-clean-360"]),
    ],
)
def test_what_an_official_recipe_may_have_is_taken(task: str, key: str, value: Any) -> None:
    assert not refused(task, "superb", key, value)
    found = resolve_config(plan(task, "superb", {key: value}))
    assert dict(leaves(found)).get(key, value) == value


def test_text_that_s3prl_would_evaluate_is_refused() -> None:
    words = [
        (task, recipe, key, value)
        for task in map(tasks.get, tasks.names())
        for recipe in task.recipes
        for key, value in leaves(task.recipes[recipe].config)
        if isinstance(value, str) or (isinstance(value, list) and value and isinstance(value[0], str))
    ]
    assert len(words) > 100
    for task, recipe, key, old in words:
        for text in ("__import__('os').system('touch owned')", "a b", "", "x" * 300):
            assert refused(task.name, recipe, key, [text] if isinstance(old, list) else text), key


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("5e-4", 5e-4),
        ("1e-4", 1e-4),
        ("True", True),
        ("true", True),
        ("None", None),
        ("null", None),
        ("['dev']", ["dev"]),
        ('["dev"]', ["dev"]),
        ("('dev', 'test')", ["dev", "test"]),
        ("[dev-clean, dev-other]", ["dev-clean", "dev-other"]),
        ("{'name': 'x', 'k': 1}", {"name": "x", "k": 1}),
        ("'quoted'", "quoted"),
        ("train-clean-100", "train-clean-100"),
        ("no", "no"),
        ("{name: linear, k: 1}", {"name": "linear", "k": 1}),
        ("", ""),
        ("9" * 5000, "9" * 5000),
        ("[" * 5000, "[" * 5000),
    ],
)
def test_json_and_python_are_both_taken(text: str, value: Any) -> None:
    from downstream_runs.cli import overrides

    found = overrides.read([f"a.b={text}"], {})
    assert found == {"a.b": value} and type(found["a.b"]) is type(value)


@given(key=st.text(max_size=30), value=st.text(max_size=60))
@patience(max_examples=200, deadline=None)
def test_any_text_as_a_setting(key: str, value: str) -> None:
    from downstream_runs.cli import overrides

    for name in (key, "optimizer.lr", f"optimizer.{key}", "downstream_expert.datarc.train"):
        try:
            found = overrides.read([f"{name}={value}"], {})
            resolve_config(plan("asr", "superb", found))
        except UsageError as error:
            assert str(error) and len(str(error)) < 1000


@given(
    st.lists(
        st.one_of(st.text(max_size=20), st.sampled_from([*run_options(), *HOSTILE.values()])), max_size=8
    )
)
@patience(max_examples=150, deadline=None)
def test_any_words_as_arguments(words: list[str]) -> None:
    from upstream_arm.common import arguments

    try:
        arguments.check_words(words)
        plans.rows_of(run.run_parser().parse(["fbank", "asr", "--demo", *words]))
    except UsageError as error:
        assert str(error)
    except SystemExit as error:
        assert error.code == 0 and {"-h", "--help"} & set(words)
