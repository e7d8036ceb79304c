"""Grids: all runs of a plan in one folder, each made, continued or left as it is, whichever is left to do.

The files of a grid:

    plan.toml     the plan, with all that it took from a recipe
    runs/         a run folder for each of its runs, in folders named by label and seed
    failures/     by run that did not come to its end, where it failed
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from fedprime.data.in_order import num_cores
from fedprime.experiment.loading import refuse_other_settings
from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.reproducibility.atomic_files import write_whole
from fedprime.reproducibility.errors import FedprimeError
from fedprime.runs.metrics import Progress
from fedprime.runs.processes import Ending, Task, work_off
from fedprime.settings.plans import Plan, PlannedRun, dump_plan, read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import differing_settings


class GridError(FedprimeError):
    """A folder that is not, or cannot become, that of a plan's grid."""


@dataclass(frozen=True)
class RunState:
    """How far a run of a grid has come.

    Attributes:
        state: Whether it has not begun, has begun, is finished, is made by another process, or cannot go on.
        reason: Why it is in use or failed, in one line.
    """

    planned: PlannedRun
    state: Literal["not started", "started", "finished", "in use", "failed"]
    rounds: int = 0
    reason: str = ""
    results: Mapping[str, Any] | None = None
    seconds: float = 0.0

    @property
    def has_ended(self) -> bool:
        """Whether nothing more is done about it this time."""
        return self.state in ("finished", "in use", "failed")


@dataclass(frozen=True)
class GridProgress:
    """What is known while a grid is made, for display.

    Attributes:
        num_ended: Runs that nothing more is done about, those that were finished before included.
        num_runs: All of them.
        ended: The run that has just ended, if one has.
        running: The runs that are being made.
        seconds_left: Estimated from the rounds that were made this time; None before the first.
    """

    num_ended: int
    num_runs: int
    ended: RunState | None
    running: tuple[RunState, ...]
    seconds_left: float | None


def run_grid(
    plan: Plan,
    folder: str | Path,
    runs: Sequence[PlannedRun] | None = None,
    *,
    num_processes: int = 0,
    watch: Callable[[GridProgress], None] = lambda _: None,
) -> tuple[RunState, ...]:
    """Makes the runs of a plan that are not finished; those that are half finished go on.

    A run that fails does not stop the others; its traceback is in ``failures/``. Several processes may work on the same
    folder: each run is made by one of them.

    Args:
        folder: The folder of the grid, which may hold a part of the runs already.
        runs: Which runs of the plan; all of them if not given.
        num_processes: How many runs to make at the same time; as many as the cores allow if 0. If it is not 1, a
            script must guard its own work by ``if __name__ == "__main__"``.
        watch: Called when a run begins, after its rounds, and when it ends.

    Returns:
        By run, how it ended.

    Raises:
        GridError: If the folder holds the runs of another plan, or something else.
        SettingsError: If the folder's ``plan.toml`` cannot be read.
    """
    folder = Path(folder)
    _keep_plan(plan, folder)
    states = _inspect(plan.runs if runs is None else runs, folder)
    ledger = _Ledger(folder, states, watch)
    tasks = {run_path(folder, entry.planned): entry.planned for entry in states if not entry.has_ended}
    if tasks:
        work_off(
            [Task(planned.name, planned.settings, path) for path, planned in tasks.items()],
            min(num_processes or default_processes(list(tasks.values())), len(tasks)),
            ledger.record,
        )
    # Another process may have finished in the meantime what it was busy with.
    return tuple(
        _state(entry.planned, path) if entry.state == "in use" and RunFolder(path).is_finished else entry
        for path, entry in ledger.states.items()
    )


def inspect_grid(plan: Plan, folder: str | Path, runs: Sequence[PlannedRun] | None = None) -> tuple[RunState, ...]:
    """Returns how far the runs of a plan have come, without changing anything.

    Args:
        folder: The folder of the grid, which need not exist.

    Raises:
        GridError: If the folder holds the runs of another plan, or something else.
        SettingsError: If the folder's ``plan.toml`` cannot be read.
    """
    _plan_to_write(plan, Path(folder))
    return _inspect(plan.runs if runs is None else runs, Path(folder))


def run_path(folder: Path, planned: PlannedRun) -> Path:
    """Returns the run folder of a run."""
    return folder / "runs" / planned.folder


