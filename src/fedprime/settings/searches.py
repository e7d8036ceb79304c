"""Searches: what is tried to find settings for methods, from a plan with ranges, or from any plan or recipe.

A plan becomes a search by

    trials = 12                                              # as many for each method

    [search]                                                 # what is varied: a range, or choices
    training.lr = { low = 0.001, high = 0.3, log = true }
    training.optimizer = { choices = ["sgd", "adamw"] }

    [search.by_method]                                       # what is varied for one method alone
    fedprox-p.method.proximal_weight = { low = 0.001, high = 1.0, log = true }

Without a table ``search``, the learning rate is varied, from a tenth to ten times what it is. Trials of a search are
labels of a plan, so that a search is a grid that grows.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tomlkit

from fedprime.settings.plans import Plan, plan_of
from fedprime.settings.problems import SettingsError
from fedprime.settings.reading import flat_settings
from fedprime.settings.recipe_tables import dotted_values, merged, put_dotted, read_toml, take_by_method, without
from fedprime.settings.recipes import find_recipe, is_plan

#: The axis whose labels are the trials.
AXIS = "trial"
_TRIALS = 12
#: Seeds that no plan which comes along reports.
_SEEDS = (100, 101)
_ENTRIES = frozenset(("low", "high", "log", "choices"))


@dataclass(frozen=True)
class Range:
    """What a setting may be.

    Attributes:
        low: The smallest value; whole numbers are tried where it and `high` are whole.
        high: The largest value.
        log: Whether small values are told apart as finely as large ones.
        choices: All values instead.
    """

    low: int | float = 0
    high: int | float = 0
    log: bool = False
    choices: tuple[str | int | float | bool, ...] = ()

    def __contains__(self, value: object) -> bool:
        """Returns whether a value may be tried."""
        if self.choices:
            return value in self.choices
        kinds = (int,) if self.is_whole else (int, float)
        return type(value) in kinds and self.low <= value <= self.high  # pyright: ignore[reportOperatorIssue]

    @property
    def ends(self) -> tuple[Any, ...]:
        """The values that must be right if all are to be."""
        return self.choices or (self.low, self.high)

    @property
    def is_whole(self) -> bool:
        """Whether whole numbers are tried."""
        return isinstance(self.low, int) and isinstance(self.high, int)


@dataclass(frozen=True)
class Search:
    """What is tried for which methods.

    Attributes:
        path: The file that it was read from.
        base: The plan that all trials are around.
        labels: By method, the settings of its labels in that plan.
        spaces: By method, what is varied, by the dotted name of the setting.
        starts: By method, the values before the search, unless some of them are outside of it.
        trials: How many are made for each method.
    """

    path: Path
    base: Plan
    labels: Mapping[str, Mapping[str, Any]]
    spaces: Mapping[str, Mapping[str, Range]]
    starts: Mapping[str, Mapping[str, Any]]
    trials: int

    def plan(self, trials: Mapping[str, tuple[str, Mapping[str, Any]]]) -> Plan:
        """Returns the plan whose runs are those of trials.

        Args:
            trials: By label, the method and the values of the settings that are varied.

        Raises:
            SettingsError: If values are not right, with every problem.
        """
        axis = {label: merged(self.labels[method], _nested(values)) for label, (method, values) in trials.items()}
        return plan_of({**self.base.tables, "axes": {AXIS: axis}}, self.path, is_saved=True)

    def recipe(self, chosen: Mapping[str, Mapping[str, Any]], remarks: Sequence[str]) -> str:
        """Returns a recipe with settings that were chosen for each method.

        Args:
            chosen: By method, the values of the settings that were varied.
            remarks: What is said at its top.
        """
        by_method = dict(self.base.tables["by_method"])
        for method, values in chosen.items():
            own = merged(without(self.labels[method], {"method.name"}), _nested(values))
            by_method[method] = merged(by_method.get(method, {}), own)
        lines = [
            f"{tomlkit.key([method, *name.split('.')]).as_string()} = {tomlkit.item(value).as_string()}"
            for method, settings in by_method.items()
            for name, value in dotted_values(settings).items()
        ]
        head = "\n".join(f"# {remark}" if remark else "#" for remark in remarks)
        known = flat_settings(self.base.runs[0].settings)
        said = dotted_values(self.base.tables["settings"])
        shared = _nested({name: _value_of(word, known.get(name, "")) for name, word in said.items()})
        return "\n".join([head, "", tomlkit.dumps(shared), "[by_method]", *lines, ""])


def _value_of(word: Any, known: Any) -> Any:
    """Returns what a flag says as a person writes it into a recipe: 2, which came as the word "2".

    Args:
        word: What was said.
        known: What the setting is now, of the type that it has.
    """
    if not isinstance(word, str) or isinstance(known, str):
        return word
    try:
        return json.loads(word)
    except ValueError:
        return word  # "yes", which settings take for true


def read_search(
    path: Path, flags: Sequence[str] = (), seeds: Sequence[int] = (), recipe: str = "", trials: int = 0
) -> Search:
    """Reads a search from a plan or a recipe.

    Args:
        flags: Settings of all trials, over those of the plan, as on a command line.
        seeds: Seeds to use instead of the plan's.
        recipe: The recipe to start from instead of the plan's.
        trials: How many for each method; if 0, as many as the file says.

    Raises:
        SettingsError: If anything is wrong, with every problem.
    """
    content = read_toml(path)
    if not is_plan(path):
        content = {"recipe": str(path), "seeds": list(_SEEDS)}
    said, number = content.pop("search", {}), content.pop("trials", _TRIALS)
    if type(number) is not int or number < 1:
        raise SettingsError(f"{path}: trials is {number!r}; expected a whole number from 1")
    base = plan_of(content, path, flags, seeds, recipe)
    _refuse_seed_of_recipe(recipe or content.get("recipe", ""), base)
    labels: dict[str, Mapping[str, Any]] = {}
    now: dict[str, Mapping[str, Any]] = {}
    for run in (run for run in base.runs if run.settings.seed == base.seeds[0]):
        method = run.settings.method.name
        if method in labels:
            raise SettingsError(f"{path}: {method} is there with several labels; a search is of one for each method")
        tables: dict[str, Any] = {"method": {"name": method}}
        for axis, label in run.labels.items():
            tables = merged(tables, base.tables["axes"][axis][label])
        labels[method], now[method] = tables, flat_settings(run.settings)
    spaces = _spaces(path, said, now)
    starts = {
        method: {name: now[method][name] for name in space}
        for method, space in spaces.items()
        if all(now[method].get(name) in found for name, found in space.items())
    }
    search = Search(path, base, labels, spaces, starts, trials or number)
    _refuse_wrong_ends(search)
    return search


def _refuse_seed_of_recipe(recipe: str, base: Plan) -> None:
    own = read_toml(find_recipe(recipe)).get("seed", 0) if recipe else 0
    if own in base.seeds:
        raise SettingsError(
            f"seed {own} is that of the recipe, so it must not be one that settings are chosen by; name others, as "
            "--seeds 100 101"
        )


def _spaces(path: Path, said: Mapping[str, Any], now: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, Range]]:
    """Returns by method what is varied."""
    if not said:
        rates = {method: float(settings["training.lr"]) for method, settings in now.items()}
        return {method: {"training.lr": Range(rate / 10, rate * 10, log=True)} for method, rate in rates.items()}
    shared = dict(said)
    by_method, problems = take_by_method(shared)
    problems = [f"search.{problem}" for problem in problems]
    problems += [f"search.by_method.{method}: the plan has no runs of it" for method in by_method.keys() - now.keys()]
    for_all = _ranges(shared, "", problems)
    spaces = {method: for_all | _ranges(by_method.get(method, {}), "", problems) for method in now}
    empty = [f"search has nothing for {method}; name a setting for it" for method, own in spaces.items() if not own]
    if problems or empty:
        raise SettingsError([f"{path}: {problem}" for problem in dict.fromkeys(problems or empty)])
    return spaces


def _ranges(tables: Mapping[str, Any], prefix: str, problems: list[str]) -> dict[str, Range]:
    found: dict[str, Range] = {}
    for name, value in tables.items():
        dotted = f"{prefix}{name}"
        if not isinstance(value, dict):
            problems.append(f"search.{dotted} is {value!r}; {_EXPECTED}")
        elif _ENTRIES.isdisjoint(value):
            found |= _ranges(value, f"{dotted}.", problems)
        else:
            problem = _problem(value)
            if problem:
                problems.append(f"search.{dotted}: {problem}; {_EXPECTED}")
            else:
                found[dotted] = Range(**{**value, "choices": tuple(value.get("choices", ()))})
    return found


_EXPECTED = 'expected for example { low = 0.001, high = 0.1, log = true } or { choices = ["sgd", "adamw"] }'


def _problem(value: Mapping[str, Any]) -> str:
    """Returns what is wrong with a range, in words; nothing if it is right."""
    unknown = value.keys() - _ENTRIES
    if unknown:
        return f"{', '.join(sorted(unknown))} is nothing that a range has"
    if "choices" in value:
        choices = value["choices"]
        right = isinstance(choices, list) and choices and all(isinstance(one, str | int | float) for one in choices)
        return "" if right and len(value) == 1 else "choices stand alone, and are words, numbers, true or false"
    low, high, log = value.get("low"), value.get("high"), value.get("log", False)
    numbers = [one for one in (low, high) if isinstance(one, int | float) and not isinstance(one, bool)]
    if len(numbers) < 2 or numbers[0] >= numbers[1] or type(log) is not bool:
        return "low and high are numbers, and high is more than low"
    return "low must be more than 0 where log is true" if log and numbers[0] <= 0 else ""


def _refuse_wrong_ends(search: Search) -> None:
    """Raises a `SettingsError` if a method cannot have what is at the ends of a range, or one of the choices."""
    ends: dict[str, tuple[str, Mapping[str, Any]]] = {}
    for method, space in search.spaces.items():
        usual = search.starts.get(method) or {name: found.ends[0] for name, found in space.items()}
        for name, found in space.items():
            for value in found.ends:
                ends[f"{method} with {name} {value}"] = (method, {**usual, name: value})
    search.plan(ends)


def _nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables of settings from their dotted names."""
    tables: dict[str, Any] = {}
    for name, value in values.items():
        put_dotted(tables, name, value)
    return tables
