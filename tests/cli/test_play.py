"""The verb ``play``: a server that is started and asked, a Space that is exported, and what goes wrong."""

import http.client
import json
import logging
import socket
import sys
import threading
import urllib.request
from collections.abc import Callable
from pathlib import Path

import pytest
import uvicorn

from command_line import exit_code
from fedprime.backbones.backbone import Backbone
from fedprime.models.prompted_model import PromptedModel
from fedprime.models.prompts import NoPrompts


@pytest.fixture
def saved(tiny: Backbone, tmp_path: Path) -> Path:
    PromptedModel(tiny, NoPrompts(tiny.dim), ("soup", "cake")).save_pretrained(tmp_path / "soups")
    return tmp_path / "soups"


def test_a_page_is_served_until_it_is_stopped(
    saved: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    serve, heard, closed = uvicorn.Server.run, [], []
    handler = logging.NullHandler()  # of somebody else; absl's closes sys.stderr when it is closed
    monkeypatch.setattr(handler, "close", lambda: closed.append(handler))

    def ask_and_stop(server: uvicorn.Server, sockets: list[socket.socket]) -> None:
        serving = threading.Thread(target=serve, args=(server, sockets))
        serving.start()
        port = sockets[0].getsockname()[1]
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/model", timeout=20) as answer:
                heard.append(json.load(answer)["place"])
            heard.extend(posted(port, size, headers) for size, headers in LARGE)
        finally:
            server.should_exit = True
            serving.join()

    monkeypatch.setattr(uvicorn.Server, "run", ask_and_stop)
    assert exit_code("play", saved, "--port", 0) == 0
    told = {"error": "the request has more than 20,000,000 bytes; send a smaller file"}
    assert heard == ["soups", (413, told), (413, told)]
    assert closed == []
    assert capsys.readouterr().out.startswith("http://127.0.0.1:")


LARGE = ((30_000_000, ""), (0, "Expect: 100-continue\r\n"))  # sent at once, and announced but held back


def posted(port: int, size: int, headers: str) -> tuple[int, dict[str, str]]:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as own:
        begin = f"POST /predict HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 30000000\r\n{headers}\r\n"
        own.sendall(begin.encode() + b"x" * size)
        answer = http.client.HTTPResponse(own)
        answer.begin()
        return answer.status, json.load(answer)


def test_a_port_that_is_taken_is_said_in_a_line(saved: Path, complaint: Callable[..., str]):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        said = complaint("play", saved, "--port", taken.getsockname()[1])
    assert "name another --port or --host" in said
    assert said.count("\n") == 1
    assert "cannot listen at 127.0.0.1:99999" in complaint("play", saved, "--port", 99999)


def test_what_has_to_be_installed_is_said(saved: Path, complaint: Callable[..., str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert 'uvicorn is not installed; install it: pip install "fedprime[page]"' in complaint("play", saved)


def test_a_space_is_exported_once(saved: Path, tmp_path: Path, complaint: Callable[..., str]):
    assert exit_code("play", saved, "--export", tmp_path / "space") == 0
    names = {path.relative_to(tmp_path / "space").as_posix() for path in (tmp_path / "space").rglob("*.*")}
    assert {"app.py", "requirements.txt", "README.md", "model/config.json"} <= names
    assert "exists already and is not overwritten" in complaint("play", saved, "--export", tmp_path / "space")
