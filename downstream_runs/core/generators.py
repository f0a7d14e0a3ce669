"""The random generators of Python, numpy and torch, seeded and put back together.

Below both the engine and the stored features, so that either can be imported first.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

from upstream_arm.common import devices as accelerators


def seed_everything(seed: int) -> None:
    """Seed Python, numpy and torch (all devices), as s3prl does before a run and before each evaluation."""
    import torch

    seed_reading(seed)
    torch.manual_seed(seed)


def seed_reading(seed: int) -> None:
    """Seed what a data set may draw from: as `seed_everything`, but for accelerators' generators.

    A process forked from one that uses an accelerator cannot touch those.
    """
    import numpy as np
    import torch

    random.seed(seed)
    np.random.seed(seed)
    torch.default_generator.manual_seed(seed)


def random_states(devices: bool = True) -> dict[str, Any]:
    """The states of every random generator, in types that torch.load(weights_only=True) reads.

    devices: whether those of accelerators are among them, under the kind's name, such as `cuda`.
    """
    import numpy as np
    import torch

    numpys: Any = np.random.get_state(legacy=True)
    kind, keys, *rest = numpys
    version, internal, gauss = random.getstate()
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, keys.tolist(), *rest],
        "torch": torch.get_rng_state(),
        "cuda": [],  # earlier versions read it of every checkpoint
        **(accelerators.random_states() if devices else {}),
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
    accelerators.restore_random_states(states)


@contextlib.contextmanager
def seeded_reading(seed: int | None) -> Iterator[None]:
    """Read within it under that seed, as if nothing had been drawn; None: from the generators as they are."""
    if seed is None:
        yield
        return
    states = random_states(devices=False)
    seed_reading(seed)
    try:
        yield
    finally:
        restore_random_states(states)
