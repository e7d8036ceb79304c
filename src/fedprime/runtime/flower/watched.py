"""Runs a program of Flower's that ends with us, however we end: ``python -m fedprime.runtime.flower.watched PROGRAM``.

Whoever starts this holds the other end of a pipe. When that process ends, killed or not, the pipe closes, on Linux and
on macOS alike; then the program is ended too, gently first.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import IO, Any

# Whoever would read a farewell is gone, and until this is over nobody else can take the place; files appear whole.
_STOP_SECONDS = 1.0


def start_watched(command: Sequence[str], environment: Mapping[str, str], log: IO[bytes]) -> subprocess.Popen[bytes]:
    """Starts a program that ends when this process does."""
    # A session of its own: Ctrl-C is ours to handle. The pipe is its input, and stays open as long as we are there.
    return subprocess.Popen(  # noqa: S603
        [sys.executable, "-m", __name__, *command],
        env=dict(environment),
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def _run(command: Sequence[str]) -> int:
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL)  # noqa: S603

    def end(*_: Any) -> None:
        process.terminate()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, end)
    is_alone = threading.Event()
    threading.Thread(target=_end_with_starter, args=(process, is_alone), daemon=True).start()
    code = process.wait()
    if is_alone.is_set():
        # What the program has started itself is in the group that is ours, and has nobody any more.
        os.killpg(os.getpgrp(), signal.SIGKILL)
    return code if code >= 0 else 128 - code


def _end_with_starter(process: subprocess.Popen[bytes], is_alone: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    is_alone.set()
    process.terminate()
    try:
        process.wait(_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


if __name__ == "__main__":
    sys.exit(_run(sys.argv[1:]))
