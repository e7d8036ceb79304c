"""Ctrl-C at any moment: one line, exit code 130."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fedprime.cli.stopping import importing, interruptible

STARTED = "from fedprime.cli.main import main; print('started', flush=True); import sys; sys.exit(main())"


MOMENTS = [0.1, 1.0, 3.5, *(pytest.param(seconds, marks=pytest.mark.slow) for seconds in (0.5, 2.0, 5.0))]


@pytest.mark.parametrize("seconds", MOMENTS)
def test_ctrl_c_while_a_run_starts_is_one_line(seconds: float, tmp_path: Path):
    # More rounds than any machine makes until then: a run that is over cannot be stopped.
    words = ("run", "builtin/quickstart", "--training.rounds=10000", "--output", tmp_path / "run")
    command = (sys.executable, "-c", STARTED, *words)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "started\n"
        time.sleep(seconds)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    (line,) = said.strip().splitlines()
    assert line.startswith("stopped")


def test_an_import_that_catches_everything_does_not_keep_ctrl_c():
    code = """
import signal
from fedprime.cli.stopping import importing
with importing():
    try:
        signal.raise_signal(signal.SIGINT)
    except BaseException:
        pass
"""
    done = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr.strip()) == (130, "stopped")


def test_ctrl_c_while_the_command_line_itself_is_imported_is_one_line(tmp_path: Path):
    (tmp_path / "logging.py").write_text("import signal\nsignal.raise_signal(signal.SIGINT)\n")  # the first it imports
    command, places = (sys.executable, "-m", "fedprime", "--help"), os.pathsep.join([str(tmp_path), *sys.path])
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": places})
    assert (done.returncode, done.stderr.strip()) == (130, "stopped")


def test_after_importing_ctrl_c_is_what_it_was_before():
    with importing():
        assert signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_where_ctrl_c_is_ignored_it_stays_so():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with importing():
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_an_interrupted_block_says_how_to_go_on(capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as caught, interruptible(lambda: "; go on with: make"):
        signal.raise_signal(signal.SIGINT)
    assert caught.value.code == 130
    assert capsys.readouterr().err.strip() == "stopped; go on with: make"
