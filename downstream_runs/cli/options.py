"""The options that several commands share."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from downstream_runs.core.settings import MOST
from upstream_arm import names
from upstream_arm.common import devices
from upstream_arm.common.arguments import between, whole
from upstream_arm.common.words import shown


def add_chosen_runs(parser: argparse.ArgumentParser) -> None:
    """The runs that `logs`, `cancel` and `clean` are about."""
    add = parser.add_argument
    add("what", metavar="RUN|UPSTREAM", help="the folder of a run, or an upstream")
    add("task", nargs="?", metavar="TASK", help="of the upstream (default: all its tasks)")
    add("--out", type=Path, metavar="DIR", help="where runs are (default: runs, or where RUN is)")


def add_upstream(parser: argparse.ArgumentParser) -> None:
    """How an upstream is built, and on which device."""
    add = parser.add_argument
    add("--ckpt", metavar="FILE", help="weights for an upstream of this project or a NAME_local")
    add("--model-config", metavar="FILE", help="the model's yaml, where its checkpoint has none")
    add(
        "--batching",
        choices=(*names.SWITCHES["batching"], names.STOCK),
        help="exact: an utterance's features do not depend on its batch (the default of students and models "
        "of transformers; any other upstream then encodes each by itself); stock: as s3prl does (the default "
        "of others); released: of this project's students",
    )
    add(
        "--trust-remote-code",
        action="store_true",
        help="run the code that a model of transformers brings with it (default: refuse such a model)",
    )
    for switch, values in names.SWITCHES.items():
        if switch == "batching":
            continue
        add(
            f"--{switch.replace('_', '-')}",
            choices=values,
            help=f"of this project's students (default: {values[0]}); the README says what it does",
        )
    add(
        "--states",
        metavar="NAME",
        help="what of the upstream's output is used, s3prl's -s: hidden_states (the default of most: all "
        "layers, summed with trained weights), last_hidden_state, paper, or another key that it gives",
    )
    add(
        "--layer",
        type=int,
        metavar="N",
        help="one layer of these alone, s3prl's -l; negative ones from the end",
    )
    add(
        "--quantize",
        choices=("int8",),
        help="dynamic int8 of the upstream's linear layers, on the CPU; labelled int8 (default: as it is)",
    )
    add("--device", default="auto", metavar="NAME", help=f"{devices.NAMES}; default: auto")


def add_run(parser: argparse.ArgumentParser) -> None:
    """What `run` does and `plan` tells of: upstreams, tasks, and all that decides their runs."""
    add = parser.add_argument
    add(
        "upstream",
        metavar="UPSTREAM",
        help="a name that `list` shows, e.g. armhubert or wavlm_base; hf:ORG/NAME[@REVISION], a model of the "
        "Hugging Face hub; ./folder, one that save_pretrained wrote; py:FILE.py:NAME[:KEY=VALUE]..., a "
        "function or class of your own; or several with commas",
    )
    add("task", metavar="TASK", help="e.g. asr, or several as asr,ks, or all")
    add("--data", type=Path, metavar="DIR", help="folder of the corpora; else SUPERB_DATA, superb.toml")
    add(
        "--partial",
        action="store_true",
        help="take a part of a corpus, or recordings of your own in its layout, and label results partial, "
        "with how many of the official utterances there are; a whole corpus gets none (default: refuse)",
    )
    add("--demo", action="store_true", help="use a small synthetic corpus, made on first use")
    _add_own(parser)
    add(
        "--recipe",
        metavar="NAME",
        help="superb (the default), paper, demo (the default of --demo), small (of a --table), or a "
        "FILE.yaml of your own, which `recipe` prints a beginning of",
    )
    add_upstream(parser)
    _add_noise(parser)
    add("--out", type=Path, default=Path("runs"), metavar="DIR", help="where runs go (default: runs)")
    _add_arithmetic(parser)
    _add_several(parser)
    _add_features(parser)
    _add_launcher(parser)
    _add_settings(parser)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    """Whether it is done again, what it is called, and the settings of the recipe."""
    add = parser.add_argument
    add(
        "--rerun",
        choices=("never", "missing", "always"),
        default="missing",
        help="what to do with an earlier run of the same plan: never touch it, do what is missing of it (the "
        "default), or discard it and start anew",
    )
    add("--steps", type=between(1, MOST), metavar="N", help="of the training (default: the recipe's)")
    add(
        "--batch-size",
        type=between(1, MOST),
        metavar="N",
        help="utterances of a batch; a step may have several, as runner.gradient_accumulate_steps says",
    )
    add(
        "--lr",
        metavar="RATES",
        help="a learning rate, or several as 1e-2,1e-3 to try each and keep the best on dev, or sweep for "
        "1e-1 to 1e-5",
    )
    add("--published", action="store_true", help="end with the table of published rows and these results")
    about = "what tables and status call the row of these runs; may be given or changed later"
    add("--name", default="", metavar="NAME", help=about)
    add(
        "-o",
        dest="overrides",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="change a setting of the recipe, e.g. -o optimizer.lr=5e-4; may be repeated",
    )


def _add_own(parser: argparse.ArgumentParser) -> None:
    """A task on a corpus of one's own, by a table or by code."""
    add_table(parser).add_argument(
        "--task-file",
        type=Path,
        metavar="FILE.py",
        help="a Python file whose TASK is the task that is run, such as examples/my_task.py",
    )


