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

__all__ = ["METHODS", "Method"]

#: By the name that settings use.
METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        *(FedPrime, FedInter, FedIntra, PFPT, FedAvgP, FedProxP, FedMSplitP, LocalP, HeadOnly),
        *(ClosedForm, FedAvgMP, FedAdamP, ScaffoldP),
        *(CentralizedP, CentralizedPools),
    )
}
