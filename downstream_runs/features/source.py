"""Hidden states from a store, computed by the upstream where the store has none.

Every utterance's features are computed alone, so that they do not depend on which batch came first. An
upstream whose features depend on the padding of their batch then gives other numbers than stock s3prl, which
the run states as a deviation.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from downstream_runs.errors import UsageError
from downstream_runs.features.store import Store

if TYPE_CHECKING:
    from torch import Tensor, nn

Mode = Literal["off", "memory", "disk", "auto"]
Kind = Literal["frames", "pooled"]
Precision = Literal["fp16", "bf16", "fp32"]

MODES: tuple[Mode, ...] = ("off", "memory", "disk", "auto")
PRECISIONS: tuple[Precision, ...] = ("fp16", "bf16", "fp32")

FEW_UTTERANCES = 500
"""A corpus of no more training utterances has its frames kept in memory by `auto`."""

MEMORY_BYTES = 4_000_000_000
"""What `memory` takes at most where no bound is given."""

VERSION = 1
"""To be raised when an item of the same key would hold something else."""


@dataclass(frozen=True)
class Settings:
    """How a run uses stored features.

    mode: `off` computes them in every pass, as stock s3prl does; `memory` and `disk` store them; `auto`
    stores them where that changes no number but for rounding in fp32: for an upstream that does not depend on
    the batch, pooled items on disk, and the frames of a small corpus in memory.
    precision: of stored frames; pooled items are always fp32. limit: bytes of all items.
    """

    mode: Mode = "off"
    precision: Precision = "fp16"
    limit: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"--features {self.mode!r} is unknown, expected one of {', '.join(MODES)}")
        if self.precision not in PRECISIONS:
            raise UsageError(
                f"--features-precision {self.precision!r} is unknown, expected one of {', '.join(PRECISIONS)}"
            )


@dataclass(frozen=True)
class Choice:
    """What a run stores, as its result says it; `mode` is `off`, `memory` or `disk`."""

    mode: Mode
    kind: Kind = "frames"
    precision: Precision = "fp32"


def choose(settings: Settings, poolable: bool, batch_free: bool, utterances: int) -> Choice:
    """Settle `auto`, kind and precision for a task and an upstream.

    poolable: the task's head has only linear maps around mean pooling. batch_free: the upstream's features of
    an utterance do not depend on its batch. utterances: how many are trained on.
    """
    if settings.mode == "off":
        return Choice("off")
    if settings.mode != "auto":
        kind: Kind = "pooled" if poolable else "frames"
        return Choice(settings.mode, kind, "fp32" if poolable else settings.precision)
    if batch_free and poolable:
        return Choice("disk", "pooled", "fp32")
    if batch_free and utterances <= FEW_UTTERANCES:
        return Choice("memory", "frames", "fp32")
    return Choice("off")


def deviations(choice: Choice, batch_free: bool) -> tuple[str, ...]:
    """What the choice changes in the numbers, a sentence each."""
    if choice.mode == "off":
        return ()
    found = []
    if choice.precision != "fp32":
        found.append(f"stored features are rounded to {choice.precision}")
    if not batch_free:
        found.append(
            "each utterance has the features that it gets alone; s3prl computes them in a batch, where this "
            "upstream's features depend on padding"
        )
    return tuple(found)


def is_batch_free(upstream: Any) -> bool:
    """Whether an upstream says that an utterance's features do not depend on its batch (`batching` exact)."""
    return dict(getattr(upstream, "switches", None) or {}).get("batching") == "exact"


