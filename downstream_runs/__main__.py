"""`python -m downstream_runs` and the command `superb`: what can happen to any of their commands at any time.

An interrupt is answered while modules are still loading, and output that cannot be written is no traceback.
Only small modules are imported before that is settled.
"""

from __future__ import annotations

import _thread
import io
import os
import signal
import sys
from collections.abc import Callable
from types import FrameType

from upstream_arm.common.errors import INTERRUPTED, INTERRUPTION, WRONG_USE, say


class _Interrupts:
    """Ctrl-C: at once while nothing has been begun or modules load, else as a KeyboardInterrupt.

    Modules that are interrupted while they load raise errors of their own, or abort the process. What a run
    writes is whole at every moment, also if it ends so.
    """

    def __init__(self) -> None:
        self.begun = self.seen = False
        # Ignored by whoever started this, such as nohup: stays ignored.
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, self)
        sys.unraisablehook = self._unraisable
        # The shell script holds it back until here, since Python itself answers it with a traceback.
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if not self.begun or _is_importing(frame):
            os.write(2, f"{INTERRUPTION}\n".encode())
            os._exit(INTERRUPTED)
        self.seen = True
        raise KeyboardInterrupt

    def _unraisable(self, raised: sys.UnraisableHookArgs) -> None:
        """An interrupt within what Python does by itself, such as freeing objects, comes again after it."""
        if issubclass(raised.exc_type, KeyboardInterrupt):
            _thread.interrupt_main()
        else:
            sys.__unraisablehook__(raised)

    def end(self) -> None:
        """From here on there is nothing to tell."""
        if signal.getsignal(signal.SIGINT) is self:
            signal.signal(signal.SIGINT, signal.SIG_DFL)


def _is_importing(frame: FrameType | None) -> bool:
    while frame is not None:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _run(interrupts: _Interrupts) -> int:
    from upstream_arm.common.program import shadowed

    problem = shadowed()
    if problem is not None:
        return say(f"error: {problem}", WRONG_USE)
    from downstream_runs.cli.main import main

    interrupts.begun = True
    try:
        code = _ended(main)
        sys.stdout.flush()
    except BrokenPipeError:  # the reader, `head` for example, wants no more
        _discard_output()
        return 0
    except OSError as error:
        _discard_output()
        reason = f"the output, or a file of it, cannot be written ({error.strerror or error})"
        return say(f"error: {reason}: make room, or write it elsewhere", WRONG_USE)
    except (Exception, KeyboardInterrupt):
        if not interrupts.seen:
            raise
        return say(INTERRUPTION, INTERRUPTED)
    return code


def _ended(main: Callable[[], int]) -> int:
    """The exit code of a command, also of one that argparse or a signal ended."""
    try:
        return main()
    except SystemExit as error:
        return error.code if isinstance(error.code, int) else 0


def _discard_output() -> None:
    """What is still to be written goes nowhere: Python would try again when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _open_standard_streams() -> None:
    """Closed ones (`>&-`) become /dev/null, lest a file that is opened takes their number."""
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    sys.stdout = sys.stdout or os.fdopen(1, "w", encoding="utf-8", closefd=False)
    if isinstance(sys.stdout, io.TextIOWrapper):  # a name that is not UTF-8 is shown as Python writes it
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.stderr = sys.stderr or os.fdopen(2, "w", encoding="utf-8", closefd=False)


def run() -> int:
    """Run the command line; returns its exit code."""
    interrupts = _Interrupts()
    _open_standard_streams()
    code = _run(interrupts)
    interrupts.end()
    return code


if __name__ == "__main__":
    sys.exit(run())
