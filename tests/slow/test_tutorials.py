"""Tutorials in Markdown do what they say: their blocks run as printed, in an empty folder.

Those that are notebooks are executed by `make docs`.
"""

import contextlib
import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
PAGES = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
#: A block of Python, or lines that are indented after an empty one.
BLOCK = re.compile(r"^```python\n(.*?)^```|(?<=\n\n)((?:^    [^\n]*\n)+)", flags=re.DOTALL | re.MULTILINE)
#: What the reader has already, or has of their own.
LEFT_OUT = ("pip install -e .[flower]", "fedprime report runs")
PATIENCE = 1200


def commands(page: Path) -> list[list[str]]:
    """Returns what a reader runs, in the page's order: of Python its lines as they are, of a shell the words."""
    found: list[list[str]] = []
    for python, shell in BLOCK.findall(page.read_text(encoding="utf-8")):
        if python:
            found.append([sys.executable, "-c", python])
        lines = shell.replace("\\\n", " ").splitlines()
        found += [words for words in (shlex.split(line, comments=True) for line in lines) if words]
    return [words for words in found if shlex.join(words) not in map(shlex.join, map(shlex.split, LEFT_OUT))]


class Terminals:
    """Runs commands one after the other, but for servers and clients: each of these has a terminal of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._servers: list[subprocess.Popen[bytes]] = []
        self._clients: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Terminals":
        return self

    def __exit__(self, *_: object) -> None:
        for process in (*self._clients, *self._servers):
            process.send_signal(signal.SIGINT)
        for process in (*self._clients, *self._servers):
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(60)
            process.kill()

    def run(self, words: list[str]) -> None:
        if words[0] == "fedprime":
            words = [sys.executable, "-m", *words]
        if words[3:5] in (["deploy", "server"], ["deploy", "client"]):
            (self._servers if words[4] == "server" else self._clients).append(self._started(words))
            return
        while self._servers:
            assert self._servers.pop().wait(PATIENCE) == 0, self.said()
        assert self._started(words).wait(PATIENCE) == 0, f"{words}\n{self.said()}"

    def said(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in sorted(self._folder.glob("*.log")))

    def _started(self, words: list[str]) -> subprocess.Popen[bytes]:
        number = sum(1 for _ in self._folder.glob("*.log"))
        with (self._folder / f"{number:02}.log").open("wb") as log:
            return subprocess.Popen(words, cwd=self._folder, stdout=log, stderr=subprocess.STDOUT)


@pytest.fixture
def terminals(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Terminals]:
    (tmp_path / "docs").symlink_to(ROOT / "docs")  # a report's runs lie there
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(ROOT / "src"), os.environ.get("PYTHONPATH", "")]))
    with Terminals(tmp_path) as opened:
        yield opened


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_tutorial_end_well_as_printed(page: Path, terminals: Terminals):
    found = commands(page)
    assert found
    for words in found:
        terminals.run(words)


def test_commands_are_taken_as_a_reader_takes_them(tmp_path: Path):
    page = tmp_path / "page.md"
    page.write_text(
        "- a list\n    that goes on\n\nThen:\n\n    fedprime a \\\n        --b  # words\n\n```python\nx = 1\n```\n"
    )
    assert commands(page) == [["fedprime", "a", "--b"], [sys.executable, "-c", "x = 1\n"]]
