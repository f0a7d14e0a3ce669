"""Read a student's checkpoint: the authors' Lightning files, bare state dicts, safetensors.

Nothing in a file is ever run (see `torch_files`). Weights are read as float32.
"""

from __future__ import annotations

import dataclasses
import functools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from upstream_arm import families
from upstream_arm.common.errors import UpstreamError, about
from upstream_arm.common.files import atomic_path
from upstream_arm.common.reading import open_regular
from upstream_arm.config import StudentConfig, from_mapping
from upstream_arm.config_yaml import from_authors, load_yaml
from upstream_arm.names import SWITCHES
from upstream_arm.presets import PRESETS
from upstream_arm.student import Student
from upstream_arm.torch_files import damaged, read_torch

STUDENT_PREFIX = "student_model."
TEACHER_PREFIX = "teacher_model."
# Written by torch.nn.parallel.DistributedDataParallel.
PARALLEL_PREFIX = "module."

# Keys of a converted file's metadata.
CONFIG_KEY = "config"
FORMAT_KEY = "student_format"
FORMAT = "1"
# A json list: what has to be said of every number measured with the student, such as "untrained-teacher".
LABELS_KEY = "labels"

#: Weights that do not fit of which a message names so many.
_SHOWN = 3

# Differences in these change no weight and no feature of a checkpoint: training only, or a switch.
_FREE_FIELDS = frozenset(
    ("dropout", "attention_dropout", "activation_dropout", "dropout_input", "layer_grad_scale", *SWITCHES)
)


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """A student's weights and what its file says about them."""

    path: Path
    student_state: Mapping[str, Tensor]  # by the student's own names, float32; a teacher is left out
    config: StudentConfig | None  # that the file carries, None if it carries none
    metadata: Mapping[str, str | int]  # plain remarks, such as `epoch` and `global_step` of a Lightning file
    labels: tuple[str, ...] = ()  # what our safetensors say that results with it must say


def save_student(
    state: Mapping[str, Tensor], config: StudentConfig, path: Path, remarks: Mapping[str, str]
) -> None:
    """Write weights by the student's own names as the self-describing safetensors that `read` reads.

    `remarks` are further metadata, such as `labels`.
    """
    metadata = {
        "format": "pt",  # what safetensors files of torch tensors say by convention
        FORMAT_KEY: FORMAT,
        CONFIG_KEY: json.dumps(config.to_mapping()),
        **remarks,
    }
    with atomic_path(path) as written:
        save_file({key: value.detach().cpu().contiguous() for key, value in state.items()}, written, metadata)


def read(path: Path | str) -> Checkpoint:
    """Read a checkpoint of any supported kind.

    UpstreamError if it is missing, damaged, no checkpoint, asks for code to be run, or holds weights that are
    not finite numbers.
    """
    path = Path(path)
    content, config, remarks, labels = _safetensors(path) if is_safetensors(path) else _torch_file(path)
    state = student_weights(content, path)
    return Checkpoint(path, MappingProxyType(state), config, MappingProxyType(remarks), labels)


def load_student(
    source: Path | str | Checkpoint,
    *,
    model_config: Path | str | StudentConfig | None = None,
    **switches: str | int | None,
) -> Student:
    """Build the student of a checkpoint, in evaluation mode, on the CPU.

    The source is the authors' Lightning file, a state dict, or a safetensors file of ours; or what `read`
    gave. `model_config` is as `choose_config` takes it, and the switches are those of
    `StudentConfig.with_switches`. UpstreamError if the checkpoint cannot be read, does not fit the
    configuration, or carries another one.
    """
    checkpoint = source if isinstance(source, Checkpoint) else read(source)
    config = choose_config(checkpoint, model_config).with_switches(**switches)
    check_fit(checkpoint.student_state, config, checkpoint.path)
    with torch.device("meta"):  # neither time nor random numbers are spent on initial weights
        student = Student(config)
    student.to_empty(device="cpu").load_state_dict(dict(checkpoint.student_state), strict=True)
    return student.eval()


