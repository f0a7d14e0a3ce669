"""The pieces of s3prl that a run is made of, built in s3prl's order: they draw the same random numbers."""

from __future__ import annotations

import contextlib
import functools
import importlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from downstream_runs.core.generators import seed_everything
from downstream_runs.core.run import RunPlan
from downstream_runs.features.extractor import audio_of
from downstream_runs.upstreams import sources
from downstream_runs.upstreams.checked import CheckedUpstream, weights_sha256
from downstream_runs.upstreams.quantized import quantize
from upstream_arm.common import devices
from upstream_arm.common.devices import pick as pick_device
from upstream_arm.common.errors import RunFailed, UsageError, sentence
from upstream_arm.common.program import PROGRAM
from upstream_arm.common.words import shown

if TYPE_CHECKING:
    from downstream_runs.features.extractor import FeatureExtractor
    from downstream_runs.features.items import ItemCache


class ScalarLog:
    """Stands where s3prl expects its TensorBoard writer and keeps the scalars that are logged."""

    def __init__(self) -> None:
        self.scalars: dict[str, float] = {}

    def add_scalar(self, name: str, value: Any, global_step: int = 0) -> None:
        """Keep one scalar under s3prl's name."""
        self.scalars[name] = float(value)


@dataclass
class Components:
    """The frozen upstream and what is trained on it, on their device.

    featurizer, downstream: None for a task that trains nothing.
    """

    upstream: Any  # a module, its outputs checked
    featurizer: Any  # modules whose other attributes are s3prl's, unknown to type checkers
    downstream: Any
    device: torch.device
    extractor: FeatureExtractor | None = None  # where features are stored
    mixer: Callable[[Any], Any] | None = None  # what adds noise to each waveform, while a test is noisy

    def train(self) -> None:
        """Training mode for what is trained; the upstream always stays in evaluation mode."""
        self.upstream.eval()
        self.featurizer.train()
        self.downstream.train()

    def eval(self) -> None:
        """Evaluation mode for everything."""
        for module in (self.upstream, self.featurizer, self.downstream):
            module.eval()

    def features(self, wavs: list[Any]) -> list[torch.Tensor]:
        """The weighted-sum features of waveforms `[sample]`, one `[frame, feature]` each, on the device."""
        if self.mixer is not None:
            wavs = [torch.from_numpy(self.mixer(audio_of(wav))) for wav in wavs]
        if self.extractor is not None:
            return self.extractor.features(self.featurizer, wavs, self.device)
        placed = _placed(wavs, self.device)
        with torch.no_grad():
            hidden = self.upstream(placed)
        found: list[torch.Tensor] = self.featurizer(placed, hidden)
        return found

    @property
    def pooled(self) -> bool:
        """Whether features are the means over frames, one frame an utterance."""
        return self.extractor is not None and self.extractor.stored.kind == "pooled"

    def items(self, split: str) -> ItemCache | None:
        """The items of a split that need not be read again; None where features are not stored."""
        return None if self.extractor is None else self.extractor.items(split)

    def loader(self, split: str, epoch: int = 0) -> Any:
        """s3prl's data loader of `split`; UsageError if the data does not allow one."""
        try:
            try:
                return self.downstream.get_dataloader(split, epoch=epoch)
            except TypeError as error:
                # Few experts take the epoch; s3prl asks in the same way.
                if "unexpected keyword argument 'epoch'" not in str(error):
                    raise
                return self.downstream.get_dataloader(split)
        except (ValueError, AssertionError, KeyError, OSError) as error:
            raise UsageError(
                f"s3prl cannot make batches of split {split}: {type(error).__name__}: {error}; "
                f"look at the corpus with `{PROGRAM} check`"
            ) from error

    def log_records(
        self, split: str, records: Any, step: int, batch_ids: list[int], total: int
    ) -> dict[str, float]:
        """Have s3prl's expert log what it recorded of so many batches in all; the scalars by its names."""
        log = ScalarLog()
        with torch.no_grad():
            self.downstream.log_records(
                split,
                records=records,
                logger=log,
                global_step=step,
                batch_ids=batch_ids,
                total_batch_num=total,
            )
        return log.scalars

    def layer_weights(self) -> list[float] | None:
        """The featurizer's weights over the hidden states, summing to 1; None if there is one layer only."""
        weights = getattr(self.featurizer, "weights", None)
        return None if weights is None else weights.detach().float().softmax(-1).cpu().tolist()

    @functools.cached_property
    def upstream_sha256(self) -> str:
        """SHA-256 over the frozen upstream's weights, which tells apart even those without a file."""
        return weights_sha256(self.upstream)

    def trained_state(self) -> dict[str, Any]:
        """The states of featurizer and downstream under s3prl's names."""
        return {"Featurizer": self.featurizer.state_dict(), "Downstream": self.downstream.state_dict()}

    def load_trained_state(self, state: Mapping[str, Any]) -> None:
        """Put back what `trained_state` gave."""
        self.featurizer.load_state_dict(state["Featurizer"])
        self.downstream.load_state_dict(state["Downstream"])


