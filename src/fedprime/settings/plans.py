"""Plans: many runs from one file, every combination of the labels of its axes with every seed.

A plan is a TOML file with

    recipe = "builtin/quickstart"           # settings to start from, unless others are asked for; optional
    seeds = [0, 1, 2]

    [settings.training]                     # what all runs share, over the recipe
    rounds = 20

    [by_method]                             # what runs with one method have; labels go over it; optional
    fedavg-p.training.lr = 0.03

    [axes.method]                           # label = the settings that it stands for
    fedprime.method.name = "fedprime"
    fedavg-p.method.name = "fedavg-p"

    [axes."trained on"]
    "miss text".missing.lacking = "text"
    "miss image".missing.lacking = "image"
"""

import functools
import itertools
import math
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import tomlkit

from fedprime.reproducibility.errors import nearest_name
from fedprime.settings.flags import last_value, set_flags
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import check_settings, known_settings, method_of, note_untuned, without_foreign
from fedprime.settings.recipe_tables import dotted_names, merged, name_in, read_toml, take_by_method, without
from fedprime.settings.recipes import find_recipe
from fedprime.settings.sections import PAPER_SETTING
from fedprime.settings.settings import Settings

#: What a plan has beside them whose runs follow from each other (`settings.searches`).
OF_SEARCH = ("search", "trials")
_ENTRIES = ("recipe", "seeds", "settings", "by_method", "axes")

#: Of one plan: every run is checked before the first is made.
_MOST_RUNS = 10_000


@dataclass(frozen=True)
class PlannedRun:
    """One run of a plan.

    Attributes:
        labels: By axis, the label that holds for this run.
        settings: Every setting, the seed included.
    """

    labels: Mapping[str, str]
    settings: Settings

    @property
    def name(self) -> str:
        """The run in words: ``method fedprime, trained on miss text, seed 0``."""
        return ", ".join([*(f"{axis} {label}" for axis, label in self.labels.items()), f"seed {self.settings.seed}"])

    @property
    def folder(self) -> PurePosixPath:
        """Where the run belongs inside the folder of its grid: a folder per label, then one per seed."""
        # No hidden folders, and none that leads out of the grid's ("..").
        parts = [re.sub(r"^\.+|[^\w.+-]+", "-", label) or "-" for label in self.labels.values()]
        return PurePosixPath(*parts, f"seed-{self.settings.seed}")


@dataclass(frozen=True)
class Plan:
    """Many runs: every combination of labels, with every seed.

    Attributes:
        axes: By name, the labels in order.
        runs: All runs, seed after seed, so that an interrupted grid has whole seeds.
        tables: The plan as it is written: ``seeds``, ``settings`` and ``by_method`` (the recipe's
            included), and ``axes``.
    """

    axes: Mapping[str, tuple[str, ...]]
    seeds: tuple[int, ...]
    runs: tuple[PlannedRun, ...]
    tables: Mapping[str, Any]


def read_plan(
    path: Path, flags: Sequence[str] = (), seeds: Sequence[int] = (), recipe: str = "", *, is_saved: bool = False
) -> Plan:
    """Reads a plan.

    Args:
        flags: Settings for all runs, over those of the plan but under those of its labels, as on a command line.
        seeds: Seeds to use instead of the plan's.
        recipe: The recipe to start from instead of the plan's; what the plan sets over its recipe, it sets over this
            one.
        is_saved: Whether a grid wrote it down, which may be a grid of an earlier version.

    Raises:
        SettingsError: If anything is wrong with it or with one of its runs, with every problem.
    """
    return plan_of(read_toml(path), path, flags, seeds, recipe, is_saved=is_saved)


