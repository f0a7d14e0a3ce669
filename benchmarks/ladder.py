"""Does the benchmark put real models into the order that is known? A small proof on small real corpora.

    python benchmarks/ladder.py OUT --real DIR --ge2e pretrained.pt [--tasks digits,speakers] [--students 2]

DIR holds digits/, speakers/, libri/ (see `_ladder_speech.py`) and models/whisper_tiny_en_encoder.safetensors;
pretrained.pt is that of Resemblyzer's package. On the way up: students with random weights, log-mel spectra,
students distilled here from Whisper's encoder at two stages of their training, Resemblyzer's encoder (ge2e)
and Whisper's own. Each task runs with three seeds by this project's commands, with s3prl's heads and few
steps. EXPECTED was written before the first run, from a probe with other code; every order that fails is
printed. NONE OF THESE NUMBERS IS ONE OF SUPERB'S: minutes of speech, a few speakers, tiny students.

Whisper's encoder takes windows of 3 s here in place of 30 s: ten times as cheap, and another function.
Killed, the same command goes on; several of them, with other --tasks or --upstreams, share one OUT.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from _ladder_speech import lay_out
from _ladder_tables import agreement, draws, figure, table, verdict
from _ladder_tasks import TASKS, Order, Task

from downstream_runs.core.results import Result
from reports.item_files import of_metric
from reports.items import ScoredItems
from upstream_arm.common.errors import SuperbError, UsageError
from upstream_arm.common.files import atomic_write_text
from upstream_arm.config import StudentConfig
from upstream_arm.distillation.settings import OBJECTIVES, UNMASKED, MaskRatio, Objective, Settings

SEEDS = (0, 1, 2)
WINDOW = 3  # seconds of Whisper's input
STUDENT = StudentConfig(
    conv_layers=((48, 10, 5), (48, 1, 1), *((48, 3, 2),) * 4, (96, 1, 1), *((96, 2, 2),) * 2),
    embed_dim=96,
    ffn_dim=192,
    heads=4,
    reuse_pattern=(True, False) * 2,
    projection_dim=384,
    conv_pos=32,
    conv_pos_groups=4,
    dropout=0.0,
    attention_dropout=0.0,
    activation_dropout=0.0,
    reuse_softmax="single",
)
#: Epochs over the training speech (of 71 steps), and the steps of the first stage.
EPOCHS, STAGE, BATCH = 16, 100, 8


RANDOM, LOG_MEL, GE2E, WHISPER = "random student", "log-mel", "ge2e", "whisper"
STAGES = ("first stage", "last stage")
EARLY, LATE = (f"distilled {stage}" for stage in STAGES)
#: By the probe, where it found them beyond its intervals; those of distilled students are what distillation
#: is for, on the tasks on which their teacher is strong. Of verification and letters nothing is expected.
EXPECTED = (
    Order("phones", RANDOM, LOG_MEL),
    Order("phones", LOG_MEL, WHISPER),
    Order("phones", RANDOM, LATE),
    Order("speakers", RANDOM, LOG_MEL),
    Order("speakers", LOG_MEL, GE2E),
    Order("speakers", WHISPER, LOG_MEL),
    Order("digits", RANDOM, LOG_MEL, tie=True),
    Order("digits", RANDOM, GE2E),
    Order("digits", LOG_MEL, GE2E),
    Order("digits", RANDOM, WHISPER),
    Order("digits", LOG_MEL, WHISPER),
    Order("digits", RANDOM, LATE),
)


def upstreams(options: argparse.Namespace) -> dict[str, tuple[str, ...]]:
    """Of each upstream of the ladder its words on the command line; what has to be made for it is made."""
    made: dict[str, tuple[str, ...]] = {}
    for seed in range(options.students):
        path = options.out / f"random-{seed}.safetensors"
        _random_student(path, seed)
        made[RANDOM if seed == 0 else f"{RANDOM} {seed + 1}"] = ("armhubert_local", "--ckpt", str(path))
    made[LOG_MEL] = ("fbank_no_cmvn",)  # its mean over time is 0 with a cepstral mean subtraction
    for objective in options.objectives if options.distil else ():
        folder = options.out / objective
        if not (folder / "student.safetensors").is_file():
            distil_student(options.out, objective)
        early, late = (EARLY, LATE) if objective == "full" else (f"{objective} {stage}" for stage in STAGES)
        made[early] = ("armhubert_local", "--ckpt", str(folder / f"student-{STAGE:08d}.safetensors"))
        made[late] = ("armhubert_local", "--ckpt", str(folder / "student.safetensors"))
    if options.ge2e:
        made[GE2E] = ("ge2e_local", "--ckpt", str(options.ge2e))
    made[WHISPER] = (str(options.out / "whisper"),)
    return made


def whisper(real: Path, folder: Path) -> None:
    """Whisper tiny.en's encoder for windows of WINDOW, as a folder of transformers."""
    if (folder / "preprocessor_config.json").is_file():
        return
    from safetensors.torch import load_file, save_file
    from transformers import WhisperConfig, WhisperFeatureExtractor

    positions = 50 * WINDOW
    config = WhisperConfig(
        d_model=384,
        encoder_layers=4,
        encoder_attention_heads=6,
        encoder_ffn_dim=1536,
        max_source_positions=positions,
    )
    state = load_file(real / "models" / "whisper_tiny_en_encoder.safetensors")
    state["embed_positions.weight"] = state["embed_positions.weight"][:positions].clone()
    config.save_pretrained(folder)
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    WhisperFeatureExtractor(feature_size=80, chunk_length=WINDOW).save_pretrained(folder)