def default_processes(runs: Sequence[PlannedRun]) -> int:
    """Returns how many runs to make at the same time, so that each has its threads on cores of its own."""
    threads = max((planned.settings.threads for planned in runs), default=1)
    return max(1, min(num_cores() // threads, len(runs)))


class _Ledger:
    """Writes down what becomes of the runs, and tells it.

    Attributes:
        states: By run folder, how far the run has come.
    """

    def __init__(self, folder: Path, states: Sequence[RunState], watch: Callable[[GridProgress], None]) -> None:
        self.states = {run_path(folder, entry.planned): entry for entry in states}
        self._folder = folder
        self._watch = watch
        self._running: set[Path] = set()
        self._began = time.perf_counter()
        self._rounds = 0

    def record(self, task: Task, event: Progress | Ending | None) -> None:
        before = self.states[task.folder]
        self._running.add(task.folder)
        if isinstance(event, Progress):
            self._rounds += 1
            self.states[task.folder] = replace(before, state="started", rounds=event.round_number)
        elif isinstance(event, Ending):
            self._running.remove(task.folder)
            rounds = before.rounds if event.results is None else event.results["rounds"]
            self.states[task.folder] = RunState(
                before.planned, event.state, rounds, event.reason, event.results, event.seconds
            )
            self._keep_failure(before.planned, event)
        ended = self.states[task.folder] if isinstance(event, Ending) else None
        self._watch(
            GridProgress(
                sum(entry.has_ended for entry in self.states.values()),
                len(self.states),
                ended,
                tuple(entry for path, entry in self.states.items() if path in self._running),
                self._seconds_left(),
            )
        )

    def _seconds_left(self) -> float | None:
        if not self._rounds:
            return None
        going_on = [entry for entry in self.states.values() if not entry.has_ended]
        left = sum(entry.planned.settings.training.rounds - entry.rounds for entry in going_on)
        return (time.perf_counter() - self._began) / self._rounds * left

    def _keep_failure(self, planned: PlannedRun, ending: Ending) -> None:
        path = self._folder / "failures" / planned.folder.with_name(f"{planned.folder.name}.txt")
        with suppress(OSError):  # a full disk may be what made the run fail
            if ending.state == "failed":
                write_whole(path, f"{planned.name}\n\n{ending.details}")
            elif ending.state == "finished":
                path.unlink(missing_ok=True)


def _inspect(runs: Sequence[PlannedRun], folder: Path) -> tuple[RunState, ...]:
    return tuple(_state(planned, run_path(folder, planned)) for planned in runs)


def _state(planned: PlannedRun, path: Path) -> RunState:
    if not path.exists():
        return RunState(planned, "not started")
    try:
        run = RunFolder(path)
        refuse_other_settings(run, planned.settings)
        if run.is_finished:
            return RunState(planned, "finished", run.results()["rounds"], results=run.results())
        return RunState(planned, "started", max(0, run.load_checkpoint().next_round))  # below are rounds of the start
    except (RunError, SettingsError, OSError) as error:
        return RunState(planned, "failed", reason=" ".join(str(error).split()))


def _keep_plan(plan: Plan, folder: Path) -> None:
    """Makes the folder of a grid, and writes down the plan if it is new or has new runs."""
    _plan_to_write(plan, folder)  # refuses before anything is made
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):  # another process may have been asked for other seeds
        text = _plan_to_write(plan, folder)
        if text is not None:
            write_whole(folder / "plan.toml", text)


def _plan_to_write(plan: Plan, folder: Path) -> str | None:
    """Returns the content of the ``plan.toml`` that the folder is to get, or None if it has the right one.

    Raises:
        GridError: If the folder belongs to something else.
    """
    path = folder / "plan.toml"
    if not path.exists():
        is_folder = folder.is_dir()
        if folder.exists() and not is_folder:
            raise GridError(f"{folder} is not a folder; name another one with --output")
        if is_folder and any(not entry.name.startswith(".") for entry in folder.iterdir()):
            raise GridError(
                f"{folder} is not the folder of a grid: plan.toml is not there; put it back, or name another folder "
                "with --output"
            )
        return dump_plan(plan)
    there = read_plan(path, is_saved=True)
    differences = _differences(there, plan)
    if differences:
        raise GridError(
            f"{folder} holds the runs of another plan: {'; '.join(differences)}; name another folder with --output"
        )
    seeds = tuple(dict.fromkeys([*there.seeds, *plan.seeds]))
    has_new_labels = any(set(labels) - set(there.axes[axis]) for axis, labels in plan.axes.items())
    if seeds == there.seeds and not has_new_labels:
        return None
    return dump_plan(replace(plan, tables={**plan.tables, "seeds": list(seeds)}))


def _differences(there: Plan, here: Plan) -> list[str]:
    """Returns how a folder's plan differs from that one, other than by runs that are new."""
    if list(there.axes) != list(here.axes):
        return [f"its axes are {', '.join(there.axes) or 'none'} there, {', '.join(here.axes) or 'none'} here"]
    differences = [
        f"the axis {axis} has {label!r} there, not here"
        for axis, labels in there.axes.items()
        for label in labels
        if label not in here.axes[axis]
    ]
    settings_here = {tuple(run.labels.values()): run.settings for run in here.runs}
    for run in there.runs:
        settings = settings_here.get(tuple(run.labels.values()))
        if settings:
            differences += [
                words for name, words in differing_settings(run.settings, settings).items() if name != "seed"
            ]
    return list(dict.fromkeys(differences))
