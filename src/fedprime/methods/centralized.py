"""CENTRALIZED-P and CENTRALIZED-POOLS: all clients' samples at one holder; federation's cost is measured against it.

Source: FED-PRIME (arXiv 2602.07081) for the baseline, which has prompts per missing pattern; prompt pools are added
here.
"""

from dataclasses import dataclass

from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.fedprime import FedPrime
from fedprime.methods.method import Method


@dataclass(frozen=True)
class CentralizedP(FedAvgP):
    """The prompts of FEDAVG-P, one set per missing pattern, trained on all samples; the mean of one is itself."""

    name = "centralized-p"
    is_centralized = True


@dataclass(frozen=True)
class CentralizedPools(FedPrime):
    """The pools and the local objective of FED-PRIME on all samples; nothing is aligned."""

    name = "centralized-pools"
    is_centralized = True
    aligned = ""

    aggregate = Method.aggregate
