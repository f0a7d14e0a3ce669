"""What a student looks like: one frozen record, however it was written down.

Sources of the fields: the paper's section 3 and Table 2 (arXiv 2305.11685) and the authors' released
training yaml, which `config_yaml` reads.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Iterable, Mapping
from typing import Any, Literal, NoReturn, TypeAlias, cast

from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.words import shown
from upstream_arm.names import SWITCHES

ConvLayer = tuple[int, int, int]
"""(out channels, kernel, stride) of a convolution."""
Value: TypeAlias = "int | bool | list[Value] | tuple[Value, ...]"
"""What a list expression may hold."""

# A pattern never needs more; a larger one is a mistake or an attempt to fill the memory.
MAX_ITEMS = 10_000

ReuseSoftmax = Literal["double", "single"]
Batching = Literal["exact", "released"]

# Names of the paper's Table 2; the numbers are the layers between two computed maps.
NAMED_PATTERNS = {"none": 1, "2by6": 2, "3by4": 3, "6by2": 6}


@dataclasses.dataclass(frozen=True)
class StudentConfig:
    """Shape and switches of one student; UpstreamError for values that no student can have.

    An unfolded student runs each block `repeats` times, one run after another, before the next block; every
    run is a layer with the block's weights, and its output passes through the block's projection. So no
    weight depends on it, and a checkpoint can be loaded at any depth. After the abstract of arXiv 2505.21237
    ("unfolded many times"); that a block's runs follow each other is inferred.
    """

    conv_layers: tuple[ConvLayer, ...]  # of the waveform front end
    embed_dim: int  # width d of the encoder
    ffn_dim: int  # inner width of the feed-forward networks
    # By block: True computes its own attention map, False reuses the last one. A block is a layer, unless the
    # student is unfolded.
    reuse_pattern: tuple[bool, ...]
    heads: int = 12
    projection_dim: int | None = 768  # width of the per-layer projections (the teacher's), None for none
    conv_pos: int = 128  # kernel of the positional convolution, in frames
    conv_pos_groups: int = 16
    # In training only: on the outputs of attention and feed-forward network, on attention weights, inside the
    # feed-forward network, on the front end's output.
    dropout: float = 0.1
    attention_dropout: float = 0.1
    activation_dropout: float = 0.1
    dropout_input: float = 0.05
    layer_grad_scale: bool = True  # scale the gradient that enters each layer as the authors' code does
    # `double` as in the released code and checkpoints (a reused map is softmaxed again), `single` as in the
    # paper's equation 4.
    reuse_softmax: ReuseSoftmax = "double"
    # `exact` gives every utterance the features it would get alone; `released` is the authors' behaviour in a
    # batch (mixed heads, statistics over padding), bit for bit.
    batching: Batching = "exact"
    repeats: int | None = None  # None for the paper's students, whose layers have weights of their own

    def __post_init__(self) -> None:
        check_values(self)
        _check_fit(self)

    @property
    def attention_width(self) -> int:
        """Width of queries, keys and values, all heads side by side."""
        return self.embed_dim

    @property
    def layers(self) -> int:
        """Number of encoder layers, each run of a block counted."""
        return self.blocks * (self.repeats or 1)

    @property
    def blocks(self) -> int:
        """Number of encoder layers with weights of their own."""
        return len(self.reuse_pattern)

    @property
    def switches(self) -> dict[str, str]:
        """The settings that change the arithmetic without changing the weights; every result records them."""
        unfolded = {} if self.repeats is None else {"repeats": str(self.repeats)}
        return {"reuse_softmax": self.reuse_softmax, "batching": self.batching, **unfolded}

    def with_switches(self, **switches: str | int | None) -> StudentConfig:
        """A copy with some switches set; None leaves a switch, and so does `own` for `repeats`.

        UpstreamError for an unknown switch or value, and for `repeats` of a student that is not unfolded.
        """
        changes: dict[str, Any] = {}
        for name, value in switches.items():
            if name not in SWITCHES:
                raise UpstreamError(f"there is no switch {name!r}, expected {' or '.join(SWITCHES)}")
            if value is not None and str(value) not in SWITCHES[name]:
                known = ", ".join(SWITCHES[name])
                raise UpstreamError(f"the switch {name} is {value!r}, expected one of {known}; correct it")
            if value not in (None, SWITCHES["repeats"][0]):
                changes[name] = int(value) if name == "repeats" else value
        if "repeats" in changes and self.repeats is None:
            raise UpstreamError(
                "the switch repeats is for unfolded students, and this one's layers have weights of their "
                "own; leave it out"
            )
        return self.replace(**changes)

    def replace(self, **changes: Any) -> StudentConfig:
        """A copy with some fields changed, checked again."""
        return dataclasses.replace(self, **changes)

    def to_mapping(self) -> dict[str, Any]:
        """Plain lists and numbers, as `from_mapping` reads them and yaml or json can hold them.

        `repeats` is there for unfolded students alone: others are written as they were before it existed.
        """
        mapping = dataclasses.asdict(self)
        mapping["conv_layers"] = [list(layer) for layer in self.conv_layers]
        mapping["reuse_pattern"] = list(self.reuse_pattern)
        if self.repeats is None:
            del mapping["repeats"]
        return mapping


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


def refuse(config: StudentConfig, name: str, expected: str) -> NoReturn:
    """Raise UpstreamError for the value of a field."""
    value = shown(getattr(config, name))
    raise UpstreamError(f"{name} is {value}, expected {expected}; correct it in the model's configuration")


def check_count(config: StudentConfig, name: str) -> None:
    """UpstreamError if a field is no positive whole number."""
    if not _is_count(getattr(config, name)):
        refuse(config, name, "a positive whole number")


def check_values(config: StudentConfig) -> None:
    """UpstreamError for a value that no encoder can have, whatever its other ones are."""
    for name in ("embed_dim", "ffn_dim", "heads", "conv_pos", "conv_pos_groups"):
        check_count(config, name)
    for name in ("projection_dim", "repeats"):
        if getattr(config, name) is not None and not _is_count(getattr(config, name)):
            refuse(config, name, "a positive whole number or nothing")
    for name in ("dropout", "attention_dropout", "activation_dropout", "dropout_input"):
        value = getattr(config, name)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
            refuse(config, name, "a number from 0 up to 1")
    for name in ("reuse_softmax", "batching"):
        if getattr(config, name) not in SWITCHES[name]:
            refuse(config, name, " or ".join(SWITCHES[name]))
    if not isinstance(config.layer_grad_scale, bool):
        refuse(config, "layer_grad_scale", "true or false")
    triples = all(len(layer) == 3 and all(map(_is_count, layer)) for layer in config.conv_layers)
    if not config.conv_layers or not triples:
        refuse(config, "conv_layers", "triples of positive numbers (out channels, kernel, stride)")
    check_divisible(config, "conv_pos_groups")
    if not config.reuse_pattern or any(not isinstance(entry, bool) for entry in config.reuse_pattern):
        refuse(config, "reuse_pattern", "a list of true and false, one a block")
    if not config.reuse_pattern[0]:
        refuse(config, "reuse_pattern", "true first: no layer before the first computes a map to reuse")


def check_divisible(config: StudentConfig, name: str) -> None:
    """UpstreamError if the encoder's width cannot be divided into so many heads or groups."""
    if config.embed_dim % getattr(config, name):
        refuse(config, "embed_dim", f"a width that is divisible by {name} {getattr(config, name)}")


