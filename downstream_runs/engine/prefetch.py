"""Reading by processes that are ahead of the one that asks.

As torch's loader does it, but for three things:

- The processes are forked, whichever way Python starts processes by default (`spawn` within a process that
  was spawned, `forkserver` from Python 3.14 on): they have the data set, and the bridge, as they are here.
- What they read comes through pipes alone. The loader hands tensors over in shared memory, in a thread: where
  there is too little of it, as in a container, the thread's error is lost and its reader waits for ever.
- A process that ends is noticed where its next item is waited for, and how it ended is said. The loader
  raises that as an error wherever this process is just then.
"""

from __future__ import annotations

import contextlib
import io
import multiprocessing
import os
import pickle
import signal
import traceback
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from multiprocessing import connection
from multiprocessing.reduction import ForkingPickler
from typing import Any

import torch

from downstream_runs.core.generators import seed_reading
from upstream_arm.common import processes
from upstream_arm.common.errors import RunFailed

START_METHOD = "fork"
END_SECONDS = 10.0
"""How long a process whose pipe is closed may take to end."""

Read = Callable[[Any], Any]


def in_order(read: Read, jobs: Sequence[Any], workers: int, seed: int) -> Iterator[Any]:
    """`read(job)` of each job, in order, by `workers` processes, or by this one if there are none.

    seed: of the random generators in the processes, each of which adds its number to it. An error of `read`
    is raised here, with the trace of its process; RunFailed if a process ended or had too little memory.
    """
    if workers == 0:
        yield from map(read, jobs)
        return
    workers = min(workers, len(jobs))
    with contextlib.ExitStack() as stack:
        read_by = []
        for number in range(workers):
            one = _process(read, jobs[number::workers], (seed + number) % 2**32)
            read_by.append(stack.enter_context(contextlib.closing(one)))
            next(one)  # it has begun
        for number in range(len(jobs)):
            yield next(read_by[number % workers])


def _process(read: Read, jobs: Sequence[Any], seed: int) -> Generator[Any, None, None]:
    """None when a process has begun to read the jobs, then what it reads; the process ends with this."""
    context: Any = multiprocessing.get_context(START_METHOD)
    inbox, outbox = context.Pipe(duplex=False)
    process = context.Process(target=_main, args=(read, jobs, seed, inbox, outbox, os.getpid()), daemon=True)
    try:
        process.start()
    except OSError as error:
        raise RunFailed(
            f"a process that reads batches cannot be started ({error.strerror or error}): free memory or "
            "processes, or ask for a lower num_workers; then start the same command again"
        ) from error
    finally:
        # Held by the process alone, the pipe ends when it does.
        outbox.close()
    try:
        yield None
        for _ in jobs:
            connection.wait([inbox, process.sentinel])
            try:
                if not inbox.poll():
                    raise EOFError
                content = inbox.recv()
            except (EOFError, OSError):
                process.join(END_SECONDS)
                raise RunFailed(
                    f"a process that reads batches {processes.how_it_ended(process.exitcode)}; start the "
                    "same command again, it goes on from its last checkpoint; if it ends so again, the run's "
                    "s3prl.log may say why, and a lower num_workers takes less memory"
                ) from None
            if isinstance(content, _Failure):
                raise content.error from _Trace(content.trace)
            yield content
    finally:
        process.kill()
        process.join()
        inbox.close()


@dataclass(frozen=True)
class _Failure:
    """An error of a process, and where it was raised there."""

    error: Exception
    trace: str


class _Trace(Exception):
    """Shows the trace of another process as the cause of an error."""

    def __str__(self) -> str:
        return f"in a process that reads batches:\n{self.args[0]}"


def _main(read: Read, jobs: Sequence[Any], seed: int, inbox: Any, outbox: Any, parent: int) -> None:
    """The whole life of a process: it reads one item while another is sent, and is not further ahead."""
    processes.die_with(parent, signal.SIGKILL)
    inbox.close()
    # A terminal signals every process of a run; the one that started this one ends it.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    torch.set_num_threads(1)
    seed_reading(seed)
    # Its end of the pipe is closed when nobody asks any more.
    with contextlib.suppress(BrokenPipeError), ThreadPoolExecutor(1) as sender:
        sent: Future[None] | None = None
        for job in jobs:
            message, good = _message(read, job)
            if sent is not None:
                sent.result()
            sent = sender.submit(outbox.send_bytes, message)
            if not good:
                break
        if sent is not None:
            sent.result()


def _message(read: Read, job: Any) -> tuple[bytes, bool]:
    """What a job gives, to be sent, or its error; and whether it is no error."""
    try:
        return _packed(read(job)), True
    except Exception as error:
        failure = _Failure(error, traceback.format_exc())
        if isinstance(error, MemoryError):
            sentence = "a process that reads batches has too little memory; ask for a lower num_workers"
            failure = _Failure(RunFailed(sentence), "")
    try:
        sent = type(ForkingPickler.loads(ForkingPickler.dumps(failure.error)))
    except Exception:  # an error's class may do anything
        sent = None
    if sent is not type(failure.error):  # what it says is sent in its place
        text = f"{type(failure.error).__name__}: {failure.error}"
        failure = _Failure(RuntimeError(text), failure.trace)
    return _packed(failure), False


def _packed(content: Any) -> bytes:
    buffer = io.BytesIO()
    _Packer(buffer, protocol=pickle.HIGHEST_PROTOCOL).dump(content)
    return buffer.getvalue()


class _Packer(pickle.Pickler):
    """Sends tensors as numpy's arrays: pickle's way to send one takes the whole of which it is a part."""

    def reducer_override(self, value: Any) -> Any:
        if type(value) is torch.Tensor and not value.requires_grad and value.is_contiguous():
            with contextlib.suppress(TypeError, RuntimeError):  # numpy has no such type
                return torch.from_numpy, (value.numpy(),)
        return NotImplemented