def choose_config(
    checkpoint: Checkpoint, model_config: Path | str | StudentConfig | None = None
) -> StudentConfig:
    """The configuration to read a checkpoint with: the given one, its own, or a preset's that fits.

    Given is a yaml (the authors' or ours) or a configuration. UpstreamError if it contradicts the one that
    the checkpoint carries, or there is none at all.
    """
    carried = checkpoint.config
    if model_config is None:
        if carried is not None:
            return carried
        name, differing = nearest_preset(checkpoint.student_state)
        if not differing:
            return PRESETS[name]
        raise UpstreamError(
            f"{checkpoint.path} carries no configuration and its weights fit no preset (nearest is {name}, "
            f"{differing} differences); give the student's training yaml (--model-config FILE, "
            "s3prl: -g FILE)"
        )
    given = model_config if isinstance(model_config, StudentConfig) else load_yaml(model_config)
    label = "the given configuration" if isinstance(model_config, StudentConfig) else str(model_config)
    if carried is not None:
        check_agreement(carried, given, label, checkpoint.path)
    return given


def check_agreement(carried: StudentConfig, given: StudentConfig, label: str, path: Path) -> None:
    """UpstreamError if a configuration, called `label`, describes another model than the file's own."""
    for field in dataclasses.fields(carried):
        own, other = getattr(carried, field.name), getattr(given, field.name)
        # Any depth will do for an unfolded student, and only for one.
        free = field.name in _FREE_FIELDS and (own is None) == (other is None)
        if not free and own != other:
            raise UpstreamError(
                f"{path} was made with {field.name} {own!r}, but {label} says {other!r}; "
                "give the yaml of this checkpoint, or none, to use its own"
            )


def is_safetensors(path: Path) -> bool:
    """Whether a file is safetensors; if not it may be torch's. UpstreamError if it can be neither."""
    try:
        with open_regular(path) as file:
            head = file.read(512)
    except OSError as error:
        raise UpstreamError(
            f"{path} cannot be read ({error.strerror}), expected a student's checkpoint; check the path"
        ) from None
    if head.startswith((b"PK\x03\x04", b"\x80")):
        return False
    if head[8:9] == b"{":
        return True
    what = f"no checkpoint (it begins with {head[:16]!r})"
    if head.startswith(b"version https://git-lfs"):
        what = "a git-lfs pointer and not what it points to"
    if head.lstrip().lower().startswith((b"<!doctype", b"<html", b"<head", b"<?xml")):
        what = "a web page"
    raise UpstreamError(f"{path} is {what}, expected a torch or safetensors file; download the file itself")


_Content = tuple[Mapping[Any, Any], StudentConfig | None, dict[str, str | int], tuple[str, ...]]


def read_content(path: Path) -> Mapping[Any, Any]:
    """What a torch file holds by name; UpstreamError if it does not, or asks for code to be run."""
    content = read_torch(path)
    if not isinstance(content, Mapping) or not content:
        raise UpstreamError(
            f"{path} holds no weights by name, expected a student's checkpoint; give another file"
        )
    return content


def _torch_file(path: Path) -> _Content:
    """Weights by name, the configuration in the authors' Lightning files, the file's remarks and labels."""
    content = read_content(path)
    families.refuse_other(content, path)
    lightning = "state_dict" in content
    state = content["state_dict"] if lightning else content
    if not isinstance(state, Mapping) or not any(isinstance(value, Tensor) for value in state.values()):
        keys = ", ".join(repr(key) for key in list(content)[:5])
        raise UpstreamError(
            f"{path} holds no student (its entries are {keys}), expected weights; give another file"
        )
    if not lightning:
        return state, None, {}, ()
    remarks = {str(key): value for key, value in content.items() if isinstance(value, (str, int))}
    block = training_settings(content)
    with about(path):
        config = from_authors(block) if block is not None else None
    return state, config, remarks, ()


def training_settings(content: Mapping[Any, Any]) -> Mapping[str, Any] | None:
    """The `distiller` block of the training yaml that the authors' Lightning files hold; None without one."""
    block: Any = content.get("hyper_parameters")
    for key in ("cfg", "distiller"):
        block = block.get(key) if isinstance(block, Mapping) else None
    return block if isinstance(block, Mapping) else None


def _safetensors(path: Path) -> _Content:
    """Likewise of a safetensors file, with the configuration that `save_student` writes."""
    try:
        with safe_open(path, framework="pt") as file:
            metadata = dict(file.metadata() or {})
            state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no iterator)
        labels = json.loads(metadata.get(LABELS_KEY, "[]"))
    except (SafetensorError, ValueError) as error:
        raise damaged(path, str(error)) from None
    if not isinstance(labels, list) or any(not isinstance(label, str) for label in labels):
        raise damaged(path, f"its labels are {labels!r}")
    if FORMAT_KEY not in metadata:
        return state, None, metadata, tuple(labels)
    try:
        if metadata[FORMAT_KEY] != FORMAT:
            raise ValueError(f"student format {metadata[FORMAT_KEY]!r}, expected {FORMAT!r}")
        return state, from_mapping(json.loads(metadata[CONFIG_KEY])), metadata, tuple(labels)
    except (KeyError, TypeError, ValueError) as error:
        raise UpstreamError(
            f"{path} has no readable configuration ({error}); convert it again with this version"
        ) from None


