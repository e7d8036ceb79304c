"""Federated methods, each one file that reads like its paper."""

from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedprime import FedInter, FedIntra, FedPrime
from fedprime.methods.head_only import HeadOnly
from fedprime.methods.method import Method

__all__ = ["METHODS", "Method"]

#: By the name that settings use.
METHODS: dict[str, type[Method]] = {method.name: method for method in (FedPrime, FedInter, FedIntra, FedAvgP, HeadOnly)}
