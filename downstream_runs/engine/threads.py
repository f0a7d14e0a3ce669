"""Several small computations at once on a CPU, each on one thread.

torch divides one computation among its threads, which for an utterance of some seconds, or one query in some
documents, leaves them idle much of the time.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import torch

Many = Callable[[Callable[[Any], Any], Iterable[Any]], Iterable[Any]]


@contextlib.contextmanager
def one_each(device: torch.device, stateless: bool) -> Iterator[Many]:
    """A `map`, in order, of as many computations at a time as torch has threads; plain `map` on a GPU.

    stateless: whether what is computed may run in several threads; plain `map` where not.
    """
    import torch

    threads = torch.get_num_threads()
    if device.type != "cpu" or threads < 2 or not stateless:
        yield map
        return
    torch.set_num_threads(1)  # threads that begin later take this over
    pool = ThreadPoolExecutor(threads)
    try:
        yield pool.map
    finally:
        # After an interrupt nothing that is still waiting is begun.
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)