def plan_of(
    content: Mapping[str, Any],
    path: Path,
    flags: Sequence[str] = (),
    seeds: Sequence[int] = (),
    recipe: str = "",
    *,
    is_saved: bool = False,
) -> Plan:
    """Returns the plan that tables say, as they stand in its file; the arguments are those of `read_plan`.

    Args:
        path: What problems name as their place.

    Raises:
        SettingsError: As `read_plan`.
    """
    shape = _shape_problems(content)
    if shape:
        raise SettingsError([f"{path}: {problem}" for problem in shape])
    content = dict(content)
    recipe = recipe or content.get("recipe", "")
    shared = read_toml(find_recipe(recipe)) if recipe else {}
    of_recipe, problems = take_by_method(shared)
    by_method, more_problems = take_by_method(content)
    problems += more_problems
    shared.pop("seed", None)  # the plan names the seeds
    own: dict[str, Any] = merged({}, content.get("settings", {}))
    axes: dict[str, dict[str, Any]] = content.get("axes", {})
    wrong_flags = [*_set_flags(own, flags, shared, axes), *_flags_without_effect(flags, axes)]
    shared = merged(shared, own)
    # What the plan or a flag says goes over all that a recipe says.
    by_method = merged({method: without(of, dotted_names(own)) for method, of in of_recipe.items()}, by_method)
    chosen = tuple(dict.fromkeys(seeds)) or tuple(content["seeds"])
    number = math.prod(map(len, axes.values())) * len(chosen)
    if number > _MOST_RUNS:
        raise SettingsError(f"{path}: {number:,} runs, expected at most {_MOST_RUNS:,}; name fewer labels or seeds")
    runs: list[PlannedRun] = []
    for labels, tables in _combinations(shared, by_method, axes, dotted_names(own), is_saved=is_saved):
        for seed in chosen:
            try:
                runs.append(PlannedRun(labels, check_settings({**tables, "seed": seed})))
            except SettingsError as error:
                where = ", ".join(f"{axis} {label}" for axis, label in labels.items())
                problems += [f"{where}: {problem}" if where else problem for problem in error.problems]
    if wrong_flags or problems:
        raise SettingsError([*wrong_flags, *(f"{path}: {problem}" for problem in dict.fromkeys(problems))])
    runs.sort(key=lambda run: chosen.index(run.settings.seed))
    folders = [run.folder for run in runs]
    twice = sorted({str(folder) for folder in folders if folders.count(folder) > 1})
    if twice:
        raise SettingsError(f"{path}: two runs would share the folder {twice[0]}; give their labels other names")
    shared = merged({"method": {PAPER_SETTING: False}}, shared)  # which tells the plans of earlier versions from others
    tables = {"seeds": list(chosen), "settings": shared, "by_method": by_method, "axes": axes}
    return Plan({axis: tuple(labels) for axis, labels in axes.items()}, chosen, tuple(runs), tables)


def _combinations(
    shared: Mapping[str, Any],
    by_method: Mapping[str, Mapping[str, Any]],
    axes: Mapping[str, Mapping[str, Mapping[str, Any]]],
    given: Collection[str],
    *,
    is_saved: bool,
) -> Iterator[tuple[dict[str, str], dict[str, Any]]]:
    """Yields every combination of labels with the settings that it stands for; the log tells untuned methods once."""
    told: set[str] = set()
    for combination in itertools.product(*(labels.items() for labels in axes.values())):
        labels = dict(zip(axes, (label for label, _ in combination), strict=True))
        of_labels: dict[str, Any] = functools.reduce(merged, (settings for _, settings in combination), {})
        method = method_of(merged(shared, of_labels))
        tables = merged(merged(shared, by_method.get(method, {})), of_labels)
        if not is_saved and method not in told:
            note_untuned(method, by_method, {*given, *dotted_names(of_labels)})
            told.add(method)
        yield labels, without_foreign(tables) if is_saved else tables


