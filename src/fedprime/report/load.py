"""From paths to finished runs: run folders, folders and grids of them, files of earlier reports."""

import functools
import os
import tomllib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from fedprime.experiment.run_folder import RunError, RunFolder
from fedprime.experiment.saved_states import broken, existing
from fedprime.report.finished_runs import IGNORED, OWN_OBJECTS, FinishedRun, history_of, plain_settings
from fedprime.report.runs_file import RunSet, read_runs_file
from fedprime.reproducibility.strict_json import JsonError, parse_json
from fedprime.settings.plans import Plan, PlannedRun, read_plan
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import flat_settings, read_saved_settings
from fedprime.settings.recipe_tables import dotted_names

#: Files of which a run folder has at least one, also when it is broken.
_MARKS = ("settings.toml", "results.json", "checkpoint.safetensors", "metrics.jsonl")
#: Settings that a run makes absolute, so that they differ from those of its plan.
_PLACES = frozenset({"backbone", "initial_model"})
#: Where in a run folder stands what a `FinishedRun` holds.
_FILES = {"results": "results.json", "environment": "environment.json", "patterns": "missingness.json"}
_REMEDY = "restore it from a copy or start the run anew"


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
    found: dict[Path, Path] = {}  # by resolved path: arguments may overlap
    whole_grids: dict[Path, Path] = {}
    is_grid = functools.cache(_is_grid)  # it is asked of each run
    for path in paths:
        runs, grids = [*filter(is_run_folder, _folders(path))], [*filter(is_grid, _folders(path))]
        found |= {folder.resolve(): folder for folder in runs if folder.resolve() not in found}
        whole_grids |= {grid.resolve(): grid for grid in grids}
        file = path / "runs.json" if path.is_dir() else path
        if not path.exists():
            problems.append(f"{path} is not there; name run folders, folders of them, or the runs.json of a report")
        elif not file.is_file() and not runs and not grids:
            problems.append(f"there is no run in {path}; `fedprime run` and `fedprime grid` make some")
        elif not runs and not grids:
            try:
                sets.append(read_runs_file(file))
            except RunError as error:
                problems.append(str(error))
    by_grid: dict[Path | None, dict[Path, Path]] = {grid: {} for grid in whole_grids}
    for resolved, folder in found.items():
        grid = next((up.parent for up in resolved.parents if up.name == "runs" and is_grid(up.parent)), None)
        by_grid.setdefault(grid, {})[resolved] = folder
    for grid, folders in by_grid.items():
        if grid is None:
            sets.append(RunSet(tuple(_read_all(((folder, None) for folder in folders.values()), problems)), None))
        else:
            sets.append(_read_grid(grid, whole_grids.get(grid), folders, problems))
    return [runs for runs in sets if runs.runs], problems


def is_run_folder(path: Path) -> bool:
    """Returns whether a folder is a run folder, be it a broken one."""
    return any((path / mark).is_file() for mark in _MARKS)


def has_runs(path: Path) -> bool:
    """Returns whether there is a run folder or a plan in a folder, at any depth."""
    return any(is_run_folder(folder) or _is_grid(folder) for folder in _folders(path))


def _is_grid(path: Path) -> bool:
    """Returns whether a grid wrote its plan there; one that a person keeps beside runs names a recipe."""
    try:
        return "recipe" not in tomllib.loads((path / "plan.toml").read_text(encoding="utf-8"))
    except OSError:
        return False
    except ValueError:  # of a plan that is broken; who reads it says so
        return True


def _folders(path: Path) -> Iterator[Path]:
    """Yields a folder and those inside, in order of their names, but none inside a run folder or a hidden one."""
    for folder, inner, _ in os.walk(path):
        inner[:] = [] if is_run_folder(Path(folder)) else sorted(name for name in inner if not name.startswith("."))
        yield Path(folder)


def _read_grid(grid: Path, whole: Path | None, folders: Mapping[Path, Path], problems: list[str]) -> RunSet:
    """Reads the runs of a grid, by resolved path, each with the labels that the plan gives it."""
    name = whole or grid
    try:
        plan = read_plan(grid / "plan.toml", is_saved=True)
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
    problems += [
        f"{folder} is no run of the plan {name / 'plan.toml'}; move it elsewhere to report it"
        for resolved, folder in sorted(folders.items())
        if resolved not in planned
    ]
    there = ((folders[resolved], run) for resolved, run in planned.items() if resolved in folders)
    return RunSet(tuple(_read_all(there, problems)), dict(plan.axes), _settings_of_labels(plan))


