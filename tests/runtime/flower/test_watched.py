"""A program that ends with whoever started it, however that ends."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fedprime.runtime.flower.processes import stop
from fedprime.runtime.flower.watched import start_watched

STARTER = """
import os, sys, time
from fedprime.runtime.flower.watched import start_watched
with open(sys.argv[1], "wb") as log:
    start_watched([sys.executable, "-c", sys.argv[2], sys.argv[3]], dict(os.environ), log)
time.sleep(60)
"""
PROGRAM = """
import os, sys, time
open(sys.argv[1] + ".part", "w").write(str(os.getpid())); os.rename(sys.argv[1] + ".part", sys.argv[1])
time.sleep(60)
"""


def is_there(number: int) -> bool:
    try:
        os.kill(number, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for(happened: Callable[[], bool]) -> bool:
    patience = time.monotonic() + 60
    while not happened() and time.monotonic() < patience:
        time.sleep(0.05)
    return happened()


def test_a_program_ends_when_its_starter_is_killed(tmp_path: Path):  # takes as long as two interpreters to start
    number, log = tmp_path / "number", tmp_path / "log"
    starter = subprocess.Popen([sys.executable, "-c", STARTER, str(log), PROGRAM, str(number)])
    assert wait_for(number.exists), log.read_text()
    program = int(number.read_text())
    assert is_there(program)
    os.kill(starter.pid, signal.SIGKILL)
    starter.wait()
    assert wait_for(lambda: not is_there(program))


def test_a_program_whose_watcher_alone_was_killed_ends_when_that_is_stopped(tmp_path: Path):
    number = tmp_path / "number"
    with (tmp_path / "log").open("wb") as log:
        watcher = start_watched([sys.executable, "-c", PROGRAM, str(number)], dict(os.environ), log)
    assert wait_for(number.exists), (tmp_path / "log").read_text()
    os.kill(watcher.pid, signal.SIGKILL)
    watcher.wait()
    assert is_there(int(number.read_text()))
    stop(watcher)
    assert wait_for(lambda: not is_there(int(number.read_text())))