class Source:
    """Gives s3prl's featurizer what the upstream would: waveforms and hidden states of a batch."""

    def __init__(
        self, upstream: nn.Module, identity: str, choice: Choice, store: Store, rate: int, seldom: bool
    ) -> None:
        """Take the upstream's place.

        identity: tells one upstream's features from another's, SHA-256 over weights and switches.
        rate: samples from one frame to the next. seldom: items may be random crops, which never come again,
        so that one is stored only when it comes a second time.
        """
        import torch

        self.upstream, self.choice, self.store, self.rate = upstream, choice, store, rate
        self.batch_free = is_batch_free(upstream)
        self._prefix = f"{VERSION} {identity} {choice.kind} {choice.precision}".encode()
        self._dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[choice.precision]
        self._seen: set[int] | None = set() if seldom else None

    def __call__(self, wavs: Sequence[Tensor]) -> tuple[list[Tensor], dict[str, Any], list[int]]:
        """Waveforms `[sample]` on a device to what the featurizer takes, and the frames each item has.

        Returns waveforms as long as the frames stand for, the hidden states, each `[batch, frame, feature]`,
        and for each item the number of frames that are its own, or that repeat its last.
        """
        items = [self._item(wav) for wav in wavs]
        if self.choice.kind == "pooled":
            return self._pooled(wavs, items)
        counts = [item["frames"].shape[1] for item in items]
        longest = max(counts)
        padded = [_repeat_last(item["frames"].to(wavs[0].device).float(), longest) for item in items]
        hidden = list(_stack(padded))
        # An upstream that does not depend on the batch repeats its last frame where s3prl asks for more.
        own = [longest] * len(items) if self.batch_free else counts
        return list(wavs), {"hidden_states": hidden, "last_hidden_state": hidden[-1]}, own

    def _pooled(
        self, wavs: Sequence[Tensor], items: Sequence[Mapping[str, Tensor]]
    ) -> tuple[list[Tensor], dict[str, Any], list[int]]:
        """Means over frames as single frames, over those that s3prl's featurizer would leave."""
        longest = max(int(item["count"]) for item in items)
        means = []
        for wav, item in zip(wavs, items, strict=True):
            count, wanted = int(item["count"]), self._wanted(len(wav))
            frames = min(wanted, longest if self.batch_free else count)
            more = max(frames - count, 0)
            total = item["sum"].to(wav.device) + more * item["last"].to(wav.device)
            means.append((total / frames).unsqueeze(1))
        hidden = list(_stack(means))
        short = [wav.new_zeros(self.rate) for wav in wavs]
        return short, {"hidden_states": hidden, "last_hidden_state": hidden[-1]}, [1] * len(items)

    def _wanted(self, samples: int) -> int:
        """The frames that s3prl's featurizer keeps of an utterance (s3prl/upstream/interfaces.py, tolist)."""
        return round(samples / self.rate)

    def _item(self, wav: Tensor) -> dict[str, Tensor]:
        import torch

        digest = hashlib.sha256(self._prefix)
        digest.update(str(torch.is_autocast_enabled(wav.device.type)).encode())
        digest.update(str(torch.get_autocast_dtype(wav.device.type)).encode())
        digest.update(wav.detach().cpu().contiguous().numpy().tobytes())
        found = self.store.get(digest.hexdigest())
        if found is not None:
            return found
        item = self._compute(wav)
        short = int.from_bytes(digest.digest()[:8], "little")
        if self._seen is None or short in self._seen:
            self.store.put(digest.hexdigest(), item)
        else:
            self._seen.add(short)
        return item

    def _compute(self, wav: Tensor) -> dict[str, Tensor]:
        import torch

        with torch.no_grad():
            states = self.upstream([wav])["hidden_states"]
        frames = torch.stack([state[0] for state in states]).float()
        if self.choice.kind == "frames":
            return {"frames": frames.to(self._dtype).cpu().contiguous()}
        kept = frames[:, : self._wanted(len(wav))]
        return {
            "sum": kept.sum(dim=1).cpu(),
            "last": frames[:, -1].cpu().contiguous(),
            "count": torch.tensor(frames.shape[1]),
        }


def _repeat_last(frames: Tensor, longest: int) -> Tensor:
    """`[layer, frame, feature]` lengthened to `longest` frames."""
    import torch

    missing = longest - frames.shape[1]
    return frames if missing == 0 else torch.cat([frames, frames[:, -1:].expand(-1, missing, -1)], dim=1)


def _stack(items: Sequence[Tensor]) -> Tensor:
    """Items `[layer, frame, feature]` to `[layer, batch, frame, feature]`."""
    import torch

    return torch.stack(list(items), dim=1)


def folder(cache: Path, identity: str) -> Path:
    """Where an upstream's items are, below the folder of caches."""
    return cache / "features" / identity[:16]


def identity(weights_sha256: str, switches: Mapping[str, Any]) -> str:
    """SHA-256 over what decides an upstream's features: weights and switches."""
    text = json.dumps([weights_sha256, dict(switches)], sort_keys=True)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()
