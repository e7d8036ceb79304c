"""Nested tables of settings, as TOML gives them: one over the other, and what a recipe says for some methods alone.

A recipe may have a table ``by_method``, with settings that hold for one method, such as the learning rate that it was
tuned to:

    [by_method]
    fedprime.training.lr = 0.03

Whatever is said beside the recipe (a plan, its labels, a flag) goes over it.
"""

import copy
from collections.abc import Collection, Mapping
from typing import Any

from fedprime.methods import METHODS

__all__ = ["dotted_names", "merged", "take_by_method", "without"]


def merged(below: Mapping[str, Any], above: Mapping[str, Any]) -> dict[str, Any]:
    """Returns tables with the entries of others over them, table by table.

    Args:
        below: The tables.
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


def dotted_names(tables: Mapping[str, Any]) -> set[str]:
    """Returns the names of the settings that stand in tables.

    Args:
        tables: The tables.

    >>> sorted(dotted_names({"seed": 1, "training": {"lr": 0.1}}))
    ['seed', 'training.lr']
    """
    return {
        dotted
        for name, value in tables.items()
        for dotted in ({f"{name}.{inner}" for inner in value} if isinstance(value, dict) else {name})
    }


def without(tables: Mapping[str, Any], names: Collection[str]) -> dict[str, Any]:
    """Returns tables without some settings.

    Args:
        tables: The tables.
        names: The dotted names of what to leave out.

    >>> without({"seed": 1, "training": {"lr": 0.1, "rounds": 5}}, {"training.lr"})
    {'seed': 1, 'training': {'rounds': 5}}
    """
    return {
        name: {inner: entry for inner, entry in value.items() if f"{name}.{inner}" not in names}
        if isinstance(value, dict)
        else value
        for name, value in tables.items()
        if name not in names
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
    problems = [
        f"by_method.{name} is of no method; there are {', '.join(METHODS)}" for name in tables if name not in METHODS
    ]
    problems += [
        f"by_method.{name}.{fixed} stands there, but a method has no say in that"
        for name, settings in tables.items()
        for fixed in ("method.name", "seed")
        if fixed in dotted_names(settings)
    ]
    return {name: settings for name, settings in tables.items() if name in METHODS}, problems
