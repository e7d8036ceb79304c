"""Several runs at once: worker processes that make one run after the other, and lose only their own when they die."""

import logging
import logging.handlers
import multiprocessing
import signal
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from fedprime.experiment.run_folder import RunInUseError
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runs.callbacks import AfterRound
from fedprime.runs.metrics import Progress
from fedprime.runs.run import complete_run
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings

_SECONDS_TO_STOP = 10.0
_HAS_MASKS = hasattr(signal, "pthread_sigmask")  # Windows has none; there, a worker ignores Ctrl-C once it runs


@dataclass(frozen=True)
class Task:
    """A run to make."""

    name: str
    settings: Settings
    folder: Path


@dataclass(frozen=True)
class Ending:
    """What became of a run.

    Attributes:
        state: Whether it is finished, was left to another process, or failed.
        results: The final table of a finished run.
        reason: Why it is not finished, in one line.
        details: Where a failed run failed, with the traceback.
    """

    state: Literal["finished", "in use", "failed"]
    results: Mapping[str, Any] | None = None
    reason: str = ""
    details: str = ""
    seconds: float = 0.0


def work_off(
    tasks: Sequence[Task], num_processes: int, watch: Callable[[Task, Progress | Ending | None], None]
) -> None:
    """Makes runs; whatever happens to one of them, the others are made.

    With one process, that is this one. Otherwise each worker is a new Python, which imports fedprime once and makes
    runs until none is left; a script that calls this must therefore guard its own work by
    ``if __name__ == "__main__"``.

    Args:
        watch: Called with a run and None when it begins, its progress after every round, and how it ended.
    """
    if num_processes == 1:
        for task in tasks:
            watch(task, None)
            watch(task, _attempt(task, lambda progress, task=task: watch(task, progress)))
    elif tasks:
        _work_off_in_workers(deque(tasks), num_processes, watch)


def _attempt(task: Task, watch: Callable[[Progress], None]) -> Ending:
    """Makes a run and says what became of it, in any case but that nobody waits for it any more."""
    began = time.perf_counter()
    try:
        results = complete_run(task.settings, task.folder, callbacks=[AfterRound(watch)])
    except BrokenPipeError:
        raise  # from `watch`: whoever reads our output has gone
    except RunInUseError as error:
        return Ending("in use", reason=str(error))
    except Exception as error:  # a method's mistake or a full disk must not take the other runs along
        reason = "; ".join(error.problems) if isinstance(error, SettingsError) else " ".join(str(error).split())
        if not isinstance(error, FedprimeError | OSError):
            reason = f"{type(error).__name__}: {reason}".removesuffix(": ")
        return Ending("failed", reason=reason, details=traceback.format_exc())
    return Ending("finished", results, seconds=time.perf_counter() - began)


class _Worker:
    """A process that makes runs."""

    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=_work, args=(theirs,), daemon=True)
        with _interrupts_held_back():
            self.process.start()
        theirs.close()  # so that its end is closed when it dies

    def begin(self, task: Task) -> None:
        self.task = task
        with suppress(ConnectionError):  # it has died, which is found when it is listened to
            self.connection.send(task)

    def listen(self) -> Progress | logging.LogRecord | Ending:
        try:
            return self.connection.recv()
        except (EOFError, OSError):
            _stop([self.process], terminates=False)
            code = self.process.exitcode or 0
            if code < 0:
                how = f"was killed by {signal.Signals(-code).name}"
                remedy = "; if memory ran out, use fewer --processes" if how.endswith("SIGKILL") else ""
            else:
                how, remedy = f"ended with exit code {code}", ""
            reason = f"the process that made it {how}{remedy}; the rounds that it finished are saved"
            return Ending("failed", reason=reason, details=reason)


def _work_off_in_workers(
    waiting: deque[Task], num_processes: int, watch: Callable[[Task, Progress | Ending | None], None]
) -> None:
    idle: list[_Worker] = []
    busy: list[_Worker] = []
    try:
        while waiting or busy:
            while waiting and len(busy) < num_processes:
                worker = idle.pop() if idle else _Worker()
                busy.append(worker)
                worker.begin(waiting.popleft())
                watch(worker.task, None)
            ready = wait([worker.connection for worker in busy])
            for worker in [worker for worker in busy if worker.connection in ready]:
                message = worker.listen()
                if isinstance(message, logging.LogRecord):
                    message.msg = f"{worker.task.name}: {message.msg}"
                    logging.getLogger(message.name).handle(message)
                    continue
                if isinstance(message, Ending):
                    busy.remove(worker)
                    if worker.process.is_alive():
                        idle.append(worker)
                watch(worker.task, message)
    finally:
        _stop([worker.process for worker in (*idle, *busy)])


def _stop(processes: Sequence[BaseProcess], *, terminates: bool = True) -> None:
    """Waits for the end of processes, but not for long."""
    for process in processes if terminates else ():
        process.terminate()
    try:
        for process in processes:
            process.join(_SECONDS_TO_STOP)
    finally:
        for process in processes:
            process.kill()
            process.join()


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Lets a process be started whole, and never see Ctrl-C, which a terminal sends to all: we stop it ourselves."""
    pressed: list[int] = []
    is_main = threading.current_thread() is threading.main_thread()
    if _HAS_MASKS:
        resource_tracker.ensure_running()  # a worker needs it, and starting it would let interrupts through again
    # The mask is for the worker, which inherits it. Here, another thread would still take the signal.
    handler = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number)) if is_main else None
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}) if _HAS_MASKS else ()
    try:
        yield
    finally:
        if _HAS_MASKS:
            signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        if is_main:
            signal.signal(signal.SIGINT, handler)
        if pressed:
            signal.raise_signal(signal.SIGINT)


class _LogSender(logging.handlers.QueueHandler):
    """Sends what is logged to the process that began the runs."""

    def __init__(self, send: Callable[[object], None]) -> None:
        super().__init__(None)  # pyright: ignore[reportArgumentType]
        self._send = send

    def enqueue(self, record: logging.LogRecord) -> None:
        self._send(record)


def _work(connection: Connection) -> None:
    """Makes the runs that come in and sends back what becomes of them, until nobody waits for it any more."""

    def send(message: object) -> None:
        try:
            connection.send(message)
        except ConnectionError:
            sys.exit()

    if not _HAS_MASKS:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    # An exit, so that a folder that is just being made is cleaned away.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    logging.getLogger("fedprime").addHandler(_LogSender(send))
    logging.getLogger("fedprime").propagate = False
    while True:
        try:
            task = connection.recv()
        except (EOFError, ConnectionError):
            return
        send(_attempt(task, send))
