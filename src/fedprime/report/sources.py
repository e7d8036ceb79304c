"""Where the runs of a report come from: run folders, folders and grids of them, files of earlier reports."""

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from fedprime.experiment.run_folder import RunError
from fedprime.report.finished_runs import IGNORED, FinishedRun, plain_settings
from fedprime.report.run_reading import read_run
from fedprime.report.runs_file import RunSet, read_runs_file
from fedprime.settings.plans import Plan, read_plan
from fedprime.settings.reading import flat_settings
from fedprime.settings.recipe_tables import dotted_names
from fedprime.settings.settings import SettingsError

__all__ = ["find_runs", "has_runs", "is_run_folder"]

#: Files of which a run folder has at least one, also when it is broken.
_MARKS = ("settings.toml", "results.json", "checkpoint.safetensors", "metrics.jsonl")
#: Settings that a run makes absolute, so that they differ from those of its plan.
_PLACES = frozenset({"backbone", "initial_model"})


def find_runs(paths: Sequence[Path]) -> tuple[list[RunSet], list[str]]:
    """Finds and reads finished runs.

    Args:
        paths: Run folders, folders that contain some at any depth, grid folders, and ``runs.json`` files of reports or
            their folders.

    Returns:
        The runs, by grid and file that they come from, and one line on everything that had to be left out.
    """
    problems: list[str] = []
    sets: list[RunSet] = []
    folders: dict[Path, Path] = {}  # by resolved path: arguments may overlap
    whole_grids: dict[Path, Path] = {}
    for path in paths:
        if not path.exists():
            problems.append(f"there is no {path}; name run folders, folders of them, or the runs.json of a report")
            continue
        found = [] if path.is_file() else list(_run_folders(path))
        grids = [] if path.is_file() else [folder for folder in _folders(path) if (folder / "plan.toml").is_file()]
        folders |= {folder.resolve(): folder for folder in found if folder.resolve() not in folders}
        whole_grids |= {grid.resolve(): grid for grid in grids}
        if found or grids:
            continue
        if path.is_dir() and not (path / "runs.json").is_file():
            problems.append(f"there is no run in {path}; `fedprime run` and `fedprime grid` make some")
            continue
        try:
            sets.append(read_runs_file(path / "runs.json" if path.is_dir() else path))
        except RunError as error:
            problems.append(str(error))
    by_grid: dict[Path | None, dict[Path, Path]] = {grid: {} for grid in whole_grids}
    for resolved, folder in folders.items():
        by_grid.setdefault(_grid_of(resolved), {})[resolved] = folder
    for grid, of_grid in by_grid.items():
        if grid is None:
            sets.append(RunSet(tuple(_read_all(of_grid.values(), problems)), None))
        else:
            sets.append(_read_grid(grid, whole_grids.get(grid), of_grid, problems))
    return [runs for runs in sets if runs.runs], problems


def is_run_folder(path: Path) -> bool:
    """Returns whether a folder is a run folder, be it a broken one.

    Args:
        path: The folder.
    """
    return any((path / mark).is_file() for mark in _MARKS)


def has_runs(path: Path) -> bool:
    """Returns whether there is a run folder or a plan in a folder, at any depth.

    Args:
        path: The folder.
    """
    return path.is_dir() and any(is_run_folder(folder) or (folder / "plan.toml").is_file() for folder in _folders(path))


def _folders(path: Path) -> Iterator[Path]:
    """Yields a folder and those inside, in order of their names, but none inside a run folder or a hidden one."""
    for folder, inner, _ in os.walk(path):
        inner[:] = [] if is_run_folder(Path(folder)) else sorted(name for name in inner if not name.startswith("."))
        yield Path(folder)


def _run_folders(path: Path) -> Iterator[Path]:
    return (folder for folder in _folders(path) if is_run_folder(folder))


def _grid_of(folder: Path) -> Path | None:
    """Returns the grid that a run folder lies in, if it does."""
    return next(
        (
            parent.parent
            for parent in folder.parents
            if parent.name == "runs" and (parent.parent / "plan.toml").is_file()
        ),
        None,
    )


def _read_all(folders: Iterable[Path], problems: list[str]) -> Iterator[FinishedRun]:
    for folder in folders:
        try:
            yield read_run(folder)
        except (RunError, OSError) as error:
            problems.append(str(error))


def _read_grid(grid: Path, whole: Path | None, folders: dict[Path, Path], problems: list[str]) -> RunSet:
    """Reads the runs of a grid, each with the labels that the plan gives it."""
    name = whole or grid
    try:
        plan = read_plan(grid / "plan.toml")
    except SettingsError as error:
        problems.append(
            f"the plan of the grid {name} cannot be used ({'; '.join(error.problems)}); its {len(folders)} runs are "
            "left out; restore plan.toml from a copy"
        )
        return RunSet((), None)
    planned = {(grid / "runs" / run.folder).resolve(): run for run in plan.runs}
    missing = len(planned.keys() - folders.keys())
    if whole and missing:
        problems.append(
            f"{missing} of {len(planned)} runs of the grid {name} are not there yet; go on with `fedprime grid`"
        )
    runs: list[FinishedRun] = []
    for resolved in sorted(folders, key=list(planned).index if folders.keys() <= planned.keys() else None):
        folder = folders[resolved]
        if resolved not in planned:
            problems.append(f"{folder} is no run of the plan {name / 'plan.toml'}; move it elsewhere to report it")
            continue
        try:
            run = read_run(folder, planned[resolved].labels)
        except (RunError, OSError) as error:
            problems.append(str(error))
            continue
        expected = plain_settings(flat_settings(planned[resolved].settings))
        wrong = [
            f"{setting} is {value}, there {expected.get(setting)}"
            for setting, value in run.settings.items()
            if value != expected.get(setting) and setting not in (IGNORED | _PLACES) - {"seed"}
        ]
        if wrong:
            problems.append(
                f"{folder} has other settings than the plan {name / 'plan.toml'} gives it ({'; '.join(wrong)}); "
                "restore the plan, or remove the folder and run it again"
            )
            continue
        runs.append(run)
    return RunSet(tuple(runs), dict(plan.axes), _settings_of_labels(plan))


def _settings_of_labels(plan: Plan) -> frozenset[str]:
    of_labels = (settings for labels in plan.tables["axes"].values() for settings in labels.values())
    return frozenset().union(*map(dotted_names, [*of_labels, *plan.tables["by_method"].values()]))
