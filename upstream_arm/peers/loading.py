"""From a file of a peer's authors to an upstream."""

from __future__ import annotations

from pathlib import Path
from types import MappingProxyType

import torch
from torch import nn

from upstream_arm import families
from upstream_arm.checkpoint import is_safetensors, misfit, read_content, shapes
from upstream_arm.common.errors import UpstreamError
from upstream_arm.common.files import sha256_file
from upstream_arm.expert import UpstreamExpert
from upstream_arm.peers.distil import DISTILHUBERT
from upstream_arm.peers.dp_file import DPHUBERT, DPWAVLM
from upstream_arm.peers.family import Family, PeerFile
from upstream_arm.peers.fit import FITHUBERT
from upstream_arm.peers.ge2e import GE2E
from upstream_arm.peers.light import LIGHTHUBERT_BASE, LIGHTHUBERT_SMALL
from upstream_arm.peers.star import STARHUBERT

FAMILIES = MappingProxyType(
    {
        "dphubert_local": DPHUBERT,
        "dpwavlm_local": DPWAVLM,
        "starhubert_local": STARHUBERT,
        "fithubert_local": FITHUBERT,
        "distilhubert_local": DISTILHUBERT,
        "lighthubert_small_local": LIGHTHUBERT_SMALL,
        "lighthubert_base_local": LIGHTHUBERT_BASE,
        "ge2e_local": GE2E,
    }
)


def load_peer(
    entry: str, ckpt: Path | str, model_config: Path | str | None = None, batching: str | None = None
) -> UpstreamExpert:
    """The upstream of an entry, in evaluation mode, with the weights of its authors' file.

    UpstreamError if the file is missing, damaged, of another family, asks for code to be run, or does not fit
    its configuration.
    """
    path = Path(ckpt)
    family = FAMILIES[entry]
    if is_safetensors(path):
        raise UpstreamError(f"{path} is a safetensors file, expected {family.label}'s own; give that file")
    content = read_content(path)
    families.refuse_other(content, path, entry)
    file = PeerFile(path, content, None if model_config is None else Path(model_config))
    student = build(family, file, batching)
    expert = UpstreamExpert(student, path, sha256_file(path), published_states=family.published_states)
    return expert.eval()


def build(family: Family, file: PeerFile, batching: str | None) -> nn.Module:
    """The model of a file that was read; UpstreamError if its weights are not those that it describes."""
    config = family.config(file).with_switches(batching=batching)
    try:
        with torch.device("meta"):  # neither time nor random numbers are spent on initial weights
            student = family.build(config)
    except (RuntimeError, OverflowError) as error:
        reason = str(error).splitlines()[0]
        raise UpstreamError(
            f"{file.path} describes a model that cannot be built ({reason}); use the authors' file as it is"
        ) from None
    weights = family.weights(file, config)
    stored = {name: family.stored(name, config) for name in student.state_dict()}
    expected = {stored[name]: tuple(tensor.shape) for name, tensor in student.state_dict().items()}
    if told := misfit(shapes(weights), expected):
        raise UpstreamError(
            f"the weights of {file.path} do not fit {family.label} as its configuration describes it: "
            f"{told}; use the authors' file as it is"
        )
    student.to_empty(device="cpu").load_state_dict({name: weights[key] for name, key in stored.items()})
    return student
