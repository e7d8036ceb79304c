"""Nested tables of settings, as TOML gives them: one over the other, and what a recipe says for some methods alone.

A recipe may have a table ``by_method``, with settings that hold for one method, such as the learning rate that it was
tuned to:

    [by_method]
    fedprime.training.lr = 0.03

Whatever is said beside the recipe (a plan, its labels, a flag) goes over it.
"""

import copy
import tomllib
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from fedprime.methods import method_names
from fedprime.reproducibility.errors import quoted
from fedprime.reproducibility.plugins import unknown_name
from fedprime.reproducibility.strict_json import is_too_deep
from fedprime.settings.problems import SettingsError

_TOO_DEEP = "it is nested too deeply"


def read_toml(path: Path) -> dict[str, Any]:
    """Returns the tables of a TOML file.

    Raises:
        SettingsError: If there is none, or it is not TOML.
    """
    try:
        return parse_toml(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        problem = f"there is no recipe {path}; `fedprime recipes list` shows those that come along"
        raise SettingsError(problem) from None
    except SettingsError as error:
        raise SettingsError(f"{path} is not a readable TOML file: {error.problems[0]}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path} is not a readable TOML file: {error}") from error


def parse_toml(text: str) -> dict[str, Any]:
    """Returns the tables of a text that may come from anybody.

    Raises:
        SettingsError: If it is no TOML, has numbers without end, or is nested too deeply.
    """
    try:
        found = tomllib.loads(text)
    except RecursionError as error:
        raise SettingsError(_TOO_DEEP) from error
    except ValueError as error:  # no TOML, or a number of thousands of digits
        raise SettingsError(quoted(error, 300)) from error
    if is_too_deep(found):
        raise SettingsError(_TOO_DEEP)
    return found


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables with the entries of others over them, table by table.

    Args:
        above: Those that have the last word.

    >>> merged({"seed": 1, "training": {"lr": 0.1, "rounds": 5}}, {"training": {"lr": 0.3}})
    {'seed': 1, 'training': {'lr': 0.3, 'rounds': 5}}
    """
    result = copy.deepcopy(dict(below))
    for name, value in above.items():
        old = result.get(name)
        if isinstance(old, dict) and isinstance(value, dict):
            result[name] = merged(old, value)
        else:
            result[name] = copy.deepcopy(value)
    return result


def dotted_values(tables: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Returns by dotted name the values that stand in tables and in tables inside them.

    >>> dotted_values({"seed": 1, "data": {"path": "", "options": {"size": 3}}})
    {'seed': 1, 'data.path': '', 'data.options.size': 3}
    """
    flat: dict[str, Any] = {}
    for name, value in tables.items():
        flat |= dotted_values(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat


def put_dotted(tables: dict[str, Any], name: str, value: object) -> None:
    """Puts a value into nested tables at its dotted name; not where something else stands in the place of a table.

    >>> tables = {"seed": 1}
    >>> put_dotted(tables, "training.lr", 0.1), tables
    (None, {'seed': 1, 'training': {'lr': 0.1}})
    """
    *sections, last = name.split(".")
    table: object = tables
    for section in sections:
        table = table.setdefault(section, {}) if isinstance(table, dict) else None
    if isinstance(table, dict):  # otherwise that is what is wrong, and told
        table[last] = value


def dotted_names(tables: Mapping[str, Any]) -> set[str]:
    """Returns the names of the settings that stand in tables.

    >>> sorted(dotted_names({"seed": 1, "training": {"lr": 0.1}}))
    ['seed', 'training.lr']
    """
    return set(dotted_values(tables))


def without(tables: Mapping[str, Any], names: Collection[str], prefix: str = "") -> dict[str, Any]:
    """Returns tables without some settings.

    Args:
        prefix: What stands before the names of these tables.

    >>> without({"seed": 1, "training": {"lr": 0.1, "rounds": 5}}, {"training.lr"})
    {'seed': 1, 'training': {'rounds': 5}}
    """
    return {
        name: without(value, names, f"{prefix}{name}.") if isinstance(value, dict) else value
        for name, value in tables.items()
        if f"{prefix}{name}" not in names
    }


def take_by_method(content: dict[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
    """Takes out of a recipe what it says for some methods alone.

    Args:
        content: The tables of the recipe, which are changed.

    Returns:
        By method, its settings; and what is wrong with them.
    """
    tables = content.pop("by_method", {})
    if not (isinstance(tables, dict) and all(isinstance(settings, dict) for settings in tables.values())):
        return {}, ["by_method is no table of methods; expected lines like fedprime.training.lr = 0.03"]
    known = method_names()
    problems = [f"by_method.{unknown_name('method', name, known)}" for name in tables if name not in known]
    problems += [
        f"by_method.{name}.{fixed} stands there, but a method has no say in that"
        for name, settings in tables.items()
        for fixed in ("method.name", "seed")
        if fixed in dotted_names(settings)
    ]
    return {name: settings for name, settings in tables.items() if name in known}, problems


def name_in(content: Mapping[str, Any], section: str) -> str:
    """Returns the name that a section of nested tables of settings chooses; empty if it chooses none.

    Args:
        section: ``method`` or ``data``.
    """
    table = content.get(section, {})
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) else ""
