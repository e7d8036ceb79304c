"""What is shown while runs are made, on a terminal and elsewhere."""

import io
import re
import sys
from collections.abc import Callable
from dataclasses import replace

import pytest

from fedprime.cli.progress import display_grid, display_run
from fedprime.data.batches import Encoded
from fedprime.runs.grid import GridProgress, RunState
from fedprime.runs.metrics import Progress
from fedprime.settings.plans import PlannedRun
from fedprime.settings.settings import Settings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def open_terminal(monkeypatch: pytest.MonkeyPatch, columns: int) -> Terminal:
    """Makes standard output a terminal."""
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", str(columns))
    monkeypatch.setattr(sys, "stdout", terminal)
    return terminal


def planned(method: str, rounds: int = 30) -> PlannedRun:
    settings = Settings()
    training = replace(settings.training, rounds=rounds)
    return PlannedRun({"method": method, "trained on": "miss [text]"}, replace(settings, seed=4, training=training))


FINISHED = RunState(
    planned("fedprime"),
    "finished",
    30,
    results={"scenarios": {"like train": {"accuracy": 0.7721, "bayes_accuracy": 0.8284}}},
    seconds=31.4,
)
FAILED = RunState(planned("pfpt"), "failed", 3, reason="ValueError: no [text]")
IN_USE = RunState(planned("pfpt"), "in use", reason="another process is running x; wait for it or stop it")


@pytest.mark.parametrize(
    ("ended", "line"),
    [
        (
            FINISHED,
            "[3/180] method fedprime, trained on miss [text], seed 4: 31 s, like train 77.2 of 82.8 %",
        ),
        (FAILED, "[3/180] method pfpt, trained on miss [text], seed 4: failed: ValueError: no [text]"),
        (
            IN_USE,
            "[3/180] method pfpt, trained on miss [text], seed 4: another process is running x; wait for it or st",
        ),
    ],
    ids=["finished", "failed", "in use"],
)
def test_a_run_of_a_grid_that_ended_is_one_line_on_a_terminal_and_elsewhere(
    ended: RunState, line: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    progress = GridProgress(3, 180, ended, (), 10.0)
    with display_grid() as watch:
        watch(progress)
    assert capsys.readouterr().out.startswith(line)
    terminal = open_terminal(monkeypatch, 60)
    with display_grid() as watch:
        watch(progress)
    assert line in terminal.getvalue()


def test_without_a_terminal_rounds_of_a_grid_are_not_shown(capsys: pytest.CaptureFixture[str]):
    with display_grid() as watch:
        watch(GridProgress(3, 180, None, (RunState(planned("fedprime"), "started", 7),), 10.0))
    assert capsys.readouterr().out == ""


def test_a_terminal_shows_what_is_being_made_and_the_time_that_is_left(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch, 100)
    running = (RunState(planned("fedprime"), "started", 7), RunState(planned("pfpt", rounds=12), "not started"))
    with display_grid() as watch:
        watch(GridProgress(3, 180, None, (), None))
        watch(GridProgress(3, 180, None, running, 3 * 3600 + 5 * 60 + 2.0))
        watch(GridProgress(4, 180, FINISHED, running[1:], 65.0))
    shown = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue())
    assert re.search(r"method fedprime, .* 7/30 +rounds", shown)
    last = shown.rpartition("all runs ")[2]
    assert re.search(r" 4/180 +1:05 left", last)
    assert re.search(r"method pfpt, trained on miss \[text\].* 0/12 +rounds", last)
    assert "method fedprime" not in last


@pytest.mark.parametrize(
    ("seconds", "words"), [(0.4, "0:00"), (65, "1:05"), (3599.9, "1 h 00 min"), (3 * 3600 + 59 * 60 + 40, "3 h 59 min")]
)
def test_time_is_shown_in_hours_when_there_are_any(
    seconds: float, words: str, capsys: pytest.CaptureFixture[str], progress: Callable[..., Progress]
):
    with display_run() as display:
        display.round_finished(progress(float(seconds)))
    assert capsys.readouterr().out == (f"round 2/30  loss 1.235  accuracy 50.0 of 82.5 %  1.5 MB sent  {words} left\n")


def test_where_no_limit_is_known_only_the_accuracy_is_shown(capsys: pytest.CaptureFixture[str]):
    with display_run() as display:
        display.round_finished(Progress(2, 30, 1.2346, 0.5, None, 1_500_000, 65.0))
    assert "accuracy 50.0 %  1.5 MB" in capsys.readouterr().out
    ended = replace(FINISHED, results={"scenarios": {"like train": {"accuracy": 0.7721}}})
    with display_grid() as watch:
        watch(GridProgress(3, 180, ended, (), 10.0))
    assert capsys.readouterr().out.endswith(": 31 s, like train 77.2 %\n")


START = Progress(0, 0, None, None, None, 1_500_000, 0.0, start=(2, 3))


@pytest.mark.parametrize(
    ("progress", "shown"),
    [
        (START, "start 2/3  1.5 MB sent\n"),
        (replace(START, accuracy=0.5, start=(3, 3)), "start 3/3  accuracy 50.0 %  1.5 MB sent\n"),
        (
            replace(START, round_number=1, num_rounds=5, start=None),
            "round 1/5  loss not measured  accuracy not measured yet  1.5 MB sent  0:00 left\n",
        ),
    ],
    ids=["start", "start that is measured", "round without a loss"],
)
def test_the_start_is_counted_by_itself_and_what_was_not_measured_is_no_number(
    progress: Progress, shown: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    with display_run() as display:
        display.round_finished(progress)
    assert capsys.readouterr().out == shown
    terminal = open_terminal(monkeypatch, 120)
    with display_run() as display:
        display.round_finished(progress)
    on_terminal = " ".join(re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", terminal.getvalue()).split())
    assert " ".join(shown.split()[:2]) in on_terminal
    assert " ".join(shown.split()[2:]) in on_terminal


def test_encoding_has_a_progress_of_its_own(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch):
    seconds = iter((0.0, 1.0, 6.0, 6.0))
    monkeypatch.setattr("fedprime.cli.progress.time.monotonic", lambda: next(seconds))
    with display_run() as display:
        for done in (256, 512):  # after a second, and after 6
            display.values_encoded(Encoded("photo", done, 4000))
    assert capsys.readouterr().out == "encoding photo 512/4,000\n"


def test_encoding_is_shown_live_in_a_terminal(monkeypatch: pytest.MonkeyPatch):
    terminal = open_terminal(monkeypatch, 120)
    with display_run() as display:
        display.values_encoded(Encoded("photo", 256, 4000))
    assert "encoding photo" in terminal.getvalue()
    assert "256/4000" in terminal.getvalue()


@pytest.fixture
def progress() -> Callable[..., Progress]:
    """Progress of a run with so many seconds left."""
    return lambda seconds_left: Progress(2, 30, 1.2346, 0.5, 0.825, 1_500_000, seconds_left)
