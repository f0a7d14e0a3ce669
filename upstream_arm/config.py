"""What a student looks like: one frozen record, however it was written down.

Sources of the fields: the paper's section 3 and Table 2 (arXiv 2305.11685) and the authors' released
training yaml, which `config_yaml` reads.
"""

from __future__ import annotations

import ast
import dataclasses
from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias, cast

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
        for name, is_right, expected in _requirements(self):
            if not is_right:
                raise UpstreamError(
                    f"{name} is {getattr(self, name)!r}, expected {expected}; correct it in the model's "
                    "configuration"
                )

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


def _requirements(config: StudentConfig) -> Iterator[tuple[str, bool, str]]:
    """Field, whether its value is right, and what is expected; later ones build on those before."""
    for name in ("embed_dim", "ffn_dim", "heads", "conv_pos", "conv_pos_groups"):
        yield name, _is_count(getattr(config, name)), "a positive whole number"
    for name in ("projection_dim", "repeats"):
        value: Any = getattr(config, name)
        yield name, value is None or _is_count(value), "a positive whole number or nothing"
    for name in ("dropout", "attention_dropout", "activation_dropout", "dropout_input"):
        value = getattr(config, name)
        yield name, type(value) in (int, float) and 0 <= value < 1, "a number from 0 up to 1"
    for name in ("reuse_softmax", "batching"):
        yield name, getattr(config, name) in SWITCHES[name], " or ".join(SWITCHES[name])
    for name in ("heads", "conv_pos_groups"):
        number = getattr(config, name)
        yield "embed_dim", config.embed_dim % number == 0, f"a width that is divisible by {name} {number}"
    yield "layer_grad_scale", isinstance(config.layer_grad_scale, bool), "true or false"
    triples = all(len(layer) == 3 and all(map(_is_count, layer)) for layer in config.conv_layers)
    whole = bool(config.conv_layers) and triples
    yield "conv_layers", whole, "triples of positive numbers (out channels, kernel, stride)"
    last = config.conv_layers[-1][0]
    yield "embed_dim", last == config.embed_dim, f"{last}, the channels of the last convolution"
    pattern = config.reuse_pattern
    flags = bool(pattern) and all(isinstance(entry, bool) for entry in pattern)
    yield "reuse_pattern", flags, "a list of true and false, one a block"
    yield "reuse_pattern", pattern[0], "true first: no layer before the first computes a map to reuse"


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
    layers: Any = values["conv_layers"]
    layers = parse_list(layers, "conv_layers") if isinstance(layers, str) else layers
    if not isinstance(layers, (list, tuple)) or any(not isinstance(layer, (list, tuple)) for layer in layers):
        raise UpstreamError(
            f"conv_layers is {layers!r}, expected a list of (out channels, kernel, stride); correct it"
        )
    values["conv_layers"] = tuple(map(tuple, layers))
    pattern = values["reuse_pattern"]
    if not isinstance(pattern, (str, list, tuple)):
        raise UpstreamError(f"reuse_pattern is {pattern!r}, expected a name or a list; correct it")
    values["reuse_pattern"] = reuse_pattern(pattern)
    return StudentConfig(**values)


def check_keys(block: Mapping[str, Any], known: Collection[str], needed: Iterable[str], what: str) -> None:
    """UpstreamError for a key of `block` that is not known, or one that it needs and lacks."""
    unknown = sorted(str(key) for key in block if key not in known)
    if unknown:
        raise UpstreamError(
            f"{what} has the unknown key {unknown[0]!r}, expected only {', '.join(known)}; correct it"
        )
    lacking = [key for key in needed if key not in block]
    if lacking:
        raise UpstreamError(f"{what} lacks the key {lacking[0]!r}; add it")


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
            items, times = sorted(
                (_read(node.left), _read(node.right)), key=lambda side: isinstance(side, int)
            )
            if len(items) * times <= MAX_ITEMS:
                return items * times
    raise ValueError
