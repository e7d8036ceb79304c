"""Ctrl-C, which is one line and an exit code at any moment, also while libraries are imported."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

#: Exit code after Ctrl-C.
INTERRUPTED = 128 + signal.SIGINT
_NOBODY_READS = 128 + 13  # of SIGPIPE, a name that Windows lacks


@contextmanager
def importing() -> Iterator[None]:
    """Lets Ctrl-C end the process at once while libraries are imported: some of them would catch what it raises."""
    before = signal.getsignal(signal.SIGINT)
    # In the background of a shell it is ignored, and stays so.
    if before is signal.default_int_handler:
        signal.signal(signal.SIGINT, _leave)
    try:
        yield
    finally:
        if before is signal.default_int_handler:
            signal.signal(signal.SIGINT, before)


@contextmanager
def interruptible(describe: Callable[[], str]) -> Iterator[None]:
    """Turns Ctrl-C into an exit that says how to go on: every finished round is saved already.

    Args:
        describe: Returns what was reached and how to go on, to stand after "stopped".
    """
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError):
            close_output()
        print(f"\nstopped{describe()}", file=sys.stderr)
        raise SystemExit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else _NOBODY_READS) from None


def close_output() -> None:
    """Lets whatever is still printed go nowhere, once the reader of our output has gone (`| head`).

    Otherwise the interpreter would complain when it flushes at exit.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(sys.__stderr__.fileno() if sys.__stderr__ else 2, b"\nstopped\n")
    os._exit(INTERRUPTED)