def choose_runs(plan: Plan, wanted: Sequence[str]) -> tuple[PlannedRun, ...]:
    """Returns those runs of a plan that have certain labels.

    Args:
        wanted: Of some axes, the labels: ``["method=fedprime,fedavg-p", "trained on=miss text"]``.

    Raises:
        SettingsError: If an axis or a label is not in the plan, with every problem.
    """
    chosen: dict[str, set[str]] = {}
    problems: list[str] = []
    for words in wanted:
        axis, has_labels, value = words.partition("=")
        if not has_labels:
            problems.append(f"{words!r} names no labels; expected AXIS=LABEL,LABEL, for example method=fedprime")
        elif axis not in plan.axes:
            known = ", ".join(plan.axes) or "none"
            problems.append(f"{axis!r} is not an axis of the plan: {known}{nearest_name(axis, plan.axes)}")
        else:
            # A label may have a comma in it.
            labels = [value] if value in plan.axes[axis] else [label.strip() for label in value.split(",")]
            chosen.setdefault(axis, set()).update(labels)
            problems += [
                f"{label!r} is not a label of the axis {axis}: {', '.join(plan.axes[axis])}"
                f"{nearest_name(label, plan.axes[axis])}"
                for label in labels
                if label not in plan.axes[axis]
            ]
    if problems:
        raise SettingsError(problems)
    return tuple(run for run in plan.runs if all(run.labels[axis] in labels for axis, labels in chosen.items()))


def dump_plan(plan: Plan) -> str:
    """Writes a plan as TOML, with what it took from a recipe, so that it stands alone."""
    return tomlkit.dumps(plan.tables)


def _shape_problems(content: Mapping[str, Any]) -> list[str]:
    problems = [
        f"{name} is not an entry of a plan ({', '.join(_ENTRIES)}, of a search also {', '.join(OF_SEARCH)})"
        f"{nearest_name(name, (*_ENTRIES, *OF_SEARCH))}"
        for name in content
        if name not in (*_ENTRIES, *OF_SEARCH)
    ]
    searched = [name for name in OF_SEARCH if name in content]
    if searched:
        problems.append(f"{' and '.join(searched)} stand there, so it is a search: fedprime tune makes its runs")
    if not isinstance(content.get("recipe", ""), str):
        problems.append(f"recipe is {content['recipe']!r}; expected the name of a recipe")
    seeds = content.get("seeds")
    if not (isinstance(seeds, list) and seeds and all(type(seed) is int for seed in seeds)):
        problems.append(f"seeds is {seeds!r}; expected at least one whole number, for example seeds = [0, 1, 2]")
    elif len(set(seeds)) < len(seeds):
        problems.append(f"seeds is {seeds!r}; name each once")
    settings = content.get("settings", {})
    if not isinstance(settings, dict):
        problems.append("settings is not a table; expected tables as in a recipe, for example [settings.training]")
    elif "seed" in settings:
        problems.append("settings.seed stands there, but a run of each seed is made; name it in seeds")
    axes = content.get("axes", {})
    if not isinstance(axes, dict):
        return [*problems, "axes is not a table; expected for example [axes.method]"]
    for axis, labels in axes.items():
        if not (isinstance(labels, dict) and labels and all(isinstance(value, dict) for value in labels.values())):
            problems.append(
                f'axes.{axis} is no table of labels; expected lines like fedprime.method.name = "fedprime", where '
                "fedprime is the label"
            )
            continue
        problems += [
            f"axes.{axis}.{label}.seed stands there, but a run of each seed is made; name it in seeds"
            for label, settings in labels.items()
            if "seed" in settings
        ]
    return problems


def _set_flags(
    own: dict[str, Any], flags: Sequence[str], shared: Mapping[str, Any], axes: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Puts flags into what the plan says for all runs, and returns what is wrong with their names."""
    tables = merged(shared, own)
    methods = [last_value(flags, "method.name") or method_of(tables)]
    methods += [method_of(merged(tables, settings)) for labels in axes.values() for settings in labels.values()]
    data_set = last_value(flags, "data.name") or name_in(tables, "data")
    return set_flags(own, flags, known_settings(methods, data_set))


def _flags_without_effect(flags: Sequence[str], axes: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Returns what is wrong with flags that the plan has the last word on."""
    given: dict[str, Any] = {}
    _set_flags(given, flags, {}, axes)
    problems = ["--seed has no effect on a plan, which has several; name seeds with --seeds"] if "seed" in given else []
    for name in dotted_names(given):
        for axis, labels in axes.items():
            if all(name in dotted_names(settings) for settings in labels.values()):
                problems.append(f"--{name} has no effect: every label of the axis {axis} sets it")
    return problems
