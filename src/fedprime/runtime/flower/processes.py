"""Flower's own programs as processes of ours: the SuperLink at the server, a SuperNode at a site.

They run with safe defaults: TLS, keys, no telemetry, no installation of what an app asks for, a folder of their own.
"""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from fedprime.reproducibility.errors import FedprimeError
from fedprime.runtime.flower.watched import start_watched

#: What a node is told about itself when it is started.
NUMBER_KEY = "partition-id"
DATA_KEY = "fedprime-data"
FORMAT_KEY = "fedprime-format"
BACKBONE_KEY = "fedprime-backbone"
STATE_KEY = "fedprime-state"

#: Names the file that tells the server's app what to do.
JOB_VARIABLE = "FEDPRIME_JOB"

_CONNECTION = "fedprime"
_PROCESS = "superlink.pid"
_START_SECONDS = 300
_STOP_SECONDS = 30
_APP = """\
[project]
name = "fedprime-run"
version = "1.0.0"
description = "Runs the fedprime that is installed"
license = "Apache-2.0"
dependencies = []

[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[tool.flwr.app]
publisher = "fedprime"

[tool.flwr.app.components]
serverapp = "fedprime.runs.server_app:app"
clientapp = "fedprime.runtime.flower.site_app:app"

[tool.flwr.app.config]
"""


class FlowerError(FedprimeError):
    """A program of Flower that did not do what it was asked for."""


class Link:
    """A SuperLink that runs."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        """Takes the parts.

        Args:
            process: The SuperLink.
            folder: Where it and the command line keep what they need.
        """
        self.process = process
        self._folder = folder

    def register(self, public_key: Path) -> None:
        """Lets whoever has the private key take part, under the name of the file.

        Raises:
            FlowerError: If it is not accepted.
        """
        command = ("supernode", "register", str(public_key), _CONNECTION, "--name", public_key.stem)
        done = self._flwr(*command)
        if done.returncode != 0 and "already" not in (done.stdout + done.stderr):
            raise FlowerError(f"{public_key} is not accepted: {_last_words(done)}")

    def submit(self) -> str:
        """Starts the app, and returns the number that Flower gives to its run.

        Raises:
            FlowerError: If it does not start.
        """
        app = self._folder / "app"
        app.mkdir(exist_ok=True)
        (app / "pyproject.toml").write_text(_APP)
        (app / "README.md").write_text("Runs the fedprime that is installed.\n")
        done = self._flwr("run", str(app), _CONNECTION, "--format", "json")
        try:
            return str(json.loads(done.stdout[done.stdout.index("{") :])["run-id"])
        except (ValueError, KeyError, TypeError) as error:
            raise FlowerError(f"the run does not start: {_last_words(done)}") from error

    def status(self, run: str) -> str:
        """Returns what Flower says of a run, for example ``running`` or ``finished:completed``."""
        done = self._flwr("ls", _CONNECTION, "--run-id", run, "--format", "json")
        try:
            return str(json.loads(done.stdout)["runs"][0]["status"])
        except (json.JSONDecodeError, KeyError, IndexError, TypeError):
            return f"unknown: {_last_words(done)}"

    def _flwr(self, *words: str) -> subprocess.CompletedProcess[str]:
        command = [_program("flwr"), *words]
        try:
            return subprocess.run(  # noqa: S603
                command,
                env=node_environment(self._folder),
                capture_output=True,
                text=True,
                check=False,
                timeout=_START_SECONDS,
            )
        except subprocess.TimeoutExpired as error:
            raise FlowerError(f"`{' '.join(words[:2])}` has not come back in {_START_SECONDS} s") from error


@contextmanager
def started_link(keys: Path, folder: Path, host: str, port: int, job: Path) -> Iterator[Link]:
    """Runs a SuperLink while the block runs.

    Args:
        keys: The server's folder of `fedprime.runtime.flower.keys`.
        folder: Where it keeps its state.
        job: The file that tells the server's app what to do.

    Raises:
        FlowerError: If it does not start.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    (folder / "config.toml").write_text(
        f'[superlink]\ndefault = "{_CONNECTION}"\n\n[superlink.{_CONNECTION}]\n'
        f"address = {json.dumps(f'{_reachable(host)}:{port}')}\n"
        f"root-certificates = {json.dumps(str((keys / 'ca.crt').resolve()))}\n"
    )
    command = [
        _program("flower-superlink"),
        *("--ssl-ca-certfile", str(keys / "ca.crt")),
        *("--ssl-certfile", str(keys / "server.crt"), "--ssl-keyfile", str(keys / "server.key")),
        "--enable-supernode-auth",
        "--disable-runtime-dependency-installation",
        *("--host", host, "--port", str(port)),
        *("--database", str(folder / "state.db")),
    ]
    environment = node_environment(folder) | {JOB_VARIABLE: str(job.resolve())}
    _end_leftover(folder)
    with (folder / "superlink.log").open("ab") as log:
        process = start_watched(command, environment, log)
    (folder / _PROCESS).write_text(str(process.pid))
    try:
        patience = time.monotonic() + _START_SECONDS
        while not _answers(_reachable(host), port):
            if process.poll() is not None or time.monotonic() > patience:
                raise FlowerError(f"the SuperLink does not start; the reason is in {folder / 'superlink.log'}")
            time.sleep(0.5)
        yield Link(process, folder)
    finally:
        stop(process)
        (folder / _PROCESS).unlink(missing_ok=True)


