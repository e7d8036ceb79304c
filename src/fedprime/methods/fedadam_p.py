"""FEDADAM-P: FEDAVG-P whose server takes steps of Adam.

Source: Reddi et al. Adaptive Federated Optimization. ICLR 2021, algorithm 2, FedAdam; as there, without correction of
the first steps' bias.
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
class FedAdamP(FedAvgP):
    """Prompts per missing pattern; what the average changes in a round is the server's gradient.

    With ``d`` that change, ``m = beta_1 m + (1 - beta_1) d`` from 0, ``v = beta_2 v + (1 - beta_2) d^2`` from
    ``tau^2``, and the weights move by ``server_lr * m / (sqrt(v) + tau)``.

    Attributes:
        server_lr: Learning rate of the server: about how far it moves a value in a round (eta).
        beta_1: Share of earlier changes in their running mean.
        beta_2: Share of earlier squared changes in their running mean.
        tau: Changes far below it count less: the smaller, the more adaptive the server.
    """

    name = "fedadam-p"

    server_lr: Positive = 0.03
    beta_1: Annotated[float, Field(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, Field(ge=0, lt=1)] = 0.99
    tau: Positive = 0.001

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:  # noqa: ARG002
        """Moves the weights by a step of Adam, whose running means the server keeps."""
        shared, server = dict(current.shared), {}
        for name, average in self.average(updates).items():
            change = average.double() - current.shared[name].double()
            mean = current.server.get(f"mean.{name}", torch.zeros_like(change))
            square = current.server.get(f"square.{name}", torch.full_like(change, self.tau**2))
            mean = self.beta_1 * mean + (1 - self.beta_1) * change
            square = self.beta_2 * square + (1 - self.beta_2) * change.square()
            server[f"mean.{name}"], server[f"square.{name}"] = mean, square
            shared[name] = moved(current.shared[name], self.server_lr * mean / (square.sqrt() + self.tau))
        return ServerState(shared, server=server)
