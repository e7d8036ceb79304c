"""What installed packages add to fedprime: objects that are found by name, through entry points.

A package that is not fedprime's own says in its ``pyproject.toml``, for example::

    [project.entry-points."fedprime.methods"]
    my-method = "my_package.my_method:MyMethod"

Source: the entry points specification of the Python Packaging User Guide.
"""

from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

__all__ = ["Group", "load_plugin", "plugin_names", "plugin_package"]

#: A group of entry points, for example ``"fedprime.methods"``.
Group = str


@cache
def _plugins(group: Group) -> dict[str, EntryPoint]:
    return {found.name: found for found in sorted(entry_points(group=group), key=lambda found: found.name)}


def plugin_names(group: Group) -> tuple[str, ...]:
    """Returns the names that installed packages register in a group, in alphabetical order; nothing is imported.

    Args:
        group: Which group.
    """
    return tuple(_plugins(group))


def plugin_package(group: Group, name: str) -> str:
    """Returns the name and version of the package that registers a plug-in, as ``"package 1.0"``.

    Args:
        group: The group that it is in.
        name: One of `plugin_names`.
    """
    distribution = _plugins(group)[name].dist
    return "an unknown package" if distribution is None else f"{distribution.name} {distribution.version}"


def load_plugin(group: Group, name: str) -> Any:
    """Imports a plug-in and returns the object that its package registered.

    Args:
        group: The group that it is in.
        name: One of `plugin_names`.
    """
    return _plugins(group)[name].load()
