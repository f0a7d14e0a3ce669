"""What s3prl's speaker verification gets wrong: the device, the dev trials and the labels of the trials."""

from __future__ import annotations

import functools
from types import ModuleType
from typing import Any

from downstream_runs.bridge.import_hooks import after_import


def install() -> None:
    """Correct the expert as soon as it is imported."""
    after_import("s3prl.downstream.sv_voxceleb1.expert", correct)


def correct(module: ModuleType) -> None:
    """Correct `DownstreamExpert` in three ways.

    Its two `.cuda()` mean the features' own device, so that it runs on a CPU and on a second GPU. An
    evaluation of `dev` scores the dev trials; without this s3prl looks for the test trials among the dev
    utterances. `*_truth.txt` holds the labels of the trials; without this it is always empty.
    """
    expert = module.DownstreamExpert
    forward, log_records = expert.forward, expert.log_records

    @functools.wraps(forward)
    def forward_on_own_device(self: Any, mode: str, features: Any, *others: Any, **options: Any) -> Any:
        with _own_device(features[0].device):
            return forward(self, mode, features, *others, **options)

    @functools.wraps(log_records)
    def log_own_trials(self: Any, mode: str, records: Any, *others: Any, **options: Any) -> Any:
        if mode not in ("dev", "test"):
            return log_records(self, mode, records, *others, **options)
        evaluated = self.dev_dataset if mode == "dev" else self.test_dataset
        records["labels"] = [label for label, *_ in evaluated.pair_table]
        test_dataset = self.test_dataset
        # s3prl reads the trials of every split from here.
        self.test_dataset = evaluated
        try:
            return log_records(self, mode, records, *others, **options)
        finally:
            self.test_dataset = test_dataset

    expert.forward = forward_on_own_device
    expert.log_records = log_own_trials


def _own_device(device: Any) -> Any:
    """Within it, in this thread, `tensor.cuda()` moves to `device`."""
    import torch
    from torch.overrides import TorchFunctionMode

    class OwnDevice(TorchFunctionMode):
        def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            if func is torch.Tensor.cuda:
                return args[0].to(device)
            return func(*args, **(kwargs or {}))

    return OwnDevice()
