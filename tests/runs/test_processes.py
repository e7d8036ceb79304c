"""Making runs one after the other: whatever happens to one, the others are made. Processes: see slow."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from fedprime.data.sources import DataError
from fedprime.experiment.run_folder import RunError, RunInUseError
from fedprime.runs import processes as workers
from fedprime.runs.callbacks import Callback
from fedprime.runs.metrics import Progress
from fedprime.runs.processes import Ending, Task, work_off
from fedprime.settings.problems import SettingsError
from fedprime.settings.settings import Settings

TASKS = [Task(name, Settings(), Path(name)) for name in ("first", "second")]
RESULTS = {"rounds": 30}


@pytest.fixture
def first_raises(monkeypatch: pytest.MonkeyPatch) -> Callable[[BaseException], None]:
    """Lets the first run raise an error after its first round, and the others succeed."""

    def let_it_raise(error: BaseException) -> None:
        def complete(settings: Settings, folder: Path, callbacks: Sequence[Callback]) -> dict[str, Any]:
            callbacks[0].round_finished(Progress(1, settings.training.rounds, 0.5, None, None, 0, 1.0))
            if folder.name == "first":
                raise error
            return RESULTS

        monkeypatch.setattr(workers, "complete_run", complete)

    return let_it_raise


def endings() -> dict[str, Ending]:
    """Makes both runs in this process; returns how each ended."""
    ended: dict[str, Ending] = {}
    work_off(TASKS, 1, lambda task, event: ended.update({task.name: event} if isinstance(event, Ending) else {}))
    return ended


def test_a_run_is_watched_from_its_beginning_to_its_end(first_raises: Callable[[BaseException], None]):
    first_raises(RunError("broken"))
    seen: list[tuple[str, str]] = []
    work_off(TASKS, 1, lambda task, event: seen.append((task.name, type(event).__name__)))
    steps = ("NoneType", "Progress", "Ending")
    assert seen == [(task.name, step) for task in TASKS for step in steps]


@pytest.mark.parametrize(
    ("error", "reason"),
    [
        (RunError("x is broken;\n  restore it"), "x is broken; restore it"),
        (SettingsError(["a is wrong", "b is wrong"]), "a is wrong; b is wrong"),
        (DataError("there is no folder photos"), "there is no folder photos"),
        (OSError(28, "No space left on device"), "[Errno 28] No space left on device"),
        (ZeroDivisionError("division by zero"), "ZeroDivisionError: division by zero"),
        (MemoryError(), "MemoryError"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_a_run_that_fails_says_why_and_the_next_one_is_made(
    error: Exception, reason: str, first_raises: Callable[[BaseException], None]
):
    first_raises(error)
    ended = endings()
    assert (ended["first"].state, ended["first"].reason) == ("failed", reason)
    assert "Traceback" in ended["first"].details
    assert "in complete\n" in ended["first"].details
    assert (ended["second"].state, ended["second"].results) == ("finished", RESULTS)


def test_a_run_in_use_is_left_to_the_other_process(first_raises: Callable[[BaseException], None]):
    first_raises(RunInUseError("another process is running first"))
    ended = endings()
    assert (ended["first"].state, ended["first"].reason) == ("in use", "another process is running first")
    assert ended["second"].state == "finished"


@pytest.mark.parametrize("error", [KeyboardInterrupt(), BrokenPipeError()], ids=["Ctrl-C", "no reader"])
def test_when_nobody_waits_any_more_no_other_run_begins(
    error: BaseException, first_raises: Callable[[BaseException], None]
):
    first_raises(error)
    begun: list[str] = []
    with pytest.raises(type(error)):
        work_off(TASKS, 1, lambda task, _: begun.append(task.name))
    assert set(begun) == {"first"}


def test_without_runs_no_process_is_started():
    work_off([], 4, lambda task, _: pytest.fail(task.name))
