"""A hub on loopback: as much of Hugging Face's as it takes to push a model and to load it again."""

import base64
import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from huggingface_hub import constants

COMMIT = "0" * 39 + "1"


class Hub:
    """What was pushed.

    Attributes:
        address: Where it listens.
        files: By repository and path, its bytes.
        token: Who may push.
        asked: Every request, as method and path.
    """

    def __init__(self) -> None:
        self.address = ""
        self.files: dict[str, dict[str, bytes]] = {}
        self.token = "secret"  # noqa: S105
        self.asked: list[str] = []


class _Handler(BaseHTTPRequestHandler):
    hub: Hub

    def do_POST(self) -> None:
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.hub.asked.append(f"POST {self.path}")
        if self.headers.get("Authorization") != f"Bearer {self.hub.token}":
            return self._answer(401, {"error": "who are you?"})
        if self.path == "/api/validate-yaml":
            return self._answer(200, {"errors": [], "warnings": []})
        if self.path == "/api/repos/create":
            given = json.loads(content)
            name = f"{given['organization']}/{given['name']}"
            self.hub.files.setdefault(name, {})
            return self._answer(200, {"url": f"{self.hub.address}/{name}"})
        name, action = re.fullmatch(r"/api/(?:model|space)s/(\w+/\w+)/(preupload|commit)/main", self.path).groups()
        if action == "preupload":
            modes = [{"path": own["path"], "uploadMode": "regular"} for own in json.loads(content)["files"]]
            return self._answer(200, {"files": [{**own, "shouldIgnore": False} for own in modes]})
        for line in map(json.loads, content.splitlines()):
            if line["key"] == "file":
                self.hub.files[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
        return self._answer(200, {"commitUrl": f"{self.hub.address}/{name}/commit/{COMMIT}", "commitOid": COMMIT})

    def do_GET(self) -> None:
        self.hub.asked.append(f"{self.command} {self.path}")
        path = self.path.partition("?")[0]
        if found := re.fullmatch(r"/api/models/(\w+/\w+)(/revision/\w+)?", path):
            if found[1] not in self.hub.files:
                return self._answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
            return self._answer(200, {"id": found[1], "sha": COMMIT, "siblings": []})
        if found := re.fullmatch(r"/api/models/(\w+/\w+)/tree/\w+", path):
            files = self.hub.files[found[1]]
            entries = [
                {"type": "file", "path": name, "size": len(own), "oid": _digest(own)} for name, own in files.items()
            ]
            return self._answer(200, entries)
        found = re.fullmatch(r"/(\w+/\w+)/resolve/\w+/(.+)", path)
        if found is None or found[1] not in self.hub.files:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": "RepoNotFound"})
        content = self.hub.files[found[1]].get(found[2])
        if content is None:
            return self._answer(404, {"error": "not found"}, {"X-Error-Code": "EntryNotFound"})
        return self._answer(200, content, {"X-Repo-Commit": COMMIT, "ETag": f'"{_digest(content)}"'})

    do_HEAD = do_GET  # noqa: N815

    def _answer(self, status: int, content: object, headers: dict[str, str] | None = None) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(body)), **(headers or {})}.items():
            self.send_header(name, value)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


def _digest(content: bytes) -> str:
    return hashlib.sha1(content, usedforsecurity=False).hexdigest()


def hub_in_use(place: Path, patch: pytest.MonkeyPatch) -> Iterator[Hub]:
    """Yields a hub that the library speaks to, and whose token this process has.

    Args:
        place: Where what is downloaded goes.
        patch: Of the test.
    """
    with started_hub() as started:
        template = constants.HUGGINGFACE_CO_URL_TEMPLATE.replace(constants.ENDPOINT, started.address)
        patch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
        patch.setattr(constants, "ENDPOINT", started.address)
        patch.setattr(constants, "HF_HUB_OFFLINE", False)
        patch.setattr(constants, "HF_HUB_CACHE", str(place / "hub-cache"))
        patch.setenv("HF_TOKEN", started.token)
        yield started


@contextmanager
def started_hub() -> Iterator[Hub]:
    """Yields a hub that listens on loopback while the block lasts."""
    hub = Hub()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"hub": hub}))
    hub.address = f"http://127.0.0.1:{server.server_address[1]}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()
