"""What a person sees while runs are made: live or plain lines of progress, and how to go on after Ctrl-C."""

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from fedprime.experiment.build import LIKE_TRAIN
from fedprime.runs.grid import GridProgress, RunState
from fedprime.runs.metrics import Progress as RunProgress

__all__ = ["INTERRUPTED", "display_grid", "display_run", "interruptible", "megabytes"]

#: Exit code after Ctrl-C.
INTERRUPTED = 128 + signal.SIGINT
_NOBODY_READS = 128 + signal.SIGPIPE


@contextmanager
def display_run() -> Iterator[Callable[[RunProgress], None]]:
    """Yields a function that shows the progress of a run."""
    if not sys.stdout.isatty():
        yield lambda progress: print(
            f"round {progress.round_number}/{progress.num_rounds}  {_describe_round(progress)}", flush=True
        )
        return
    columns = (TextColumn("round"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console()) as display:
        task = display.add_task("preparing", total=None)

        def watch(progress: RunProgress) -> None:
            display.update(
                task, completed=progress.round_number, total=progress.num_rounds, description=_describe_round(progress)
            )

        yield watch


@contextmanager
def display_grid() -> Iterator[Callable[[GridProgress], None]]:
    """Yields a function that shows the progress of a grid: a line for each run that ends, live lines for the others."""
    if not sys.stdout.isatty():
        yield lambda progress: print(_describe_ended(progress), flush=True) if progress.ended else None
        return
    names = TextColumn("{task.description}", markup=False)
    columns = (names, BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[note]}", markup=False))
    with Progress(*columns, console=Console()) as display:
        whole = display.add_task("all runs", total=None, note="")
        lines: dict[str, TaskID] = {}

        def watch(progress: GridProgress) -> None:
            running = {entry.planned.name: entry for entry in progress.running}
            for name in lines.keys() - running.keys():
                display.remove_task(lines.pop(name))
            for name, entry in running.items():
                if name not in lines:
                    num_rounds = entry.planned.settings.training.rounds
                    lines[name] = display.add_task(name, total=num_rounds, note="rounds")
                display.update(lines[name], completed=entry.rounds)
            left = "" if progress.seconds_left is None else f"{_duration(progress.seconds_left)} left"
            display.update(whole, completed=progress.num_ended, total=progress.num_runs, note=left)
            if progress.ended:
                display.console.print(_describe_ended(progress), markup=False, highlight=False, soft_wrap=True)

        yield watch


@contextmanager
def interruptible(describe: Callable[[], str]) -> Iterator[None]:
    """Turns Ctrl-C into an exit that says how to go on: every finished round is saved already.

    Args:
        describe: Returns what was reached and how to go on, to stand after "stopped".
    """
    try:
        yield
    except (KeyboardInterrupt, BrokenPipeError) as error:
        if isinstance(error, BrokenPipeError):
            # Whoever read our output has gone; the interpreter must not complain about it when it flushes at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"\nstopped{describe()}", file=sys.stderr)
        raise SystemExit(INTERRUPTED if isinstance(error, KeyboardInterrupt) else _NOBODY_READS) from None


def megabytes(num_bytes: int) -> str:
    """Returns a size in words.

    Args:
        num_bytes: The size.

    >>> megabytes(1_250_000)
    '1.2 MB'
    """
    return f"{num_bytes / 1e6:.1f} MB"


def _describe_round(progress: RunProgress) -> str:
    accuracy, best = progress.accuracy, progress.best_accuracy
    known = "not measured yet" if accuracy is None else _against(accuracy, best)
    sent = megabytes(progress.bytes_sent)
    return f"loss {progress.loss:.3f}  accuracy {known}  {sent} sent  {_duration(progress.seconds_left)} left"


def _describe_ended(progress: GridProgress) -> str:
    ended = progress.ended
    if ended is None:
        return ""
    return f"[{progress.num_ended}/{progress.num_runs}] {ended.planned.name}: {_describe_state(ended)}"


def _describe_state(entry: RunState) -> str:
    if entry.results is None:
        return entry.reason if entry.state == "in use" else f"failed: {entry.reason}"
    scores = entry.results["scenarios"][LIKE_TRAIN]
    accuracies = _against(scores["accuracy"], scores.get("bayes_accuracy"))
    return f"{entry.seconds:.0f} s, {LIKE_TRAIN} {accuracies}"


def _against(accuracy: float, best: float | None) -> str:
    """Returns an accuracy in words, beside the best possible one where that is known."""
    return f"{100 * accuracy:.1f} %" if best is None else f"{100 * accuracy:.1f} of {100 * best:.1f} %"


def _duration(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    hours, of_hour = divmod(minutes, 60)
    return f"{hours} h {of_hour:02d} min" if hours else f"{minutes}:{rest:02d}"
