"""What a person sees while runs are made: live or plain lines of progress."""

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn

from fedprime.data.batches import Encoded
from fedprime.experiment.build import LIKE_TRAIN
from fedprime.reproducibility.errors import counted
from fedprime.runs.callbacks import Callback
from fedprime.runs.grid import GridProgress, RunState, run_path
from fedprime.runs.metrics import Progress as RunProgress

_SECONDS_BETWEEN_LINES = 5  # while values are encoded, where lines stay


@contextmanager
def display_run() -> Iterator[Callback]:
    """Yields what shows the progress of a run: of its values first, where they take long, then of its rounds."""
    if not sys.stdout.isatty():
        yield _Lines()
        return
    columns = (TextColumn("{task.fields[what]}"), MofNCompleteColumn(), BarColumn(), TextColumn("{task.description}"))
    with Progress(*columns, console=Console()) as display:
        yield _LiveLines(display)


class _Lines(Callback):
    """Prints a line for each round, and some while values are encoded."""

    def __init__(self) -> None:
        self._said = time.monotonic()

    def values_encoded(self, encoded: Encoded) -> None:
        if time.monotonic() - self._said >= _SECONDS_BETWEEN_LINES:
            self._said = time.monotonic()
            print(f"encoding {encoded.modality} {encoded.done:,}/{encoded.total:,}", flush=True)

    def round_finished(self, progress: RunProgress) -> None:
        what, done, total = _counted(progress)
        print(f"{what} {done}/{total}  {_describe_round(progress)}", flush=True)


class _LiveLines(Callback):
    """Shows one line that changes: of a modality that is encoded, then of the rounds."""

    def __init__(self, display: Progress) -> None:
        self._display = display
        self._task = display.add_task("preparing", total=None, what="round")

    def values_encoded(self, encoded: Encoded) -> None:
        self._display.update(
            self._task,
            completed=encoded.done,
            total=encoded.total,
            what=f"encoding {encoded.modality}",
            description="once; later runs find it done" if encoded.done < encoded.total else "",
        )

    def round_finished(self, progress: RunProgress) -> None:
        what, done, total = _counted(progress)
        self._display.update(self._task, completed=done, total=total, what=what, description=_describe_round(progress))


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


def megabytes(num_bytes: int) -> str:
    """Returns a size in words.

    >>> megabytes(1_250_000)
    '1.2 MB'
    """
    return f"{num_bytes / 1e6:.1f} MB"


def complain_about(unfinished: Sequence[RunState], folder: Path) -> None:
    """Says why runs of a grid are not finished."""
    lines = [f"fedprime: {counted(len(unfinished), 'run')} not finished:"]
    lines += [f"  {entry.planned.name} ({run_path(folder, entry.planned)}): {entry.reason}" for entry in unfinished]
    if any(entry.state == "failed" for entry in unfinished):
        lines.append(
            f"{folder / 'failures'} says more. The same command tries them again; a broken run folder is begun anew "
            "once you move it away."
        )
    print("\n".join(lines), file=sys.stderr)


def how_far(entry: RunState) -> str:
    """Returns in words how far a run of a grid has come."""
    if entry.state != "started":
        return entry.state
    return f"{entry.rounds} of {entry.planned.settings.training.rounds} rounds"


def _counted(progress: RunProgress) -> tuple[str, int, int]:
    """Returns which rounds are being made, how many of them are finished, and how many there are."""
    if progress.start is None:
        return "round", progress.round_number, progress.num_rounds
    return "start", *progress.start


def _describe_round(progress: RunProgress) -> str:
    sent = f"{megabytes(progress.bytes_sent)} sent"
    if progress.accuracy is not None:
        known = f"accuracy {_against(progress.accuracy, progress.best_accuracy)}"
    else:
        known = "accuracy not measured yet"
    if progress.start is not None:  # nothing is trained yet, and how long training takes is not known
        return sent if progress.accuracy is None else f"{known}  {sent}"
    loss = "not measured" if progress.loss is None else f"{progress.loss:.3f}"
    return f"loss {loss}  {known}  {sent}  {_duration(progress.seconds_left)} left"


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
