"""Keeps the one worker of a site: starts it when a message comes, hands messages over, and begins anew where it must.

A new worker is started after one that died, failed, or hung until the server sent a newer message; for another run,
other settings or another version; and after a pause long enough that its memory was given back.
"""

import logging
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import wait
from pathlib import Path
from typing import IO, Any

from fedprime.reproducibility.locks import held_lock
from fedprime.runtime.flower.processes import stop
from fedprime.runtime.flower.worker_socket import (
    SOCKET,
    WorkerError,
    bound_socket,
    read_frame,
    worker_folder,
    write_frame,
)

_COMMAND = (sys.executable, "-m", "fedprime.runtime.flower.site_worker")
_IDLE_SECONDS = 1800.0
#: Until a process of this site has said what it wants, which it does at once.
_HAND_OVER_SECONDS = 300.0
#: Until a worker whose output has ended must have ended itself.
_STOP_SECONDS = 10.0

_logger = logging.getLogger(__name__)


@contextmanager
def kept_worker(
    state: Path,
    node: Mapping[str, Any],
    environment: Mapping[str, str],
    log: Path,
    *,
    command: Sequence[str] = _COMMAND,
    idle_seconds: float = _IDLE_SECONDS,
) -> Iterator[None]:
    """Answers the messages of one site while the block runs; the worker ends with it.

    Args:
        state: The site's folder for what must last.
        node: What the node knows about itself; messages to a node that knows something else are refused.
        log: Where the worker says what it says.
        idle_seconds: After how long without a message it ends.

    Raises:
        WorkerError: If another client has the same folder.
    """
    folder = worker_folder(state)
    folder.mkdir(mode=0o700, exist_ok=True)
    folder.chmod(0o700)
    refusal = WorkerError(f"another client has the folder {state}; stop it, or name another folder by --state")
    with held_lock(folder / "lock", refusal):
        ours, theirs = socket.socketpair()
        with bound_socket(folder) as listener, log.open("ab") as said, ours, theirs:
            keeper = _Keeper(listener, theirs, dict(node), command, environment, said, idle_seconds)
            thread = threading.Thread(target=keeper.run, daemon=True)
            thread.start()
            try:
                yield
            finally:
                ours.close()  # which the keeper sees
                thread.join()
                (folder / SOCKET).unlink(missing_ok=True)


class _Keeper:
    def __init__(
        self,
        listener: socket.socket,
        ended: socket.socket,
        node: dict[str, Any],
        command: Sequence[str],
        environment: Mapping[str, str],
        log: IO[bytes],
        idle_seconds: float,
    ) -> None:
        self._listener = listener
        self._ended = ended
        self._node = node
        self._command = command
        self._environment = environment
        self._log = log
        self._idle_seconds = idle_seconds
        self._worker: subprocess.Popen[bytes] | None = None
        self._concern = ""

    def run(self) -> None:
        """Serves until the other end of `ended` is closed."""
        try:
            while True:
                sources: list[socket.socket | int] = [self._listener, self._ended]
                if self._worker is not None:
                    sources.append(_pipe(self._worker.stdout).fileno())
                ready = wait(sources, None if self._worker is None else self._idle_seconds)
                if self._ended in ready:
                    return
                if self._listener in ready:
                    self._serve_next()
                else:  # it has nothing to say of its own: it has ended, or waited in vain
                    self._end_worker("it has ended by itself" if ready else "no message came for long")
        finally:
            self._end_worker("")

    def _serve_next(self) -> None:
        connection, _ = self._listener.accept()
        connection.settimeout(_HAND_OVER_SECONDS)
        try:
            with connection, connection.makefile("rwb") as stream:
                header, payload = read_frame(stream)
                try:
                    said, answer = self._answered(connection, header, payload)
                except WorkerError as error:
                    _logger.warning("%s", error)
                    said, answer = {"failed": str(error)}, b""
                write_frame(stream, said, answer)
        except ConnectionError as error:
            _logger.warning("Flower's process has gone before it had its answer (%s)", error)
        except Exception:  # one message must not end this; its sender sees that the connection is closed
            _logger.exception("a message to this site was not answered")

    def _answered(
        self, connection: socket.socket, header: Mapping[str, Any], payload: bytes
    ) -> tuple[dict[str, Any], bytes]:
        node = header["node"]
        if {name: node.get(name) for name in self._node} != self._node:
            raise WorkerError("the message is for another site than the one that this worker belongs to")
        worker = self._worker_for(str(header["concerns"]))
        replies = _pipe(worker.stdout)
        try:
            write_frame(_pipe(worker.stdin), {"kind": header["kind"], "node": self._node}, payload)
            ready = wait([replies.fileno(), connection, self._listener, self._ended])
            if replies.fileno() in ready:
                said, answer = read_frame(replies)
                if "failed" in said:
                    self._end_worker("it has failed")
                return said, answer
        except (OSError, EOFError) as error:
            code = self._end_worker("it has died", _STOP_SECONDS)
            raise WorkerError(
                f"this site's worker has ended with code {code} before it answered; the reason is in {self._log.name}"
            ) from error
        # The server waits for nobody whom it has asked something else since.
        reasons = {self._ended: "this site stops", connection: "nobody waits for its answer any more"}
        why = next((reason for source, reason in reasons.items() if source in ready), "a newer message has come")
        self._end_worker(why)
        raise WorkerError(f"this site's worker was stopped before it answered: {why}")

    def _worker_for(self, concern: str) -> subprocess.Popen[bytes]:
        if self._worker is not None and self._worker.poll() is not None:
            self._end_worker("it has ended by itself")
        if self._worker is not None and self._concern != concern:
            self._end_worker("a message of another run, of other settings or of another version has come")
        if self._worker is None:
            # A session of its own: Ctrl-C is the client's to handle. The worker ends when its input does.
            self._worker = subprocess.Popen(  # noqa: S603
                self._command,
                env=dict(self._environment),
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._log,
                start_new_session=True,
            )
            self._concern = concern
            _logger.info("a worker has started, process %d", self._worker.pid)
        return self._worker

    def _end_worker(self, why: str, patience: float = 0.0) -> int | None:
        """Ends the worker, if there is one and it does not end by itself, and returns its exit code."""
        worker, self._worker = self._worker, None
        if worker is None:
            return None
        with suppress(subprocess.TimeoutExpired):
            worker.wait(patience)
        with suppress(BrokenPipeError):  # closing the pipe writes what the worker did not read before it died
            stop(worker)
        _pipe(worker.stdout).close()
        if why:
            _logger.info("worker %d is no more (code %d): %s", worker.pid, worker.returncode, why)
        return worker.returncode


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise TypeError("the worker was started without a pipe")
    return stream
