"""Federated methods, each one file that reads like its paper; a class is imported when it is looked up."""

from typing import TYPE_CHECKING

from fedprime.reproducibility.plugins import (
    ImportedOnUse,
    PluginError,
    find_registered,
    plugin_names,
    plugin_package,
    plugin_place,
    registered_names,
)

if TYPE_CHECKING:
    import fedprime.methods.method

#: The group of entry points by which other packages register methods.
_GROUP = "fedprime.methods"
#: The one that is taken where none is named.
DEFAULT_METHOD = "fedprime"
#: Those that come along, by the name that settings use.
METHODS: "ImportedOnUse[type[fedprime.methods.method.Method]]" = ImportedOnUse(
    {
        "fedprime": "fedprime.methods.fedprime:FedPrime",
        "fed-inter": "fedprime.methods.fedprime:FedInter",
        "fed-intra": "fedprime.methods.fedprime:FedIntra",
        "pfpt": "fedprime.methods.pfpt:PFPT",
        "fedavg-p": "fedprime.methods.fedavg_p:FedAvgP",
        "fedprox-p": "fedprime.methods.fedprox_p:FedProxP",
        "fedmsplit-p": "fedprime.methods.fedmsplit_p:FedMSplitP",
        "local-p": "fedprime.methods.local_p:LocalP",
        "head-only": "fedprime.methods.head_only:HeadOnly",
        "closed-form": "fedprime.methods.closed_form:ClosedForm",
        "fedavgm-p": "fedprime.methods.fedavgm_p:FedAvgMP",
        "fedadam-p": "fedprime.methods.fedadam_p:FedAdamP",
        "scaffold-p": "fedprime.methods.scaffold_p:ScaffoldP",
        "centralized-p": "fedprime.methods.centralized:CentralizedP",
        "centralized-pools": "fedprime.methods.centralized:CentralizedPools",
    }
)


def method_names() -> tuple[str, ...]:
    """Returns the names of all methods: those that come along, then those of installed packages."""
    return registered_names(_GROUP, METHODS)


def method_place(name: str) -> str:
    """Returns where the class of a method is, as ``"package.module:Class"``; it is not imported."""
    found = METHODS.data[name] if name in METHODS else plugin_place(_GROUP, name)
    return found if isinstance(found, str) else f"{found.__module__}:{found.__qualname__}"


def find_method(name: str) -> "type[fedprime.methods.method.Method]":
    """Returns the class of a method that comes along or that an installed package registers.

    Raises:
        PluginError: If there is none of that name, or what is registered is no method.
    """
    found = find_registered(_GROUP, "method", name, METHODS)
    if name in plugin_names(_GROUP):
        from fedprime.methods.method import Method

        if not (isinstance(found, type) and issubclass(found, Method)):
            raise PluginError(
                f"{name!r} of {plugin_package(_GROUP, name)} is {found!r}; expected a class that derives from Method"
            )
        if found.name != name:
            raise PluginError(
                f"{plugin_package(_GROUP, name)} registers {name!r}, whose class calls itself {found.name!r}; "
                "both names must be the same"
            )
    return found