def _check_fit(config: StudentConfig) -> None:
    check_divisible(config, "heads")
    if config.conv_layers[-1][0] != config.embed_dim:
        refuse(config, "embed_dim", f"{config.conv_layers[-1][0]}, the channels of the last convolution")


def reuse_pattern(pattern: str | Iterable[bool], layers: int = 12) -> tuple[bool, ...]:
    """The layers that compute their own map, by `none`, `2by6`, `3by4`, `6by2`, "[True, False] * 6" or list.

    `layers` is the number of encoder layers, for the named patterns. UpstreamError for another text.
    """
    if isinstance(pattern, str):
        if pattern.lower() in NAMED_PATTERNS:
            every = NAMED_PATTERNS[pattern.lower()]
            return tuple(layer % every == 0 for layer in range(layers))
        if not pattern.strip().startswith(("[", "(")) and "*" not in pattern:
            raise UpstreamError(
                f"reuse pattern {pattern!r} is unknown, expected one of {', '.join(NAMED_PATTERNS)} "
                "or a list such as '[True, False] * 6'"
            )
        pattern = cast("list[bool]", parse_list(pattern, "reuse_pattern"))
    return tuple(pattern)


def from_mapping(mapping: Mapping[str, Any]) -> StudentConfig:
    """Read our own form, as `to_mapping` writes it; UpstreamError for unknown, missing or wrong keys."""
    fields = dataclasses.fields(StudentConfig)
    needed = [field.name for field in fields if field.default is dataclasses.MISSING]
    check_keys(mapping, [field.name for field in fields], needed, "the student's configuration")
    values = dict(mapping)
    values["conv_layers"] = read_conv_layers(values["conv_layers"], "conv_layers")
    pattern = values["reuse_pattern"]
    if not isinstance(pattern, (str, list, tuple)):
        raise UpstreamError(f"reuse_pattern is {pattern!r}, expected a name or a list; correct it")
    values["reuse_pattern"] = reuse_pattern(pattern)
    return StudentConfig(**values)