def _read_all(folders: Iterable[tuple[Path, PlannedRun | None]], problems: list[str]) -> Iterator[FinishedRun]:
    """Yields the runs that can be used: whole, and with the settings that their plan gives them."""
    for folder, planned in folders:
        try:
            run = read_run(folder, None if planned is None else planned.labels)
        except (RunError, OSError) as error:
            problems.append(str(error))
            continue
        expected = run.settings if planned is None else plain_settings(flat_settings(planned.settings))
        wrong = [
            f"{setting} is {value}, there {expected.get(setting)}"
            for setting, value in run.settings.items()
            if value != expected.get(setting) and setting not in (IGNORED | _PLACES) - {"seed"}
        ]
        if wrong:
            problems.append(
                f"{folder} has other settings than the plan of its grid gives it ({'; '.join(wrong)}); "
                "restore the plan, or remove the folder and run it again"
            )
        else:
            yield run


def _settings_of_labels(plan: Plan) -> frozenset[str]:
    of_labels = (settings for labels in plan.tables["axes"].values() for settings in labels.values())
    return frozenset().union(*map(dotted_names, [*of_labels, *plan.tables["by_method"].values()]))


def read_run(path: Path, labels: Mapping[str, str] | None = None) -> FinishedRun:
    """Reads a finished run from its folder.

    Args:
        labels: By axis of its plan, the label that holds for it.

    Raises:
        RunError: If it is not finished, broken, or of another format, in one line.
    """
    folder = RunFolder(path)
    # Where there are no results, the folder says how to get them.
    results = _read_json(path / "results.json") if folder.is_finished else folder.results()
    try:
        settings = flat_settings(read_saved_settings(path / "settings.toml"))
    except SettingsError as error:
        raise RunError(f"{path / 'settings.toml'} cannot be used ({'; '.join(error.problems)}); {_REMEDY}") from error
    rows = folder.metrics()
    environment, missingness = (_read_json(path / name) for name in ("environment.json", "missingness.json"))
    file = "metrics.jsonl"
    try:
        rounds = [row["round"] for row in rows]
        own = {f"{OWN_OBJECTS}{part}": value for part, value in folder.own_objects().items()}
        content = {
            "place": str(path),
            "settings": plain_settings(settings) | own,
            "labels": dict(labels or {}),
            "results": results,
        }
        content |= {"history": history_of(rows), "prompts": _prompt_record([row for row in rows if row["round"] >= 0])}
        file = "environment.json"
        where = {"commit": environment["commit"], "backbone": environment["backbone_fingerprint"]}
        content["environment"] = environment["machine"] | where
        file = "missingness.json"
        # Rows of classes or groups may follow those of clients; what is missing at a site, its server is not told.
        of_clients = [row for row in missingness if "client" in row]
        patterns = of_clients[0].get("present", {})
        content["patterns"] = {name: [int(row["present"][name]) for row in of_clients] for name in patterns}
    except RunError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise broken(path / file, repr(error)) from error
    content["finished"] = datetime.fromtimestamp((path / "results.json").stat().st_mtime, UTC).date().isoformat()
    try:
        run = TypeAdapter(FinishedRun).validate_python(content)
    except ValidationError as error:
        first = error.errors()[0]
        part, *inside = map(str, first["loc"])
        said = f"{'.'.join(inside)}: {first['msg']}" if inside else "it is no object"
        raise RunError(
            f"{path / _FILES.get(part, 'metrics.jsonl')} has another format than this version of fedprime writes "
            f"({said}); {_REMEDY}"
        ) from error
    folder.refuse_changed()
    if rounds != list(range(min(rounds, default=0), run.results.rounds)) or min(rounds, default=0) > 0:
        raise broken(path / "metrics.jsonl", f"it lacks some of {run.results.rounds} rounds")
    return run


def _read_json(path: Path) -> Any:
    try:
        return parse_json(existing(path.parent, path.name).read_bytes(), is_lenient=True)
    except JsonError as error:
        raise broken(path, error) from error


def _prompt_record(rows: Sequence[Mapping[str, Any]]) -> dict[str, Any] | None:
    matches = [row.get("matches") or {} for row in rows]
    usage = [row["usage"] for row in rows if row.get("usage")]
    pools = dict.fromkeys(name for by_pool in matches for name in by_pool)
    if not pools and not usage:
        return None
    return {
        "matches": {pool: next(row[pool] for row in reversed(matches) if pool in row) for pool in pools},
        "moved": {pool: [_moved_share(row[pool]) if row.get(pool) else None for row in matches] for pool in pools},
        "usage": usage[-1] if usage else {},
    }


def _moved_share(clients: Iterable[Sequence[int | None]]) -> float:
    """Returns the share of matched prompts whose centre is not that of most with the same place in the pool."""
    by_place: dict[int, Counter[int]] = {}
    for centres in clients:
        for place, centre in enumerate(centres):
            if centre is not None:
                by_place.setdefault(place, Counter())[centre] += 1
    stayed = sum(max(counts.values()) for counts in by_place.values())
    return 1 - stayed / max(1, sum(counts.total() for counts in by_place.values()))
