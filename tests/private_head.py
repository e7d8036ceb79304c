"""A method of which only a part travels."""

from dataclasses import dataclass

from fedprime.methods.fedavg_p import FedAvgP


@dataclass(frozen=True)
class PrivateHead(FedAvgP):
    """FEDAVG-P whose heads stay at the clients."""

    name = "private-head"

    def travels(self, name: str) -> bool:
        return not name.startswith("head")
