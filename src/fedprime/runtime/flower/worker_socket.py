"""How a site's processes speak to each other: frames of a JSON header and bytes, over a socket in a folder of the site.

Nothing here imports torch: Flower starts a process for every message, which says by this to the worker that is there
already what it was asked.
"""

import contextlib
import json
import socket
import struct
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from fedprime.reproducibility.errors import FedprimeError

#: Of the socket, in the folder of the worker.
SOCKET = "worker.sock"

#: Seconds that a message waits for a site's client, which may have been started again a moment ago.
PATIENCE = 60.0
_BETWEEN_TRIES = 0.2

_LENGTHS = struct.Struct("<QQ")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Writable(Protocol):
    def write(self, data: bytes, /) -> int: ...

    def flush(self) -> None: ...


class WorkerError(FedprimeError):
    """A worker that did not answer what it was asked."""


def worker_folder(state: Path) -> Path:
    """Returns where the worker of a site is reached, which only the site's user may enter.

    Args:
        state: The site's folder for what must last.
    """
    return state / "worker"


def write_frame(stream: _Writable, header: Mapping[str, Any], payload: bytes = b"") -> None:
    """Writes a header, which is JSON, and bytes."""
    text = json.dumps(header).encode()
    stream.write(_LENGTHS.pack(len(text), len(payload)))
    stream.write(text)
    stream.write(payload)
    stream.flush()


def read_frame(stream: _Readable) -> tuple[dict[str, Any], bytes]:
    """Reads what `write_frame` wrote.

    Raises:
        EOFError: If whoever writes has ended before.
    """
    header, payload = _LENGTHS.unpack(_read(stream, _LENGTHS.size))
    return json.loads(_read(stream, header)), _read(stream, payload)


def _read(stream: _Readable, length: int) -> bytes:
    found = stream.read(length)
    if len(found) < length:
        raise EOFError(f"{len(found)} bytes of {length}")
    return found


def bound_socket(folder: Path) -> socket.socket:
    """Returns a socket that listens in a folder, in place of one that was left over there."""
    (folder / SOCKET).unlink(missing_ok=True)
    listener = socket.socket(socket.AF_UNIX)
    # The path of a socket may have about 100 characters, that of a folder any number.
    with contextlib.chdir(folder):
        listener.bind(SOCKET)
    listener.listen()
    return listener


def _connect(connection: socket.socket, folder: Path) -> None:
    """Connects, and waits a while for a client that has just been started again."""
    until = time.monotonic() + PATIENCE
    while True:
        try:
            with contextlib.chdir(folder):
                return connection.connect(SOCKET)
        except (FileNotFoundError, ConnectionRefusedError):
            if time.monotonic() >= until:
                raise
            time.sleep(_BETWEEN_TRIES)


def ask(folder: Path, header: Mapping[str, Any], payload: bytes) -> bytes:
    """Returns what the worker that is reached in a folder answers.

    Raises:
        WorkerError: If there is none, or it fails.
    """
    with socket.socket(socket.AF_UNIX) as connection:
        try:
            _connect(connection, folder)
            with connection.makefile("rwb") as stream:
                write_frame(stream, header, payload)
                said, found = read_frame(stream)
        except (OSError, EOFError) as error:
            raise WorkerError(
                f"this site's worker is not reached at {folder / SOCKET} ({error or 'it has hung up'}); "
                "is its `fedprime deploy client` still there? Start it again"
            ) from error
    if "failed" in said:
        raise WorkerError(str(said["failed"]))
    return found