def student_weights(state: Mapping[Any, Any], path: Path) -> dict[str, Tensor]:
    """The student's weights as float32, by its own names, without a teacher's and without prefixes.

    UpstreamError if there are none, or one is not finite numbers.
    """
    tensors = {str(key): value for key, value in state.items() if isinstance(value, Tensor)}
    if all(key.startswith(PARALLEL_PREFIX) for key in tensors):
        tensors = {key.removeprefix(PARALLEL_PREFIX): value for key, value in tensors.items()}
    if any(key.startswith((STUDENT_PREFIX, TEACHER_PREFIX)) for key in tensors):
        own = {key: value for key, value in tensors.items() if key.startswith(STUDENT_PREFIX)}
        if not own:
            raise UpstreamError(
                f"{path} holds only a teacher's weights, expected a student's; give another file"
            )
        tensors = {key.removeprefix(STUDENT_PREFIX): value for key, value in own.items()}
    return {key: _float32(tensor, key, path) for key, tensor in tensors.items()}


def _float32(tensor: Tensor, key: str, path: Path) -> Tensor:
    """A copy of a weight as float32 (files may hold half precision), refused unless it is finite numbers."""
    if not tensor.is_floating_point():
        raise UpstreamError(
            f"{path} holds {key} as {str(tensor.dtype).removeprefix('torch.')}, expected floating point "
            "weights; use a checkpoint that is not quantised"
        )
    # A view may claim more elements than there are: a stride of 0 repeats one.
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        raise damaged(path, f"the data of {key} is smaller than its shape {tuple(tensor.shape)}")
    tensor = tensor.detach().to(torch.float32, copy=True)
    if not bool(tensor.isfinite().all()):
        raise UpstreamError(
            f"{path} has {int((~tensor.isfinite()).sum())} weights in {key} that are not finite numbers, "
            "expected none; use a checkpoint whose training did not diverge"
        )
    return tensor


@functools.cache
def expected_shapes(config: StudentConfig) -> dict[str, tuple[int, ...]]:
    """Name and shape of every weight of a student; no memory is taken for them."""
    with torch.device("meta"):
        return shapes(Student(config).state_dict())


def shapes(state: Mapping[str, Tensor]) -> dict[str, tuple[int, ...]]:
    """The shape of each weight."""
    return {key: tuple(tensor.shape) for key, tensor in state.items()}


def nearest_preset(state: Mapping[str, Tensor]) -> tuple[str, int]:
    """The preset whose weights differ least from these in name and shape, and in how many they differ.

    Presets of one shape (S models of several teachers and corpora) cannot be told apart; the first is named.
    """
    own = set(shapes(state).items())
    # Missing, surplus and misshaped weights count alike, a misshaped one twice.
    distances = {name: len(own ^ set(expected_shapes(PRESETS[name]).items())) for name in PRESETS}
    name = min(distances, key=lambda preset: distances[preset])
    return name, distances[name]


def check_fit(state: Mapping[str, Tensor], config: StudentConfig, path: Path) -> None:
    """Make sure that the weights are exactly those of the configuration.

    UpstreamError names the first missing, surplus and misshaped weights and the preset that fits.
    """
    told = misfit(shapes(state), expected_shapes(config))
    if told is None:
        return
    name, differing = nearest_preset(state)
    raise UpstreamError(
        f"the weights of {path} do not fit the student's configuration: {told}; give the training yaml that "
        f"the checkpoint was made with (the preset {name} has {differing} differences)"
    )


def misfit(own: Mapping[str, tuple[int, ...]], expected: Mapping[str, tuple[int, ...]]) -> str | None:
    """The first missing, surplus and misshaped weights in words; None if they are the expected ones."""
    wrong = [
        f"{key} is {own.get(key, 'missing')}, expected {expected.get(key, 'none')}"
        for key in {**expected, **own}
        if own.get(key) != expected.get(key)
    ]
    more = f" and {len(wrong) - _SHOWN} more" if wrong[_SHOWN:] else ""
    return f"{', '.join(wrong[:_SHOWN])}{more}" if wrong else None