def add_table(parser: argparse.ArgumentParser) -> argparse._ArgumentGroup:
    """A table of one's own and how it is divided; returns the group of these options."""
    group = parser.add_argument_group("a corpus of your own, see docs/own-task.md")
    add = group.add_argument
    add(
        "--table",
        type=Path,
        metavar="FILE",
        help="CSV or TSV with a row an utterance, for TASK classification, transcription, units or "
        "diarization: columns path (from the table's folder), label (or transcript, units, rttm), split "
        "(train, dev, test) or fold, and speaker where known",
    )
    add(
        "--trials",
        type=Path,
        metavar="FILE",
        help="of TASK verification, whose table has columns path, speaker and split: lines LABEL FILE FILE, "
        "1 for one speaker and 0 for two",
    )
    add("--task-name", default="", metavar="NAME", help="of the table's task (default: the file's name)")
    add(
        "--split-by",
        default="",
        metavar="COLUMN",
        help="divide the table here: rows with one value of this column, such as speaker, stay together",
    )
    add(
        "--split-seed",
        type=whole,
        default=0,
        metavar="N",
        help="draws that division (default: 0); --seed does not, so that several seeds share a test set",
    )
    return group


def _add_noise(parser: argparse.ArgumentParser) -> None:
    """Noise at the time of the test."""
    add = parser.add_argument
    add(
        "--noise",
        type=float,
        metavar="DB",
        help="add noise to the recordings of the test alone, at this signal-to-noise ratio: a run of its "
        "own, labelled noise-..., with what the same command trains without noise (now, if it has not)",
    )
    add("--noise-dir", type=Path, metavar="DIR", help="the noise: audio files of 16 kHz and one channel")


def _add_arithmetic(parser: argparse.ArgumentParser) -> None:
    """How the upstream computes, and what that costs."""
    add = parser.add_argument
    precisions = ("fp32", "bf16", "fp16")
    add("--precision", default="fp32", choices=precisions, help="of the upstream (default: fp32)")
    add(
        "--efficiency",
        action="store_true",
        help="also measure what the upstream costs, for `table --efficiency`: MACs, real-time factor, peak "
        "memory; takes as long as 5 minutes of audio at most",
    )


def _add_several(parser: argparse.ArgumentParser) -> None:
    """What makes several runs of one, or takes several devices for it."""
    add = parser.add_argument
    add(
        "--jobs",
        type=between(1, 10_000),
        metavar="N",
        help="of several runs, how many at a time (default: 1; on Slurm as many as it has room for)",
    )
    add(
        "--seed",
        type=_seeds,
        default=(1337,),
        metavar="N[,N]",
        help="several make a run each (default: 1337, s3prl's)",
    )
    add(
        "--devices",
        type=between(1, 1024),
        default=1,
        metavar="N",
        help="train a run data-parallel on N accelerators of this machine, or with --device cpu on N "
        "processes (default: 1); a step then has N times as many utterances",
    )


def _add_features(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--features",
        default="auto",
        choices=("off", "memory", "disk", "auto"),
        help="off: computed in every pass, as s3prl does; disk or memory: computed once and stored; auto "
        "(the default): stored where no number changes but for rounding in fp32",
    )
    precisions = ("fp16", "bf16", "fp32")
    add("--features-precision", default="fp16", choices=precisions, help="of stored frames (default: fp16)")
    add(
        "--features-gb",
        type=float,
        metavar="N",
        help="store no more than this (default: 4 of memory, or all but 2 of what the disk has free)",
    )


def _add_launcher(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument_group("where the runs go").add_argument
    add(
        "--launcher",
        choices=("local", "slurm"),
        default="local",
        help="this machine (the default), or jobs of a Slurm cluster, where --jobs is how many at once",
    )
    add("--slurm-partition", type=_word, metavar="NAME")
    add(
        "--slurm-time",
        type=between(1, 10_000_000),
        metavar="MINUTES",
        help="of one job; what is left goes on in a further one",
    )
    add("--slurm-gres", type=_word, metavar="GRES", help="e.g. gpu:1")
    add("--slurm-mem", type=_word, metavar="SIZE", help="e.g. 32G")
    add("--slurm-constraint", type=_word, metavar="FEATURES")
    add("--slurm-cpus", type=between(1, 100_000), metavar="N", help="of one job (default: 4)")


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(dict.fromkeys(whole(number) for number in text.split(",")))


def _word(text: str) -> str:
    """An option of Slurm's becomes a line of a script, where a space begins another option."""
    if not re.fullmatch(r"[^\s-]\S*", text):
        raise argparse.ArgumentTypeError(f"{shown(text)} was given, expected one word as Slurm takes it")
    return text
