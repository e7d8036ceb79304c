"""Federated methods, each one file that reads like its paper."""

from fedprime.methods.centralized import CentralizedP, CentralizedPools
from fedprime.methods.closed_form import ClosedForm
from fedprime.methods.fedadam_p import FedAdamP
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedavgm_p import FedAvgMP
from fedprime.methods.fedmsplit_p import FedMSplitP
from fedprime.methods.fedprime import FedInter, FedIntra, FedPrime
from fedprime.methods.fedprox_p import FedProxP
from fedprime.methods.head_only import HeadOnly
from fedprime.methods.local_p import LocalP
from fedprime.methods.method import Method
from fedprime.methods.pfpt import PFPT
from fedprime.methods.scaffold_p import ScaffoldP
from fedprime.reproducibility.plugins import (
    PluginError,
    find_registered,
    plugin_names,
    plugin_package,
    registered_names,
)

__all__ = ["METHODS", "Method", "find_method", "method_names"]

#: The group of entry points by which other packages register methods.
_GROUP = "fedprime.methods"
#: Those that come along, by the name that settings use.
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(FedPrime, FedInter, FedIntra, PFPT, FedAvgP, FedProxP, FedMSplitP, LocalP, HeadOnly),
        *(ClosedForm, FedAvgMP, FedAdamP, ScaffoldP),
        *(CentralizedP, CentralizedPools),
    )
}


def method_names() -> tuple[str, ...]:
    """Returns the names of all methods: those that come along, then those of installed packages."""
    return registered_names(_GROUP, METHODS)


def find_method(name: str) -> type[Method]:
    """Returns the class of a method that comes along or that an installed package registers.

    Args:
        name: The name that settings use.

    Raises:
        PluginError: If there is none of that name, or what is registered is no method.
    """
    found = find_registered(_GROUP, "method", name, METHODS)
    if name in plugin_names(_GROUP):
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