def _placed(wavs: list[Any], device: torch.device) -> list[torch.Tensor]:
    """Waveforms `[sample]` on the device, all in one copy."""
    tensors: list[torch.Tensor] = [torch.FloatTensor(wav) for wav in wavs]
    if device.type == "cpu":
        return tensors
    return list(devices.to_device(torch.cat(tensors), device).split([len(one) for one in tensors]))


def build(plan: RunPlan, config: Mapping[str, Any], folder: Path) -> Components:
    """Upstream, featurizer and downstream expert from the plan's seed; `config` has the data's paths.

    Only the upstream for a task that trains nothing.
    """
    upstream, device = build_upstream(plan)
    if plan.task.train_split is None:
        upstream.eval()
        return Components(upstream, None, None, device)
    return attach(plan, upstream, config, folder, device)


def build_upstream(plan: RunPlan) -> tuple[Any, torch.device]:
    """The upstream, its outputs checked, built from the plan's seed; and the device that it is on."""
    device = pick_device(plan.device)
    # As s3prl does: with these the same seed gives the same numbers on one GPU as far as cuDNN allows it.
    torch.backends.cudnn.deterministic = True
    torch.backends.cudnn.benchmark = False
    seed_everything(plan.seed)
    built, batching = sources.build(plan), plan.switches.get("batching")
    upstream: Any = CheckedUpstream(built, plan.upstream, plan.states, plan.layer, batching=batching)
    if plan.quantize is not None:
        upstream.quantized = quantize(upstream.module, plan.upstream, device)
    upstream.to(device)
    return upstream, device


def make_featurizer(plan: RunPlan, upstream: Any, device: torch.device) -> Any:
    """s3prl's featurizer of what the plan takes of the upstream's output, on the device."""
    from s3prl.upstream.interfaces import Featurizer

    return Featurizer(
        upstream=upstream,
        feature_selection=plan.states,
        layer_selection=plan.layer,
        upstream_device=device,
        normalize=False,
    ).to(device)


def attach(
    plan: RunPlan, upstream: Any, config: Mapping[str, Any], folder: Path, device: torch.device
) -> Components:
    """Featurizer and downstream expert for an upstream that is on the device."""
    featurizer = make_featurizer(plan, upstream, device)
    expert = plan.task.expert
    if expert is None:
        module = importlib.import_module(f"s3prl.downstream.{plan.task.s3prl_name}.expert")
        expert = module.DownstreamExpert
    with _changed_settings(plan, f"the model of {plan.task.name}"):
        downstream = expert(
            upstream_dim=featurizer.output_dim,
            upstream_rate=featurizer.downsample_rate,
            **config,
            expdir=str(folder),
            seed=plan.seed,
            device=str(device),
            upstream=plan.upstream,
            downstream=plan.task.s3prl_name,
            downstream_variant=None,
        ).to(device)
    if plan.task.adjust is not None:
        plan.task.adjust(downstream)
    return Components(upstream, featurizer, downstream, device)


@contextlib.contextmanager
def _changed_settings(plan: RunPlan, what: str) -> Iterator[None]:
    """Where settings were changed by the user, they are what s3prl cannot build `what` from: UsageError."""
    try:
        yield
    except (UsageError, RunFailed, OSError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        if not plan.overrides:
            raise
        given = ", ".join(f"{key}={shown(value)}" for key, value in plan.overrides.items())
        reason = sentence(" ".join(str(error).split())) or "no reason given"
        raise UsageError(
            f"{what} cannot be built with {given}: {type(error).__name__}: {reason}; change these settings"
        ) from error


def make_specaug(config: Mapping[str, Any]) -> Any | None:
    """s3prl's SpecAugment on features, or None where the recipe has none."""
    if not config.get("specaug"):
        return None
    from s3prl.downstream.specaug import SpecAug

    try:
        return SpecAug(**config["specaug"])
    except (TypeError, AssertionError) as error:  # none of its three parts applied
        raise UsageError(f"the specaug block does not fit: {error or 'nothing in it applies'}") from error
