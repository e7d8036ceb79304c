"""The worker of a site: what it says over its output, and when it ends."""

import io
import os
import subprocess
import sys

import pytest

from fedprime.runtime.flower.worker_socket import read_frame, write_frame

#: Answers with what it was asked, in capital letters.
SHOUTING = """
import os, sys
from fedprime.runtime.flower.site_worker import serve

def answer(kind, payload, node):
    print("this is no answer")
    os.write(1, b"nor is this")
    return payload.upper() if payload else 1 / 0

sys.exit(serve(lambda: answer))
"""


@pytest.fixture
def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}


def test_it_answers_until_an_answer_fails_which_it_says_and_keeps_its_output_for_answers(environment: dict[str, str]):
    asked = io.BytesIO()
    for payload in (b"first", b"second", b"", b"never asked"):
        write_frame(asked, {"kind": "train", "node": {}}, payload)
    process = subprocess.Popen(
        [sys.executable, "-c", SHOUTING],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    with process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdin.write(asked.getvalue())
        process.stdin.flush()
        assert read_frame(process.stdout) == ({}, b"FIRST")
        assert read_frame(process.stdout) == ({}, b"SECOND")
        assert read_frame(process.stdout) == ({"failed": "ZeroDivisionError: division by zero"}, b"")
        with pytest.raises(EOFError):
            read_frame(process.stdout)
        said = process.stderr.read()
    assert process.returncode == 1
    assert b"this is no answer" in said
    assert b"Traceback" in said


def test_it_ends_in_the_middle_of_an_answer_when_the_site_is_killed(environment: dict[str, str]):
    code = SHOUTING.replace("return", "__import__('time').sleep(600); return")
    asked = io.BytesIO()
    write_frame(asked, {"kind": "train", "node": {}}, b"slowly")
    # A killed process leaves nothing behind but the end of this pipe.
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, input=asked.getvalue(), timeout=60, check=False
    )
    assert done.returncode == 0
