"""Which data sets there are: those that come along, and those that installed packages register.

A package registers a class or a function that gives back a `SampleSource`. It is called with what the settings say in
``data.options``, by name, and with ``path`` where ``data.path`` is set.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from fedprime.reproducibility.plugins import find_registered, registered_names

if TYPE_CHECKING:
    import fedprime.data.sources

#: The group of entry points by which other packages register data sets.
_GROUP = "fedprime.data"
#: Those that fedprime opens itself.
DATA_SETS = ("builtin", "food101", "mmimdb", "hateful_memes", "table")


def data_set_names() -> tuple[str, ...]:
    """Returns the names of all data sets: those that fedprime opens itself, then those of installed packages."""
    return registered_names(_GROUP, DATA_SETS)


def find_data_set(name: str) -> "Callable[..., fedprime.data.sources.SampleSource] | None":
    """Returns what an installed package registers to open a data set; None for one that fedprime opens itself.

    Raises:
        PluginError: If there is no data set of that name, or it cannot be imported.
    """
    return find_registered(_GROUP, "data set", name, dict.fromkeys(DATA_SETS))


def open_registered(name: str, path: str, options: Mapping[str, Any]) -> "fedprime.data.sources.SampleSource":
    """Opens a data set of an installed package.

    Args:
        path: Where it is; empty if nobody said so.
        options: By name, what else it is called with.

    Raises:
        DataError: If it is not a data set, or it takes no path but is given one.
    """
    from fedprime.data.sources import DataError

    opener = find_data_set(name)
    if opener is None:
        raise DataError(f"the data set {name!r} comes along; no package opens it")
    if path and "path" not in inspect.signature(opener).parameters:
        raise DataError(f"data.path is {path!r}, but the data set {name!r} takes none; leave it empty")
    return opener(**({"path": path} if path else {}), **options)