def _random_student(path: Path, seed: int) -> None:
    import torch

    from upstream_arm.checkpoint import LABELS_KEY, save_student
    from upstream_arm.student import Student

    if not path.is_file():
        torch.manual_seed(seed)
        save_student(Student(STUDENT).state_dict(), STUDENT, path, {LABELS_KEY: json.dumps(["untrained"])})


def distil_student(out: Path, objective: Objective) -> None:
    """Distil one student from Whisper's encoder, or go on with it."""
    from upstream_arm.distillation.training import RuntimeOptions, distil

    settings = Settings(
        preset="ladder",
        student=STUDENT,
        teacher=str(out / "whisper"),
        data=str(out / "data" / "speech"),
        train=("train",),
        dev=(),
        form="paper",
        objective=objective,
        ratio=None if objective in UNMASKED else MaskRatio(0.4, 0.4),
        epochs=EPOCHS,
        batch_size=BATCH,
        effective_batch=BATCH,
        learning_rate=1.5e-3,
        precision="fp32",
        seed=0,
        full_epochs=EPOCHS,
    )
    distil(settings, out / objective, RuntimeOptions(device="cpu", save_every=STAGE, keep_every=STAGE))


def run(
    task: Task, words: Sequence[str], seed: int, rate: float, options: argparse.Namespace
) -> tuple[Path, Result]:
    """One run of the toolkit, or what it gave before; where tasks come from tables one day, this changes."""
    from downstream_runs import engine
    from downstream_runs.cli.plans import rows_of
    from downstream_runs.cli.run import run_parser
    from downstream_runs.core.run_folder import RESULT

    upstream, *more = words
    out = options.out
    asked = [upstream, task.name, *more, "--data", str(out / "data" / task.data), "--partial"]
    asked += ["--features", "disk", "--seed", str(seed), "--device", "cpu", "--out", str(out / "runs")]
    for key, value in {**task.settings, "optimizer.lr": rate}.items():
        asked += ["-o", f"{key}={json.dumps(value)}"]
    [row] = rows_of(run_parser().parse(asked))
    path = engine.run_dir(row.plan) / RESULT
    if options.finished and not path.is_file():
        raise UsageError("was not run")
    return path, engine.run(row.plan)


