"""FEDAVGM-P: FEDAVG-P whose server has momentum.

Source: Hsu, Qi, Brown. Measuring the Effects of Non-Identical Data Distribution for Federated Visual Classification.
2019, arXiv 1909.06335. A learning rate of the server is added; the paper's is 1.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from pydantic import Field

from fedprime.methods.aggregation.robust import moved
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.reproducibility.ranges import Positive


@dataclass(frozen=True)
class FedAvgMP(FedAvgP):
    """Prompts per missing pattern; the server moves by what is left of its earlier moves and the mean of the new ones.

    With ``d`` what the average changes in a round, ``v = momentum * v + d``, and the weights move by ``server_lr * v``.

    Attributes:
        server_momentum: Share of the server's earlier moves that goes on.
        server_lr: Learning rate of the server.
    """

    name = "fedavgm-p"

    server_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    server_lr: Positive = 1.0

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:  # noqa: ARG002
        """Moves the weights by momentum, which the server keeps."""
        shared, server = dict(current.shared), {}
        for name, average in self.average(updates).items():
            change = average.double() - current.shared[name].double()
            kept = f"momentum.{name}"
            server[kept] = self.server_momentum * current.server.get(kept, torch.zeros_like(change)) + change
            shared[name] = moved(current.shared[name], self.server_lr * server[kept])
        return ServerState(shared, server=server)
