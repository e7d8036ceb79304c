"""SCAFFOLD-P: FEDAVG-P whose clients correct their steps by what they and all clients together learnt before.

Source: Karimireddy et al. SCAFFOLD: Stochastic Controlled Averaging for Federated Learning. ICML 2020, algorithm 1,
option II. Averages are weighted by samples, as those of FEDAVG-P; the paper's clients count alike. The paper's clients
take plain gradient steps; here the correction is added to a step of whatever optimiser, and a control variate is the
mean of the steps, divided by the learning rate, which for plain gradient descent is the mean gradient.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from fedprime.methods.aggregation.robust import moved
from fedprime.methods.fedavg_p import FedAvgP
from fedprime.methods.method import ServerState, Update
from fedprime.models.prompted_model import PromptedModel, Weights
from fedprime.models.saved_model import BESIDE_MODEL
from fedprime.reproducibility.ranges import Positive

#: Begins the names of the server's control variate (c), which is sent, and comes back as the client would have it.
CONTROL = f"{BESIDE_MODEL}control."
#: Begins the names of a client's control variate (c_i), which it keeps.
OWN_CONTROL = f"{BESIDE_MODEL}own_control."

_NUM_CLIENTS = "number of clients"


@dataclass(frozen=True)
class ScaffoldP(FedAvgP):
    """Prompts per missing pattern; clients that drift apart are steered back by control variates.

    At a client, every step ``y = y - lr g`` becomes ``y = y - lr (g - c_i + c)``. After ``K`` steps from ``x`` its
    control variate becomes ``c_i - c + (x - y) / (K lr)``; by as much it asks the server's to move. That moves by the
    mean over the clients that took part, times their share of all clients.

    Attributes:
        server_lr: Learning rate of the server, for the weights.
    """

    name = "scaffold-p"
    evaluates_shared = True

    server_lr: Positive = 1.0

    def initial_state(self, model: PromptedModel, num_clients: int) -> ServerState:
        """Returns the model's weights, a control variate of zero, and how many clients there are."""
        weights = model.weights()
        control = {CONTROL + name: torch.zeros_like(value) for name, value in weights.items()}
        return ServerState({**weights, **control}, server={_NUM_CLIENTS: torch.tensor(num_clients)})

    def travels(self, name: str) -> bool:
        """Says yes to all but a client's own control variate."""
        return not name.startswith(OWN_CONTROL)

    def adjust_step(self, model: PromptedModel, received: Weights, lr: Mapping[str, float]) -> None:
        """Moves the model on by the difference of the client's and the server's control variates.

        Args:
            received: What the client got, and its own control variate if it has trained before.
        """
        for name, value in model.named_parameters():
            correction = received[CONTROL + name] - received.get(OWN_CONTROL + name, 0.0)
            value.sub_((lr[name] * correction).to(value.device))

    def conclude(self, trained: Weights, received: Weights, num_steps: int, lr: Mapping[str, float]) -> Weights:
        """Returns the client's new control variate, and the server's as it would have it.

        Args:
            trained: What it has come to (y).
            num_steps: How many steps it took (K).
        """
        concluded: Weights = {}
        for name, value in trained.items():
            # What is not trained at all, at a rate of 0, has no mean step either.
            step = (received[name] - value) / (num_steps * lr[name]) if lr[name] else torch.zeros_like(value)
            change = step - received[CONTROL + name]
            concluded[CONTROL + name] = received[CONTROL + name] + change
            concluded[OWN_CONTROL + name] = received.get(OWN_CONTROL + name, 0.0) + change
        return concluded

    def aggregate(self, current: ServerState, updates: Sequence[Update], rng: torch.Generator) -> ServerState:  # noqa: ARG002
        """Moves weights and control variate towards their means."""
        share = len(updates) / current.server[_NUM_CLIENTS].item()
        shared = dict(current.shared)
        for name, average in self.average(updates).items():
            rate = share if name.startswith(CONTROL) else self.server_lr
            before = current.shared[name]
            shared[name] = moved(before, rate * (average.double() - before.double()))
        return ServerState(shared, server=current.server)
