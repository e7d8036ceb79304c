"""Objects that are found by name and imported when they are used: fedprime's own, and those of installed packages.

A package that is not fedprime's own says in its ``pyproject.toml``, for example::

    [project.entry-points."fedprime.methods"]
    my-method = "my_package.my_method:MyMethod"

Source: the entry points specification of the Python Packaging User Guide.
"""

import pkgutil
from collections import UserDict
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Generic, TypeVar

from fedprime.reproducibility.errors import FedprimeError, nearest_name

#: A group of entry points, for example ``"fedprime.methods"``.
Group = str

_Object = TypeVar("_Object")


class ImportedOnUse(UserDict[str, Any], Generic[_Object]):
    """Objects by name, of which those that are given as ``"package.module:name"`` are imported when looked up.

    >>> ImportedOnUse({"square root": "math:sqrt"})["square root"](9)
    3.0
    """

    def __getitem__(self, name: str) -> _Object:
        found = self.data[name]
        if isinstance(found, str):
            found = self.data[name] = pkgutil.resolve_name(found)
        return found


class PluginError(FedprimeError):
    """A name that nothing is registered by, or a plug-in that cannot be used; in one line."""


@cache  # what is installed is looked through once, for all groups
def _plugins() -> Any:
    return entry_points()


@cache  # a plan of some hundred runs asks for each of them
def _of_group(group: Group) -> dict[str, EntryPoint]:
    return {found.name: found for found in sorted(_plugins().select(group=group), key=lambda found: found.name)}


def plugin_names(group: Group) -> tuple[str, ...]:
    """Returns the names that installed packages register in a group, in alphabetical order; nothing is imported."""
    return tuple(_of_group(group))


def plugin_package(group: Group, name: str) -> str:
    """Returns the name and version of the package that registers a plug-in, as ``"package 1.0"``."""
    distribution = _of_group(group)[name].dist
    return "an unknown package" if distribution is None else f"{distribution.name} {distribution.version}"


def plugin_place(group: Group, name: str) -> str:
    """Returns where the object is that a package registers, as ``"package.module:name"``; nothing is imported."""
    return _of_group(group)[name].value


def load_plugin(group: Group, name: str) -> Any:
    """Imports a plug-in and returns the object that its package registered.

    Raises:
        PluginError: If it cannot be imported.
    """
    found = _of_group(group)[name]
    try:
        return found.load()
    except (ImportError, AttributeError) as error:
        raise PluginError(
            f"{name!r} of {plugin_package(group, name)} cannot be loaded from {found.value}: {error}; "
            "install the package anew, with what it needs"
        ) from error


def registered_names(group: Group, own: Iterable[str]) -> tuple[str, ...]:
    """Returns the names of fedprime's own objects of a kind, then those of installed packages."""
    return tuple(dict.fromkeys([*own, *plugin_names(group)]))


def find_registered(group: Group, what: str, name: str, own: Mapping[str, Any]) -> Any:
    """Returns one of fedprime's own objects, or one that an installed package registers.

    Args:
        what: What they are, in one word or two, for errors.

    Raises:
        PluginError: If there is none or more than one, or it cannot be imported.
    """
    if name in own and name in plugin_names(group):
        raise PluginError(
            f"{plugin_package(group, name)} registers a {what} {name!r}, but fedprime has one of that name itself; "
            "remove that package, or have it choose another name"
        )
    if name in own:
        return own[name]
    if name in plugin_names(group):
        return load_plugin(group, name)
    raise PluginError(unknown_name(what, name, registered_names(group, own)))


def unknown_name(what: str, name: str, known: Iterable[str]) -> str:
    """Returns in one line that a name is not there, what is, and that a package may lack.

    Args:
        what: What it would name, in one word or two.

    >>> unknown_name("method", "pfp", ["pfpt"])
    "'pfp' is no method: pfpt; one of another package is found when that is installed; did you mean pfpt?"
    """
    names = tuple(known)
    return (
        f"{name!r} is no {what}: {', '.join(names)}; one of another package is found when that is installed"
        f"{nearest_name(name, names)}"
    )
