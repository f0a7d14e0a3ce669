"""Feature extractors of a small student, that encode utterances alone or together."""

from __future__ import annotations

from typing import Any

import small_student
import torch
from s3prl.upstream.interfaces import Featurizer

from downstream_runs.features import weighting
from downstream_runs.features.cache import FeatureCache
from downstream_runs.features.extractor import FeatureExtractor
from downstream_runs.features.options import StoredKind


def source(kind: Any, device: torch.device, together: bool, precision: Any = "fp32") -> FeatureExtractor:
    expert = small_student.build()
    made = Featurizer(expert, upstream_device="cpu")
    expert.to(device)
    stored = StoredKind("memory", kind, precision)
    found = FeatureExtractor(expert, stored, FeatureCache(None, "one"), made, True, together)
    weighting.take_over(made)
    found.made = made.to(device)  # type: ignore[attr-defined]
    return found


def features(found: FeatureExtractor, wavs: Any, device: torch.device) -> list[torch.Tensor]:
    """The weighted sums of each utterance, on the device."""
    with torch.no_grad():
        return list(found.features(found.made, wavs, device))  # type: ignore[attr-defined]
