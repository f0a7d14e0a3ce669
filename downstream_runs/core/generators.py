"""The random generators of Python, numpy and torch, seeded and put back together.

Below both the engine and the stored features, so that either can be imported first.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices), as s3prl does before a run and before each evaluation."""
    import torch

    seed_reading(seed)
    torch.manual_seed(seed)


def seed_reading(seed: int) -> None:
    """Seed what a data set may draw from: as `seed_everything`, but for CUDA's generators.

    A process forked from one that uses CUDA cannot touch those.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def random_states(cuda: bool = True) -> dict[str, Any]:
    """The states of every random generator, in types that torch.load(weights_only=True) reads."""
    import numpy as np
    import torch

    numpys: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = numpys
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": list(torch.cuda.get_rng_state_all()) if cuda and torch.cuda.is_available() else [],
    }


def restore_random_states(states: dict[str, Any]) -> None:
    """Put back what `random_states` took; states of devices that this machine lacks are left out."""
    import numpy as np
    import torch

    version, internal, gauss = states["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = states["numpy"]
    np.random.set_state((kind, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"] and len(states["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all(states["cuda"])


@contextlib.contextmanager
def seeded_reading(seed: int | None) -> Iterator[None]:
    """Read within it under that seed, as if nothing had been drawn; None: from the generators as they are."""
    if seed is None:
        yield
        return
    states = random_states(cuda=False)
    seed_reading(seed)
    try:
        yield
    finally:
        restore_random_states(states)