def node_command(keys: Path, server: str, config: Mapping[str, str | int]) -> list[str]:
    """Returns the command that runs a SuperNode.

    Args:
        keys: The client's folder of `fedprime.runtime.flower.keys`.
        server: Host and port of the server.
        config: What the node knows about itself.

    Raises:
        FlowerError: If a value cannot be told to it.
    """
    broken = [str(value) for value in config.values() if isinstance(value, str) and set(value) & set("'\n\r")]
    if broken:
        raise FlowerError(f"{broken[0]!r} has a quotation mark or a new line in it; name another folder")
    words = " ".join(f"{name}={value}" if type(value) is int else f"{name}='{value}'" for name, value in config.items())
    return [
        _program("flower-supernode"),
        *("--root-certificates", str(keys / "ca.crt"), "--superlink", server),
        *("--auth-supernode-private-key", str(keys / "client.key")),
        *("--host", "127.0.0.1", "--port", str(_free_port())),
        *("--node-config", words),
    ]


def node_environment(folder: Path) -> dict[str, str]:
    """Returns the environment of a program of Flower that keeps what it needs in a folder."""
    # It starts further programs by their names.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    return {**os.environ, "FLWR_HOME": str(folder.resolve()), "PATH": path}


def stop(process: subprocess.Popen[Any]) -> None:
    """Ends a process that has a session of its own, gently first, and whatever it has left there.

    What `fedprime.runtime.flower.watched` runs goes on when its watcher alone is killed; as a node it would keep the
    site's place at the server, and nobody else could take it.

    Args:
        process: The process, which may have ended.
    """
    if process.poll() is None:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(_STOP_SECONDS)
    with suppress(ProcessLookupError, PermissionError):  # nobody is left; macOS says the other of one that has ended
        os.killpg(process.pid, signal.SIGKILL)
    process.kill()
    process.wait()
    if process.stdin is not None:  # the pipe of `watched`
        process.stdin.close()


def _end_leftover(folder: Path) -> None:
    """Ends the SuperLink of a server that was killed: it would keep the port, and a run that nobody follows."""
    try:
        number = int((folder / _PROCESS).read_text())
        words = Path(f"/proc/{number}/cmdline").read_bytes().decode().split("\0")
    except (OSError, ValueError):
        return  # there was none, or it has ended
    if str(folder / "state.db") in words:  # and not some other process that got its number since
        os.kill(number, signal.SIGTERM)
        patience = time.monotonic() + _STOP_SECONDS
        while Path(f"/proc/{number}").exists() and time.monotonic() < patience:
            time.sleep(0.2)


def _program(name: str) -> str:
    path = Path(sys.executable).with_name(name)
    if not path.exists():
        raise FlowerError(f'{path} is not there; install Flower beside fedprime: pip install "fedprime[flower]"')
    return str(path)


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104 - compared, not bound


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), timeout=1):
            return True
    except OSError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def _last_words(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join((done.stdout + " " + done.stderr).split())[-500:]
