"""One run of s3prl's `run_downstream.main`: what can be checked beforehand is checked, then it takes over."""

from __future__ import annotations

import argparse
import builtins
import difflib
import pickle
import sys
import warnings
import zipfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from downstream_runs import bridge
from downstream_runs.bridge import overrides
from upstream_arm.common import devices
from upstream_arm.common.errors import UsageError
from upstream_arm.common.program import PROGRAM

# The options of s3prl's run_downstream.py that take part in the checks, and its short ones, so that
# their values are not taken for something else.
_VALUED = (
    ("-u", "--upstream"),
    ("-d", "--downstream"),
    ("-c", "--config"),
    ("-e", "--past_exp"),
    ("-i", "--init_ckpt"),
    ("-n", "--expname"),
    ("-p", "--expdir"),
    ("-m", "--mode"),
    ("-t", "--evaluate_split"),
    ("-o", "--override"),
    ("-v", "--downstream_variant"),
    ("-k", "--upstream_ckpt"),
    ("-g", "--upstream_model_config"),
    ("-s", "--upstream_feature_selection"),
    ("-l", "--upstream_layer_selection"),
    ("--hub",),
    ("--push_to_hf_hub",),
    ("--device",),
)
_FLAGS = (
    ("-a", "--auto_resume"),
    ("-r", "--upstream_refresh"),
    ("-f", "--upstream_trainable"),
    ("-h", "--help"),
)


def run(options: list[str]) -> int:
    """Run s3prl with `options`; returns its exit code. UsageError where the options cannot lead to a run."""
    given = _read(options)
    if not given.help:
        _check(given)
    bridge.apply()
    if not given.help:
        if given.upstream and not _past_checkpoint(given):
            _check_upstream(given.upstream)
        options = [*options, *_device(given)]
    with _stock_process(["run_downstream.py", *options]) as stock:
        try:
            stock.main()
        except SystemExit as exit_:
            return _exit_code(exit_.code)
        except FileNotFoundError as error:
            if error.filename is None:
                raise
            raise UsageError(
                f"{error.filename}: s3prl looked for this file and it is not there; "
                "give its real path in the configuration (-c) or with -o, then run again"
            ) from error
        except pickle.UnpicklingError as error:
            raise UsageError(
                "s3prl met a checkpoint that holds more than tensors and plain values, which is not loaded "
                "because it could run code; give a checkpoint that s3prl's runner wrote"
            ) from error
    return 0


@contextmanager
def _stock_process(argv: list[str]) -> Iterator[Any]:
    """s3prl's module, with `sys.argv` as a script would see it and our `-o`; all is put back afterwards."""
    from s3prl import run_downstream as stock

    # hack_isinstance() replaces a builtin for the whole process: for a defaultdict it says no to dict.
    saved = sys.argv, stock.override, builtins.isinstance
    sys.argv, stock.override = argv, overrides.override
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", category=FutureWarning, message=r".*torch\.cuda\.amp")
            yield stock
    finally:
        sys.argv, stock.override, builtins.isinstance = saved


