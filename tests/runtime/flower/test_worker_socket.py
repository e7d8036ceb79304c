"""Frames between a site's processes."""

import io
import threading
import time
from pathlib import Path

import pytest

from fedprime.runtime.flower.worker_socket import WorkerError, ask, bound_socket, read_frame, write_frame


def test_a_frame_comes_back_as_it_was_written_and_half_of_one_is_none():
    stream = io.BytesIO()
    write_frame(stream, {"round": 3, "name": "é"}, b"\x00\xff")
    write_frame(stream, {})
    stream.seek(0)
    assert read_frame(stream) == ({"round": 3, "name": "é"}, b"\x00\xff")
    assert read_frame(stream) == ({}, b"")
    with pytest.raises(EOFError):
        read_frame(stream)
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(stream.getvalue()[:20]))


def test_a_socket_is_reached_in_a_folder_with_a_path_of_any_length_and_takes_the_place_of_a_leftover(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("fedprime.runtime.flower.worker_socket.PATIENCE", 0.0)
    folder = tmp_path / ("long" * 30) / ("longer" * 30)
    folder.mkdir(parents=True)
    bound_socket(folder).close()  # its file stays
    with pytest.raises(WorkerError, match="not reached"):
        ask(folder, {}, b"")
    with bound_socket(folder) as listener:

        def echo() -> None:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                header, payload = read_frame(stream)
                write_frame(stream, header, payload[::-1])

        for header, found in (({}, b"cba"), ({"failed": "no"}, None)):
            thread = threading.Thread(target=echo)
            thread.start()
            if found is None:
                with pytest.raises(WorkerError, match=r"^no$"):
                    ask(folder, header, b"abc")
            else:
                assert ask(folder, header, b"abc") == found
            thread.join()


def test_a_message_waits_for_a_client_that_is_being_started_again(tmp_path: Path):
    def start_late() -> None:
        time.sleep(0.3)
        with bound_socket(tmp_path) as listener:
            connection, _ = listener.accept()
            with connection, connection.makefile("rwb") as stream:
                read_frame(stream)
                write_frame(stream, {}, b"here")

    thread = threading.Thread(target=start_late)
    thread.start()
    assert ask(tmp_path, {}, b"") == b"here"
    thread.join()
