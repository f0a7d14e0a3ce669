"""The blocks of s3prl's configurations that several tasks have in common, and the words of their recipes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from downstream_runs.core.task import Recipe

PAPER_SOURCE = "ARMHuBERT, section 4.1: s3prl's defaults with each config's commented scheduler"


def config(
    *,
    steps: int,
    every: tuple[int, int, int],
    lr: float,
    expert: Mapping[str, Any],
    accumulate: int = 1,
    clip: float = 1,
    optimizer: str = "Adam",
    evaluated: tuple[str, ...] = ("dev",),
    warmup: int | None = None,
) -> dict[str, Any]:
    """A whole configuration around `expert`; `every` is log, evaluation and checkpoint steps.

    `evaluated`: the splits that are evaluated during training. `warmup`: switch the schedule on, linear to
    `lr` at that step and then linear to 0.
    """
    log, evaluate, save = every
    found: dict[str, Any] = {
        "runner": {
            "total_steps": steps,
            "gradient_clipping": clip,
            "gradient_accumulate_steps": accumulate,
            "log_step": log,
            "eval_step": evaluate,
            "save_step": save,
            "eval_dataloaders": list(evaluated),
        },
        "optimizer": {"name": "TorchOptim", "torch_optim_name": optimizer, "lr": lr},
        "downstream_expert": dict(expert),
    }
    if warmup is not None:
        found["scheduler"] = {"name": "linear_schedule_with_warmup", "num_warmup_steps": warmup}
    return found


def bilstm(project: int, lstm: tuple[int, ...], dropout: float) -> dict[str, Any]:
    """The head of ASR and SF: a projection, bidirectional LSTM layers of the sizes `lstm`, dropout."""
    return {
        "project_dim": project,
        "select": "RNNs",
        "RNNs": {
            "total_rate": -1,
            "module": "LSTM",
            "bidirection": True,
            "dim": list(lstm),
            "dropout": [dropout] * len(lstm),
            "layer_norm": [False] * len(lstm),
            "proj": [False] * len(lstm),
            "sample_rate": [1] * len(lstm),
            "sample_style": "concat",
        },
    }


def mean_pooling() -> dict[str, Any]:
    """The head of KS, SID, IC and ER: a projection to 256, the mean over frames, a linear layer.

    It has no non-linearity (s3prl 0.4.18, downstream/model.py, UtteranceLevel).
    """
    return {
        "projector_dim": 256,
        "select": "UtteranceLevel",
        "UtteranceLevel": {"pooling": "MeanPooling"},
    }


def specaug() -> dict[str, Any]:
    """SpecAugment on features as ASR and SF have it."""
    return {
        "adaptive": False,
        "adaptive_number_ratio": 0.04,
        "adaptive_size_ratio": 0.04,
        "max_n_time_masks": 20,
        "apply_time_warp": True,
        "apply_time_mask": True,
        "apply_freq_mask": True,
        "time_warp_window": 5,
        "time_mask_width_range": [0, 40],
        "freq_mask_width_range": [0, 50],
        "num_freq_mask": 4,
        "num_time_mask": 2,
    }


def own(name: str, config: Mapping[str, Any], note: str) -> Recipe:
    """A recipe of this project, which is always a short one."""
    return Recipe(name, config, note, "this project", ("shortened",))
