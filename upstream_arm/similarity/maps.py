"""The attention maps of a student or teacher for one utterance: of each layer and head `[frame, frame]`.

A row has what one frame attends to and adds up to 1. Of a layer that reuses a map it is the one that it
applies, after a second softmax where the student has one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from tqdm import tqdm

from upstream_arm import folders
from upstream_arm.attention import Attention
from upstream_arm.checkpoint import load_student, read
from upstream_arm.common.errors import UpstreamError
from upstream_arm.config import StudentConfig
from upstream_arm.distillation import data
from upstream_arm.distillation.teachers import (
    Teacher,
    TransformersTeacher,
    load_teacher,
)
from upstream_arm.encoders.transformers_encoder import TransformersEncoder
from upstream_arm.student import Student

STUDENT = "student.safetensors"
"""What a distillation calls its student."""


@dataclass(frozen=True)
class Model:
    """A model whose maps can be read. config: of a student; labels: what must be said of its numbers."""

    name: str
    module: Any
    config: StudentConfig | None
    labels: tuple[str, ...]

    @torch.no_grad()
    def maps(self, wav: Tensor) -> Tensor:
        """`[layer, head, frame, frame]` of an utterance `[sample]`, on the CPU."""
        found = _of_student(self.module, wav) if self.config is not None else _of_teacher(self.module, wav)
        return torch.stack([layer[0].float().cpu() for layer in found])


def load(name: str) -> Model:
    """A student's file, a distillation's folder, or what `distill --teacher` takes; else UpstreamError."""
    path = Path(name).expanduser()
    path = path / STUDENT if (path / STUDENT).is_file() else path
    if path.is_file():
        checkpoint = read(path)
        student = load_student(checkpoint)
        student.explicit = True
        return Model(name, student, student.config, checkpoint.labels)
    if name.startswith("s3prl:"):
        raise UpstreamError(
            f"the attention maps of {name} are s3prl's own and cannot be read; name a student's file, or a "
            "speech encoder of transformers"
        )
    teacher = load_teacher(name, layers=0)
    model = _transformers_model(teacher)
    model.set_attn_implementation("eager")  # others never have the whole map
    model.config.output_attentions = True
    return Model(name, teacher, None, ("untrained",) if teacher.labels else ())


def speech(folder: Path, count: int, seconds: float) -> tuple[tuple[str, ...], Iterator[Tensor]]:
    """What must be said of the speech in a folder, and the first seconds of some of it, `[sample]` each.

    UpstreamError where there is none, and for recordings that cannot be used.
    """
    paths = sorted(folders.walk(folder, data.SUFFIXES)) if folder.is_dir() else []
    if not paths:
        raise UpstreamError(f"{folder} has no flac or wav files; name a folder of speech with --audio")
    step = max(len(paths) / count, 1)
    chosen = [paths[int(place * step)] for place in range(min(count, len(paths)))]
    read = (data.read(data.Utterance(path, data.samples(path))) for path in tqdm(chosen, desc="maps"))
    return data.labels(folder), (wav[: round(seconds * data.SAMPLE_RATE)] for wav in read)


def _transformers_model(teacher: Teacher) -> Any:
    return teacher.model.model if isinstance(teacher.model, TransformersEncoder) else teacher.model


def _of_teacher(teacher: Teacher, wav: Tensor) -> list[Tensor]:
    model, found = _transformers_model(teacher), list[Any]()
    handle = model.register_forward_hook(lambda _, __, output: found.append(output.attentions))
    try:
        if isinstance(teacher, TransformersTeacher):
            model((F.layer_norm(wav, wav.shape) if teacher.normalises else wav)[None])
        else:
            teacher.model([wav])
    finally:
        handle.remove()
    maps = list(found[0] or ())
    if not maps or any(one is None or one.ndim != 4 or one.shape[-1] != one.shape[-2] for one in maps):
        raise UpstreamError(
            f"{type(model).__name__} gives no attention map [head, frame, frame] of each layer; name another "
            "model of transformers"
        )
    if isinstance(teacher.model, TransformersEncoder) and teacher.model.family.windows:
        # Of the first window, which may be longer than the utterance: what is attended to of that alone.
        frames = min(-(-len(wav) // teacher.step), maps[0].shape[-1])
        maps = [one[..., :frames, :frames] for one in maps]
        maps = [one / one.sum(-1, keepdim=True) for one in maps]
    return maps


def _of_student(student: Student, wav: Tensor) -> list[Tensor]:
    with _recorded(student) as found:
        student(wav[None], [len(wav)])
    return found


@contextmanager
def _recorded(student: Student) -> Iterator[list[Tensor]]:
    """The map that each layer applies, as it runs."""
    found: list[Tensor] = []

    def keep(attention: Any, _: Any, output: Any) -> None:
        weights = output[1].weights
        again = attention.softmaxes_twice and not attention.computes_map
        found.append(weights.softmax(-1) if again else weights)

    attentions = [module for module in student.modules() if isinstance(module, Attention)]
    handles = [attention.register_forward_hook(keep) for attention in attentions]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
