"""The verb ``grid`` of the command line."""

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from fedprime.cli.stopping import importing, interruptible
from fedprime.reproducibility.errors import counted
from fedprime.runs.trackers import TRACKERS, refuse_missing_trackers
from fedprime.settings.first_look import refuse_plainly_wrong
from fedprime.settings.flags import refuse_unknown_flags, take_folder, take_numbers, take_switch, take_values
from fedprime.settings.problems import SettingsError
from fedprime.settings.recipes import find_plan, plan_name, recipe_name

if TYPE_CHECKING:
    from fedprime.runs.grid import RunState
    from fedprime.settings.plans import Plan, PlannedRun

_HELP = f"""\
usage: fedprime grid PLAN [--recipe RECIPE] [--output FOLDER] [--processes N] [--seeds N N ...]
                     [--only AXIS=LABEL,LABEL ...] [--track TRACKER ...] [--dry-run] [--SETTING VALUE ...]

Makes all runs of a plan: every combination of its labels with every seed. The same command again goes on where it was
stopped: finished runs are left as they are, half finished ones continue after their last round.

  PLAN              a TOML file or the name of a plan (fedprime recipes list)
  --recipe RECIPE   the recipe to start from instead of the plan's, for example food101/study
  --output FOLDER   where to: FOLDER/plan.toml, a run folder for each run in FOLDER/runs, and in FOLDER/failures why
                    a run failed; runs/PLAN if not given, with --recipe runs/PLAN-RECIPE
  --processes N     runs to make at the same time; as many as the cores allow if not given
  --seeds N N ...   seeds instead of the plan's; more can be added to a folder later
  --only AXIS=LABEL,LABEL
                    only the runs with these labels; may stand there for several axes
  --track TRACKER ...
                    send each run, once it is finished, to {", ".join(TRACKERS)}, as
                    fedprime track FOLDER does afterwards
  --dry-run         list the runs and how far each has come, and do nothing
  --SETTING VALUE   a setting for all runs, over the plan's (fedprime run --help explains every one)

For example: fedprime grid main --only method=fedprime,fedavg-p --seeds 0 1 --training.rounds 10 --output runs/short
             fedprime grid main --recipe food101/study --data.path FOLDER

Exit code: 0 when every run is finished, 1 when some failed or are in use by another process, 2 when nothing could be
done, 130 when stopped by Ctrl-C."""

_FLAGS = ("--output", "--processes", "--seeds", "--only", "--track", "--dry-run", "--recipe")


def make_grid(words: list[str]) -> int:
    """Makes the runs of a plan, as asked for on a command line, and returns the exit code."""
    if "--help" in words or "-h" in words:
        print(_HELP)
        return 0
    command = shlex.join(["fedprime", "grid", *words])
    if not words or words[0].startswith("-"):
        raise SettingsError(
            "name a plan first: fedprime grid PLAN; `fedprime recipes list` shows those that come along"
        )
    path = find_plan(words.pop(0))
    recipe = take_values(words, "--recipe", "--recipe food101/study")
    parts = [plan_name(path), *(recipe_name(name) for name in recipe)]
    folder = Path(take_folder(words, "--output") or Path("runs") / "-".join(parts))
    seeds = take_numbers(words, "--seeds", "--seeds 0 1 2", least=0)
    processes = take_numbers(words, "--processes", "--processes 2", least=1)
    trackers = take_values(words, "--track", "--track tensorboard")
    refuse_missing_trackers(trackers)
    once = {"--recipe": recipe, "--processes": processes}
    only = take_values(words, "--only", "--only method=fedprime")
    several = [f"{flag} has {len(found)} values; expected one" for flag, found in once.items() if len(found) > 1]
    if several:
        raise SettingsError(several)
    is_dry = take_switch(words, "--dry-run")
    refuse_unknown_flags(words, _FLAGS, "grid")
    refuse_plainly_wrong(None, words)
    with importing():
        from fedprime.settings.plans import choose_runs, read_plan

        plan = read_plan(path, words, seeds, *recipe)
        runs = choose_runs(plan, only)
        from fedprime.cli.progress import how_far
        from fedprime.runs.grid import inspect_grid
    states = inspect_grid(plan, folder, runs)
    if is_dry:
        for entry in states:
            print(f"{how_far(entry):18}{entry.planned.name}{f': {entry.reason}' if entry.reason else ''}")
    num_finished = sum(entry.state == "finished" for entry in states)
    if is_dry or 0 < num_finished < len(runs):
        print(f"{num_finished} of {counted(len(runs), 'run')} finished already in {folder}", flush=True)
    if is_dry:
        return 0
    return _make(plan, folder, runs, processes[0] if processes else 0, trackers, command)


def _make(
    plan: "Plan",
    folder: Path,
    runs: Sequence["PlannedRun"],
    num_processes: int,
    trackers: Sequence[str],
    command: str,
) -> int:
    from fedprime.cli.progress import complain_about, display_grid
    from fedprime.runs.grid import GridProgress, inspect_grid, run_grid, run_path

    def say_how_to_go_on() -> str:
        total = counted(len(runs), "run")
        finished = sum((run_path(folder, planned) / "results.json").exists() for planned in runs)
        return f"; {finished} of {total} finished, the others keep their rounds. Go on with: {command}"

    with interruptible(say_how_to_go_on), display_grid() as display:

        def watch(progress: GridProgress) -> None:
            display(progress)
            if progress.ended:
                _send([progress.ended], folder, trackers)

        _send(inspect_grid(plan, folder, runs), folder, trackers)  # those that were finished before
        states = run_grid(plan, folder, runs, num_processes=num_processes, watch=watch)
    unfinished = [entry for entry in states if entry.state != "finished"]
    if unfinished:
        complain_about(unfinished, folder)
        return 1
    report = shlex.join(["fedprime", "report", str(folder)])
    print(f"{counted(len(runs), 'run')} finished in {folder}; tables and plots: {report}")
    return 0


def _send(states: Sequence["RunState"], folder: Path, trackers: Sequence[str]) -> None:
    """Sends what trackers lack of the runs that are finished."""
    from fedprime.runs.grid import run_path
    from fedprime.runs.tracking import Tracking

    for entry in states:
        if trackers and entry.state == "finished":
            with Tracking(run_path(folder, entry.planned), trackers, folder, entry.planned.labels):
                pass  # a finished run is sent when this ends
