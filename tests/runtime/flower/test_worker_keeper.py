"""The keeper of a site's worker: one worker for many messages, a new one where it must be, and nothing hushed up."""

import contextlib
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from fedprime.runtime.flower.worker_keeper import kept_worker
from fedprime.runtime.flower.worker_socket import SOCKET, WorkerError, ask, worker_folder, write_frame

NODE = {"partition-id": 3, "fedprime-state": "/state"}
#: Says its process and what it was asked; or what the message tells it to do.
FAKE = """
import os, sys, time
from fedprime.runtime.flower.site_worker import serve

def answer(kind, payload, node):
    print("this is no answer")
    if payload == b"fail":
        raise ValueError("on purpose")
    if payload == b"die":
        os._exit(7)
    if payload == b"hang":
        time.sleep(600)
    return f"{os.getpid()} {kind} {node['partition-id']} ".encode() + payload

sys.exit(serve(lambda: answer))
"""
Kept = Callable[..., AbstractContextManager[None]]


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    """Keeps fake workers."""
    (tmp_path / "fake.py").write_text(FAKE)

    def keep(**changes: Any) -> AbstractContextManager[None]:
        command = (sys.executable, str(tmp_path / "fake.py"))
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
        return kept_worker(tmp_path, NODE, environment, tmp_path / "log", **{"command": command, **changes})

    return keep


@pytest.fixture
def asked(tmp_path: Path) -> Callable[..., str]:
    """What the worker answers."""

    def say(payload: bytes = b"", *, concerns: str = "run 1", node: dict[str, Any] = NODE) -> str:
        header = {"kind": "train", "node": node, "concerns": concerns}
        return ask(worker_folder(tmp_path), header, payload).decode()

    return say


@pytest.fixture
def worker(kept: Kept) -> Iterator[None]:
    with kept():
        yield


def process_of(answer: str) -> int:
    return int(answer.split()[0])


def is_there(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    return True


def wait_until_gone(process: int) -> None:
    patience = time.monotonic() + 60
    while is_there(process):
        assert time.monotonic() < patience
        time.sleep(0.02)


@pytest.mark.usefixtures("worker")
def test_one_process_answers_one_message_after_the_other_and_what_it_prints_is_no_answer(asked: Callable[..., str]):
    large = os.urandom(3_000_000).hex().encode()
    first, second = asked(b"first"), asked(large)
    assert re.fullmatch(r"\d+ train 3 first", first)
    assert second == f"{process_of(first)} train 3 {large.decode()}"


@pytest.mark.usefixtures("worker")
def test_a_worker_that_dies_fails_or_is_killed_is_told_and_the_next_message_finds_another(
    asked: Callable[..., str], tmp_path: Path
):
    first = process_of(asked())
    with pytest.raises(WorkerError, match=r"ended with code 7 before it answered; the reason is in .*log"):
        asked(b"die")
    second = process_of(asked())
    with pytest.raises(WorkerError, match="ValueError: on purpose"):
        asked(b"fail")
    assert "on purpose" in (tmp_path / "log").read_text()  # with the traceback
    third = process_of(asked())
    os.kill(third, signal.SIGKILL)
    wait_until_gone(third)
    assert len({first, second, third, process_of(asked())}) == 4


@pytest.mark.usefixtures("worker")
def test_another_run_or_version_gets_another_worker(asked: Callable[..., str]):
    first, second = process_of(asked()), process_of(asked(concerns="run 2"))
    assert first != second
    assert not is_there(first)


@pytest.mark.usefixtures("worker")
def test_a_message_to_another_site_is_refused(asked: Callable[..., str]):
    with pytest.raises(WorkerError, match="for another site"):
        asked(node={**NODE, "partition-id": 4})
    assert asked(node={**NODE, "what Flower adds": "1"}).endswith("train 3 ")


def test_a_worker_that_waits_in_vain_ends_and_comes_back(kept: Kept, asked: Callable[..., str]):
    with kept(idle_seconds=0.05):
        first = process_of(asked())
        wait_until_gone(first)
        assert process_of(asked()) != first


@pytest.mark.usefixtures("worker")
def test_a_worker_that_hangs_gives_way_to_a_newer_message(asked: Callable[..., str]):
    found: list[str] = []

    def hang() -> None:
        try:
            asked(b"hang")
        except WorkerError as error:
            found.append(str(error))

    first = process_of(asked())
    thread = threading.Thread(target=hang)
    thread.start()
    time.sleep(0.2)
    assert process_of(asked()) != first
    thread.join()
    assert found == ["this site's worker was stopped before it answered: a newer message has come"]


@pytest.mark.usefixtures("worker")
def test_a_worker_does_not_go_on_for_a_message_that_nobody_waits_for(asked: Callable[..., str], tmp_path: Path):
    first = process_of(asked())
    with socket.socket(socket.AF_UNIX) as connection:
        with contextlib.chdir(worker_folder(tmp_path)):
            connection.connect(SOCKET)
        with connection.makefile("wb") as stream:
            write_frame(stream, {"kind": "train", "node": NODE, "concerns": "run 1"}, b"hang")
        assert is_there(first)
    wait_until_gone(first)
    assert process_of(asked()) != first


def test_the_worker_ends_with_the_site_and_is_asked_in_vain_after_it(
    kept: Kept, asked: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fedprime.runtime.flower.worker_socket.PATIENCE", 0.0)
    with kept():
        process = process_of(asked())
        assert worker_folder(tmp_path).stat().st_mode & 0o777 == 0o700
        with pytest.raises(WorkerError, match="another client has the folder"), kept():
            pass
    assert not is_there(process)
    with pytest.raises(WorkerError, match=r"not reached at .*worker\.sock .*Start it again"):
        asked()
