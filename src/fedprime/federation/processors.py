"""What touches values on their way between server and clients: clipping, compression, privacy, simulated attacks.

Processors lie like layers between the method and the network. What is sent passes them in their order, what arrives in
reverse order; so the last one says how values travel. Each has two sides: what a client does and what the server does.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch

from fedprime.federation.start_round import StartRound
from fedprime.methods.method import Method, ServerState, Update
from fedprime.models.prompted_model import Weights


@dataclass(frozen=True)
class ServerRound:
    """What the server knows of a round in which it asks clients to train.

    Attributes:
        clients: Those that are asked to train, in ascending order.
        state: What the server holds before the round.
        start: What clients measure, in a round before the first; None where they train.
    """

    number: int
    seed: int
    clients: Sequence[int]
    method: Method
    state: ServerState
    start: StartRound | None = None

    def answer(self, client: int) -> Weights:
        """Returns what a client is sent and sends back, as the server holds it."""
        return self.method.travelling(self.state.answer(client))


class UpdateProcessor:
    """What happens to values on their way; a processor overrides what it changes, the defaults leave all as it is.

    A processor logs what it does, on level DEBUG, and its `repr` tells how it is set.

    Attributes:
        hides_clients: Whether nothing of single clients is told: neither their losses nor what the method saw of them.
    """

    hides_clients: ClassVar[bool] = False

    @property
    def hides_choice(self) -> bool:
        """Whether nobody may know from the seed who takes part in a round."""
        return False

    def at_client(self, update: Update, received: Weights, round_number: int) -> Update:  # noqa: ARG002
        """Returns what a client sends in the place of an update. The client's side.

        Args:
            update: What it would send.
            received: What arrived of the values that travel.
        """
        return update

    def arrived(self, weights: Weights) -> Weights:
        """Returns values as a client reads them, from those that travelled. The client's side."""
        return weights

    def sent(self, weights: Weights) -> Weights:
        """Returns values as they travel to a client. The server's side."""
        return weights

    def at_server(self, update: Update, asked: ServerRound) -> Update:  # noqa: ARG002
        """Returns a valid update as the server reads it; what is not finite then is left out. The server's side."""
        return update

    def of_round(self, updates: Sequence[Update], asked: ServerRound) -> Sequence[Update]:  # noqa: ARG002
        """Returns what the method sees of all valid updates of a round, of which there may be none. The server's side.

        Args:
            updates: In the order of clients.
        """
        return updates


def values_sent(processors: Sequence[UpdateProcessor], weights: Weights) -> Weights:
    """Returns values as they travel to a client, having passed all processors."""
    for processor in processors:
        weights = processor.sent(weights)
    return weights


def values_arrived(processors: Sequence[UpdateProcessor], weights: Weights) -> Weights:
    """Returns values as a client reads them, from those that travelled."""
    for processor in reversed(processors):
        weights = processor.arrived(weights)
    return weights


def form_on_the_way(processors: Sequence[UpdateProcessor], weights: Weights) -> Weights:
    """Returns tensors with the names, shapes and types that values have on their way, but no content."""
    return values_sent(processors, {name: torch.empty_like(value, device="meta") for name, value in weights.items()})