def _read(options: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    for names in _VALUED:
        parser.add_argument(*names)
    for names in _FLAGS:
        parser.add_argument(*names, action="store_true")
    return parser.parse_known_args(options)[0]


def _exit_code(code: object) -> int:
    if code is None or isinstance(code, int):
        return code or 0
    print(code, file=sys.stderr)
    return 1


def _check(given: argparse.Namespace) -> None:
    """Everything that can be known without torch."""
    if given.hub == "huggingface":
        raise UsageError(
            "s3prl's --hub huggingface logs in with a user name and a password, which Hugging Face no longer "
            "takes: download the upstream with `hf download REPOSITORY` and give its file with -k"
        )
    if given.push_to_hf_hub:
        from downstream_runs.bridge.removed_names import refuse_push

        refuse_push()
    if given.override and given.override.lower() != "none":
        overrides.parse(given.override)
    checkpoint = _past_checkpoint(given)
    for path in filter(None, (checkpoint, given.init_ckpt and Path(given.init_ckpt))):
        _check_checkpoint(path)
    if checkpoint:
        return
    for option, value in (("-u UPSTREAM", given.upstream), ("-d TASK", given.downstream)):
        if not value:
            raise UsageError(
                f"s3prl needs {option} for a new experiment, or -e CHECKPOINT to continue one; add one"
            )
    _check_downstream(given.downstream)
    _check_config(given)


def _past_checkpoint(given: argparse.Namespace) -> Path | None:
    """The checkpoint to continue from: the file of -e, or the latest in its folder or (-a) in -p's."""
    folder = Path(given.past_exp) if given.past_exp else None
    if given.auto_resume:
        experiment = Path(given.expdir or f"result/downstream/{given.expname}")
        if _states(experiment):
            folder = experiment
    if folder is None or not folder.is_dir():
        return folder
    states = _states(folder)
    if not states:
        raise UsageError(
            f"{folder}: no checkpoint states-*.ckpt to continue from; give another -e, "
            "or start again without it"
        )
    return states[-1]


def _states(folder: Path) -> list[Path]:
    numbered = [path for path in folder.glob("states-*.ckpt") if path.stem[len("states-") :].isdigit()]
    return sorted(numbered, key=lambda path: int(path.stem[len("states-") :]))


def _check_checkpoint(path: Path) -> None:
    if not path.is_file():
        raise UsageError(f"{path}: no such checkpoint; give the path of an existing one")
    with path.open("rb") as file:
        starts_as_archive = file.read(2) == b"PK"
    # s3prl writes checkpoints in place, so a killed run leaves a part of one.
    if path.stat().st_size == 0 or (starts_as_archive and not zipfile.is_zipfile(path)):
        raise UsageError(
            f"{path}: an incomplete checkpoint, probably of a run that was killed while saving; "
            "delete it and continue from an earlier one"
        )


def _check_downstream(name: str) -> None:
    s3prl = bridge.s3prl_folder()
    if s3prl is None:
        raise UsageError(
            "s3prl is not installed; install it with `pip install s3prl==0.4.18`, then run again"
        )
    known = sorted(path.parent.name for path in s3prl.glob("downstream/*/expert.py"))
    if name not in known:
        raise _unknown("-d", "task", name, known)


def _check_config(given: argparse.Namespace) -> None:
    path = Path(given.config or f"./downstream/{given.downstream}/config.yaml")
    if not path.is_file():
        if given.config:
            raise UsageError(f"{path}: no such configuration; give the path of an existing file with -c")
        raise UsageError(
            f"no configuration: s3prl looks for {path}, which its PyPI package does not carry; "
            f"give one with -c FILE, or use {PROGRAM}, which carries the recipes"
        )
    import yaml

    try:
        config = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, ValueError, RecursionError) as error:  # also of too many digits
        raise UsageError(f"{path}: not readable as YAML ({' '.join(str(error).split())})") from error
    if not isinstance(config, dict):
        raise UsageError(
            f"{path}: holds no settings, expected sections such as runner, optimizer and downstream_expert; "
            "correct the file and run again"
        )


def _check_upstream(name: str) -> None:
    from s3prl import hub

    known = [attribute for attribute in dir(hub) if not attribute.startswith("_")]
    if name not in known:
        raise _unknown("-u", "upstream", name, known)


def _unknown(option: str, kind: str, name: str, known: Iterable[str]) -> UsageError:
    near = difflib.get_close_matches(name, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "see `s3prl run_downstream.py --help`."
    return UsageError(f"{option} {name}: s3prl knows no such {kind}; {hint}")


def _device(given: argparse.Namespace) -> list[str]:
    if given.device:
        return []
    kind = devices.accelerator() or "cpu"
    if kind == "cuda":
        return []
    print(f"CUDA is not available: running on --device {kind}.", file=sys.stderr)
    return ["--device", kind]