def measured(
    made: Mapping[str, tuple[str, ...]], tasks: Sequence[str], options: argparse.Namespace
) -> Iterator[tuple[str, str, list[ScoredItems]]]:
    """Task, upstream, and for each seed what its number comes from; runs that fail are named."""
    for name, (label, words) in itertools.product(tasks, made.items()):
        task, found = TASKS[name], []
        rate = task.rates[0]
        for seed in SEEDS:
            try:
                if seed == SEEDS[0]:
                    rate = min(task.rates, key=lambda one: _error_on_dev(task, words, one, options))
                found.append(_by_item(_items(task, *run(task, words, seed, rate, options))))
            except SuperbError as error:
                print(f"{name}, {label}, seed {seed}: {error}", file=sys.stderr)
        if len(found) == len(SEEDS):
            yield name, label, found


def _error_on_dev(task: Task, words: Sequence[str], rate: float, options: argparse.Namespace) -> float:
    """What a rate is chosen by; nothing is run for a single one."""
    if len(task.rates) == 1:
        return 0.0
    from downstream_runs import tasks
    from downstream_runs.launch.sweep import dev_metric

    _, result = run(task, words, SEEDS[0], rate, options)
    metric = dev_metric(tasks.get(task.name), result)
    return metric.value if metric.direction == "lower" else -metric.value


def _items(task: Task, path: Path, result: Result) -> ScoredItems:
    """What the number of a run comes from; ReportError without it."""
    metric = next(metric for metric in result.metrics if metric.role == "headline")
    if task.metric:
        key = (task.metric, metric.split)
        [metric] = (one for one in result.metrics if (one.name, one.split) == key)
    scored = of_metric(path, result, metric, task.key, named=True)
    assert scored is not None, path
    return scored


def _by_item(scored: ScoredItems) -> ScoredItems:
    """Utterances as the groups, since two or three test speakers are too few; those of trials stay."""
    if scored.of_trials:
        return scored
    [stratum] = scored.strata
    names, places = np.unique(stratum["item"], return_inverse=True)
    return dataclasses.replace(scored, strata=({**stratum, "names": names, "group": places},))


def main() -> None:
    """Run what is missing, and print table, orders and agreement."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", maxsplit=1)[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--real", type=Path, required=True, help="folder of the corpora and of models/")
    parser.add_argument("--ge2e", type=Path, help="Resemblyzer's pretrained.pt (default: without it)")
    parser.add_argument("--tasks", default=",".join(TASKS), help="default %(default)s")
    parser.add_argument("--upstreams", help="labels with commas (default: all)")
    parser.add_argument("--students", type=int, default=2, help="with random weights (default %(default)s)")
    about = "of the loss of distilled students, such as layer_to_layer (default: full alone)"
    parser.add_argument("--objectives", nargs="+", choices=OBJECTIVES, default=["full"], help=about)
    about = "show what has been run, and run nothing"
    parser.add_argument("--finished", action="store_true", help=about)
    parser.add_argument("--no-distil", dest="distil", action="store_false", help="without distilled students")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    lay_out(options.real, options.out / "data")
    whisper(options.real, options.out / "whisper")
    made, tasks = upstreams(options), options.tasks.split(",")
    if options.upstreams:
        made = {label: made[label] for label in options.upstreams.split(",")}
    found = {(task, label): items for task, label, items in measured(made, tasks, options)}
    means = {key: draws(items).point for key, items in found.items()}
    verdicts = [verdict(order, found) for order in EXPECTED if order.task in tasks]
    text = "\n\n".join(
        [
            "Means over three seeds [95 % interval over test items, of verification over enrolled speakers]; "
            "seeds. A small proof on small corpora, no SUPERB numbers.",
            table(found, list(made), tasks),
            "Expected orders, with the difference, its interval and a paired bootstrap's p-value:",
            "\n".join(f"- {line}" for line in verdicts),
            "Rank agreement of tasks (Kendall's tau):",
            "\n".join(f"- {line}" for line in agreement(means, tasks)),
        ]
    )
    atomic_write_text(options.out / "ladder.txt", text + "\n")
    figure(found, tasks, options.out / "ladder.svg")
    print(f"{text}\n\nwritten to {options.out}/ladder.txt and ladder.svg")


if __name__ == "__main__":
    main()