def check_keys(block: Mapping[str, Any], known: Collection[str], needed: Iterable[str], what: str) -> None:
    """UpstreamError for a key of `block` that is not known, or one that it needs and lacks."""
    unknown = sorted(str(key) for key in block if key not in known)
    if unknown:
        raise UpstreamError(f"{what} has the unknown key {unknown[0]!r}; correct its spelling or remove it")
    lacking = [key for key in needed if key not in block]
    if lacking:
        raise UpstreamError(f"{what} lacks the key {lacking[0]!r}; add it")


def read_conv_layers(value: Any, key: str) -> tuple[ConvLayer, ...]:
    """Convolutions from a list, or a list expression, under the setting `key`."""
    layers: Any = parse_list(value, key) if isinstance(value, str) else value
    if not isinstance(layers, (list, tuple)) or any(not isinstance(layer, (list, tuple)) for layer in layers):
        raise UpstreamError(
            f"{key} is {value!r}, expected a list of (out channels, kernel, stride); correct it"
        )
    return tuple(cast(ConvLayer, tuple(layer)) for layer in layers)


def parse_list(text: str, key: str) -> list[Value]:
    """Read a list expression of the authors' yaml files, such as "[(256, 3, 2)] * 4 + [(432, 1, 1)]".

    Nothing is evaluated. Only lists, tuples, integers and booleans, joined by + and repeated by *, are
    accepted; UpstreamError, which names the setting `key`, for anything else.
    """
    try:
        value = _read(ast.parse(text.strip(), mode="eval").body)
    except (SyntaxError, ValueError, TypeError, MemoryError, RecursionError):
        value = 0
    if not isinstance(value, list):
        raise UpstreamError(
            f"{key} is {shown(text)}, expected a list of numbers, booleans or tuples joined by + and *, "
            "for example '[(256, 3, 2)] * 4 + [(432, 1, 1)]'; correct it in the model's yaml"
        )
    return value


def _read(node: ast.expr) -> Any:
    """The value of an expression; ValueError or TypeError for other kinds of expressions."""
    match node:
        case ast.Constant(value=int() as value):
            return value
        case ast.UnaryOp(op=ast.USub()):
            return -_read(node.operand)
        case ast.List():
            return [_read(item) for item in node.elts]
        case ast.Tuple():
            return tuple(_read(item) for item in node.elts)
        case ast.BinOp(op=ast.Add()):
            left, right = _read(node.left), _read(node.right)
            if isinstance(left, list) and len(left) + len(right) <= MAX_ITEMS:
                return left + right
        case ast.BinOp(op=ast.Mult()):
            sides = (_read(node.left), _read(node.right))
            items, times = sorted(sides, key=lambda side: isinstance(side, int))
            if len(items) * times <= MAX_ITEMS:
                return items * times
    raise ValueError
